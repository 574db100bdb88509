"""What the two chat layouts hold: captions and questions, in turns."""

from typing import NamedTuple

from vlft.data.scenes.captions import dense_caption
from vlft.data.scenes.dataset import DESCRIBE
from vlft.data.scenes.pair_questions import PAIR_QUESTIONS
from vlft.data.scenes.pairs import draw_pair
from vlft.data.scenes.question_draws import draw_question
from vlft.data.scenes.scene import Scene, World, draw_in

CAPTION = "caption"


class Dialogue(NamedTuple):
    """One request and its answer.

    Attributes:
        scenes: What is shown: none, one or two images.
        prompt: The request.
        answer: The answer.
    """

    scenes: tuple[Scene, ...]
    prompt: str
    answer: str


def draw_dialogue(world: World, index: int, kind: str) -> Dialogue:
    """Draw dialogue ``index``: a caption, a question of a type, or a question about two images."""
    if kind == CAPTION:
        scene = draw_in(world, index)
        return Dialogue((scene,), DESCRIBE, dense_caption(scene))
    if kind in PAIR_QUESTIONS:
        first, second, question = draw_pair(world, index, kind)
        return Dialogue((first, second), question.text, question.answer)
    scene, question = draw_question(world, index, kind)
    return Dialogue((scene,) if question.needs_image else (), question.text, question.answer)
