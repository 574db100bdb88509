"""Questions about the generated world as tokens, and what a tower sees of their images."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from vlft.data.scenes.captions import dense_caption
from vlft.data.scenes.draws import Draws
from vlft.data.scenes.question_draws import draw_question
from vlft.data.scenes.questions import QUESTIONS
from vlft.data.scenes.raster import pixels
from vlft.data.scenes.scene import Scene, World, draw_in
from vlft.data.scenes.vocabulary import vocabulary, words_of
from vlft.recipe.data.scenes import Split

IMAGE_TYPES = ("color", "texture", "size", "shape", "relation", "count")
TEXT_TYPES = ("kind", "same_kind")
TYPES = IMAGE_TYPES + TEXT_TYPES

PAD, BOS, IMAGE = 0, 1, 3
WORDS = {word: number for number, word in enumerate(vocabulary(), start=4)}
VOCABULARY = 4 + len(WORDS)

VISION_LAYERS = 8
PENULTIMATE = -2
"""State of the tower that LLaVA hands to its projector."""


class Questions(NamedTuple):
    """Questions with one-word answers.

    Attributes:
        ids: Tokens, padded on the left.
        answers: Token of each answer.
        types: Position in ``TYPES``.
        pixels: Images; those of questions without one are not shown.
    """

    ids: Int[Tensor, "questions tokens"]
    answers: Int[Tensor, " questions"]
    types: Int[Tensor, " questions"]
    pixels: UInt8[Tensor, "questions 3 height width"]

    @property
    def shows_image(self) -> Tensor:
        """Which questions are about an image."""
        return self.types < len(IMAGE_TYPES)


class Features(NamedTuple):
    """What a tower makes of images, for every arm.

    Attributes:
        groups: States of each group of layers (DEHVF); the class token comes first.
        last: States of the penultimate layer (tokens in the sequence), without a class token.
    """

    groups: Float[Tensor, "questions groups tokens width"]
    last: Float[Tensor, "questions patches width"]


def draw_questions(per_type: int, *, seed: int, split: Split) -> Questions:
    """Draw so many questions of every type; all answers of a type are equally frequent."""
    world = World(seed=seed, split=split)
    drawn = [
        (number, *draw_question(world, index, name))
        for number, name in enumerate(TYPES)
        for index in range(per_type)
    ]
    rows = [[BOS, *tokens_of(question.text)] for _, _, question in drawn]
    return Questions(
        padded_left(rows),
        torch.tensor([WORDS[question.answer] for _, _, question in drawn]),
        torch.tensor([number for number, _, _ in drawn]),
        images_of([scene for _, scene, _ in drawn]),
    )


def draw_readings(
    count: int, *, seed: int, questions: int
) -> tuple[Int[Tensor, "texts tokens"], Int[Tensor, "texts tokens"]]:
    """Draw texts to learn language from: a caption, and questions with answers about its scene.

    Returns:
        Tokens, and what each position has to predict next: answers alone, -100 elsewhere.
    """
    world = World(seed=seed, split="train")
    rows, wanted = [], []
    for index in range(count):
        scene, draws = draw_in(world, index), Draws((seed, index, "reading"))
        row, labels = [BOS, *tokens_of(dense_caption(scene))], []
        labels += [-100] * len(row)
        for number in range(questions):
            asked = QUESTIONS[draws.pick(IMAGE_TYPES, "type", number)](scene)
            if asked:
                question = draws.pick(asked, "question", number)
                text = tokens_of(question.text)
                labels[-1:] = [-100]
                labels += [*[-100] * (len(text) - 1), WORDS[question.answer], -100]
                row += [*text, WORDS[question.answer]]
        rows.append(row)
        wanted.append(labels)
    longest = max(map(len, rows))

    def filled(lists: list[list[int]], value: int) -> Tensor:
        return torch.tensor([[*one, *[value] * (longest - len(one))] for one in lists])

    return filled(rows, PAD), filled(wanted, -100)


def tokens_of(text: str) -> list[int]:
    """Return the tokens of a sentence."""
    return [WORDS[word] for word in words_of(text)]


def padded_left(rows: list[list[int]]) -> Int[Tensor, "rows tokens"]:
    """Pad rows on the left."""
    longest = max(map(len, rows))
    return torch.tensor([[PAD] * (longest - len(row)) + row for row in rows])


def images_of(scenes: list[Scene]) -> UInt8[Tensor, "scenes 3 height width"]:
    """Draw scenes."""
    drawn = torch.from_numpy(np.stack([pixels(scene) for scene in scenes]))
    return drawn.permute(0, 3, 1, 2).contiguous()


def seen(images: UInt8[Tensor, "images 3 height width"]) -> Float[Tensor, "images 3 height width"]:
    """Return images as the tower takes them."""
    return images.float() / 127.5 - 1
