"""Scenes as a data set of canonical records, drawn when they are read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL.Image import Image

from vlft.data.records import Conversation, ImageRef, Labeled, Pair
from vlft.data.scenes.captions import dense_caption
from vlft.data.scenes.draws import Draws
from vlft.data.scenes.question_draws import (
    draw_question,
    few_options,
    question_types,
    with_options,
)
from vlft.data.scenes.questions import NEED_TWO_OBJECTS, Question
from vlft.data.scenes.raster import render
from vlft.data.scenes.scene import Scene, World, draw_in, require_two_objects
from vlft.recipe.data.scenes import Scenes
from vlft.types import Message

DESCRIBE = "describe the image."


class SceneDataset:
    """The generated world as a data set; sample ``i`` depends on the section and ``offset + i``.

    What a sample is, by ``task``:

    - ``question_answering``: one question of a drawn type; the answer is one word.
    - ``captioning``: the request to describe the image, and its dense caption.
    - ``mixture``: half of each, drawn per sample.
    - ``pairs``: an image with ``max_objects`` objects, and its dense caption. Scenes that are this
      full rarely have equal captions, so that retrieval is well defined.
    - ``classification``: an image with one object; the class is its shape, or kind of shape.

    Args:
        section: The recipe's data section.

    Raises:
        DataError: A question type needs two objects, or the cells are too small.
    """

    def __init__(self, section: Scenes) -> None:
        self.name = "scenes"
        self.section = section
        self.world = World(
            section.seed,
            1 if section.task == "classification" else section.max_objects,
            section.grid,
            section.jitter,
            section.image_size,
            section.split,
        )
        for question_type in section.questions:
            if question_type in NEED_TWO_OBJECTS:
                require_two_objects(self.world, f"questions: {question_type!r}")
        self.question_types = section.questions or question_types(self.world)

    def __len__(self) -> int:
        """Number of samples."""
        return self.section.num_samples

    def __getitem__(self, index: int) -> Conversation | Pair | Labeled:
        """Draw one sample.

        Raises:
            IndexError: The index is not in the set.
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        number = self.section.offset + index
        match self.section.task:
            case "pairs":
                return self._pair(number)
            case "captioning":
                return self._caption(number)
            case "question_answering":
                return self._question(number)
            case "classification":
                return self._labeled(number)
            case "mixture":
                draws = Draws((self.world.seed, number, "mixture"))
                return draws.pick((self._caption, self._question), "task")(number)

    def _pair(self, number: int) -> Pair:
        scene = draw_in(self.world, number, min_objects=self.world.max_objects)
        meta = {"task": "pairs", "scene": number}
        return Pair(f"scene-{number}", image_of(scene), dense_caption(scene), meta)

    def _labeled(self, number: int) -> Labeled:
        scene = draw_in(self.world, number)
        thing = scene.objects[0]
        label = thing.kind if self.section.labels_level == "coarse" else thing.shape
        meta = {"task": "classification", "scene": number}
        return Labeled(f"scene-{number}", image_of(scene), label, meta)

    def _caption(self, number: int) -> Conversation:
        scene = draw_in(self.world, number)
        meta = {"task": "captioning", "scene": number}
        return _conversation(number, (scene,), DESCRIBE, dense_caption(scene), meta)

    def _question(self, number: int) -> Conversation:
        draws = Draws((self.world.seed, number, "sample"))
        scene, question = draw_question(
            self.world, number, draws.pick(self.question_types, "question type")
        )
        text, options = question.text, question.options
        if self.section.options:
            options = few_options(question, draws)
            text = with_options(question, options)
        shown = (scene,) if question.needs_image else ()
        meta = question_meta(question, options) | {"task": "question_answering", "scene": number}
        return _conversation(number, shown, text, question.answer, meta)


@dataclass(frozen=True)
class Drawing:
    """Draws a scene when called; pickles to a few hundred bytes.

    Attributes:
        scene: What to draw.
    """

    scene: Scene

    def __call__(self) -> Image:
        """Draw the image."""
        return render(self.scene)


def image_of(scene: Scene) -> ImageRef:
    """Refer to the image of a scene; it is drawn when it is opened."""
    return ImageRef(draw=Drawing(scene))


def question_meta(question: Question, options: tuple[str, ...]) -> dict[str, Any]:
    """Return what a scorer needs to know about a question."""
    return {
        "question_type": question.type,
        "options": list(options),
        "answer": question.answer,
        "needs_image": question.needs_image,
    }


def _conversation(
    number: int, scenes: tuple[Scene, ...], prompt: str, answer: str, meta: Mapping[str, Any]
) -> Conversation:
    turns = (
        Message("user", (*range(len(scenes)), prompt)),
        Message("assistant", (answer,)),
    )
    return Conversation(f"scene-{number}", turns, tuple(map(image_of, scenes)), meta)
