"""Questions drawn for data sets: the answer first, then a scene and a question that have it.

So the answers of every type are equally frequent, and since no name is preferred anywhere, the text
of a question about an image says nothing about its answer.
"""

from collections.abc import Sequence

from vlft.data.scenes.draws import Draws
from vlft.data.scenes.questions import NEED_TWO_OBJECTS, QUESTIONS, YES_NO, Question, numbers
from vlft.data.scenes.scene import Scene, World, draw_in, require_two_objects
from vlft.data.scenes.world import COLORS, KINDS, RELATIONS, SHAPES, SIZES, TEXTURES
from vlft.errors import pick


def question_types(world: World) -> tuple[str, ...]:
    """Return the types that a world can ask."""
    return tuple(
        name for name in QUESTIONS if world.max_objects > 1 or name not in NEED_TWO_OBJECTS
    )


def answers(question_type: str, world: World) -> tuple[str, ...]:
    """Return all answers that questions of a type can have in a world, equally frequent in data.

    Raises:
        UnknownNameError: No such type.
    """
    closed: dict[str, tuple[str, ...]] = {
        "color": tuple(COLORS),
        "shape": tuple(SHAPES),
        "coarse_shape": tuple(KINDS),
        "size": SIZES,
        "texture": TEXTURES,
        "position": ("left", "right", "top", "bottom"),
        "row": numbers(world.grid),
        "column": numbers(world.grid),
        "relation": tuple(RELATIONS),
        "count": numbers(world.max_objects),
        "kind": tuple(KINDS),
    }
    pick(QUESTIONS, question_type, kind="question type")
    return closed.get(question_type, YES_NO)


def chance(question_type: str, world: World) -> float:
    """Return the accuracy of guessing among a question's options.

    A position question leaves two of the four answers open; every other type leaves all.
    """
    return 1 / 2 if question_type == "position" else 1 / len(answers(question_type, world))


def draw_question(world: World, index: int, question_type: str) -> tuple[Scene, Question]:
    """Draw question ``index`` of a type, with its scene; every answer is equally likely.

    Raises:
        UnknownNameError: No such type.
        DataError: The type needs two objects and the world has single ones.
    """
    ask = pick(QUESTIONS, question_type, kind="question type")
    if question_type in NEED_TWO_OBJECTS:
        require_two_objects(world, question_type)
    draws = Draws((world.seed, index, "question", question_type))
    wanted = draws.pick(answers(question_type, world), "answer")
    attempt = 0
    while True:
        scene = draw_in(world, index, attempt=attempt)
        fitting = [question for question in ask(scene) if question.answer == wanted]
        if fitting:
            return scene, draws.pick(fitting, "question")
        attempt += 1


def few_options(question: Question, draws: Draws, *, number: int = 4) -> tuple[str, ...]:
    """Return at most ``number`` options in a drawn order, the answer among them."""
    others = [option for option in question.options if option != question.answer]
    kept = draws.shuffled(others, "options")[: number - 1]
    return draws.shuffled((*kept, question.answer), "order")


def with_options(question: Question, options: Sequence[str]) -> str:
    """Write a question with the options to choose from."""
    return f"{question.text} choose from {', '.join(options)}."
