"""Questions about a scene with one-word answers, and a few that need no image.

A question function returns all questions of its type that a scene allows; none may be possible.
"""

from collections.abc import Callable
from itertools import combinations, permutations
from typing import NamedTuple

from vlft.data.scenes.captions import article, short_name
from vlft.data.scenes.scene import Scene, SceneObject, relation
from vlft.data.scenes.world import COLORS, KINDS, RELATIONS, SHAPES, SIZES, TEXTURES

YES_NO = ("yes", "no")


class Question(NamedTuple):
    """A question with its options.

    Attributes:
        type: Its key in ``QUESTIONS`` (or ``PAIR_QUESTIONS``).
        text: The question.
        options: All answers that the question leaves open, in a fixed order.
        answer: One of the options.
        needs_image: False when the text alone decides.
    """

    type: str
    text: str
    options: tuple[str, ...]
    answer: str
    needs_image: bool = True

    @property
    def chance(self) -> float:
        """Accuracy of guessing among the options."""
        return 1 / len(self.options)


def color(scene: Scene) -> tuple[Question, ...]:
    """Ask for the color of an object that is told by its shape."""
    return tuple(
        Question("color", f"what color is the {thing.shape}?", tuple(COLORS), thing.color)
        for thing in unique_by(scene, "shape")
    )


def shape(scene: Scene) -> tuple[Question, ...]:
    """Ask for the fine shape of an object that is told by its color."""
    return tuple(
        Question("shape", f"what shape is the {thing.color} object?", tuple(SHAPES), thing.shape)
        for thing in unique_by(scene, "color")
    )


def coarse_shape(scene: Scene) -> tuple[Question, ...]:
    """Ask for the coarse shape of an object that is told by its color."""
    return tuple(
        Question(
            "coarse_shape",
            f"what kind of shape is the {thing.color} object?",
            tuple(KINDS),
            thing.kind,
        )
        for thing in unique_by(scene, "color")
    )


def size(scene: Scene) -> tuple[Question, ...]:
    """Ask for the size of an object."""
    return tuple(
        Question("size", f"what size is the {short_name(thing)}?", SIZES, thing.size)
        for thing in scene.objects
    )


def texture(scene: Scene) -> tuple[Question, ...]:
    """Ask for the texture of an object."""
    return tuple(
        Question("texture", f"what texture is the {short_name(thing)}?", TEXTURES, thing.texture)
        for thing in scene.objects
    )


def position(scene: Scene) -> tuple[Question, ...]:
    """Ask for the half of the image that an object is in; the middle of an odd grid is in none."""
    last = scene.world.grid - 1
    found = []
    for thing in scene.objects:
        for cell, options in ((thing.column, ("left", "right")), (thing.row, ("top", "bottom"))):
            text = f"in which half is the {short_name(thing)}, {options[0]} or {options[1]}?"
            if 2 * cell != last:
                found.append(Question("position", text, options, options[2 * cell > last]))
    return tuple(found)


def row(scene: Scene) -> tuple[Question, ...]:
    """Ask for the row of an object, 1 at the top."""
    options = numbers(scene.world.grid)
    return tuple(
        Question("row", f"in which row is the {short_name(thing)}?", options, str(thing.row + 1))
        for thing in scene.objects
    )


def column(scene: Scene) -> tuple[Question, ...]:
    """Ask for the column of an object, 1 at the left."""
    options = numbers(scene.world.grid)
    return tuple(
        Question(
            "column", f"in which column is the {short_name(thing)}?", options, str(thing.column + 1)
        )
        for thing in scene.objects
    )


def relation_between(scene: Scene) -> tuple[Question, ...]:
    """Ask how one object stands to another; pairs on a diagonal are left out."""
    found = []
    for first, second in permutations(scene.objects, 2):
        answer = relation(first, second)
        text = f"where is the {short_name(first)} relative to the {short_name(second)}?"
        if answer is not None:
            found.append(Question("relation", text, tuple(RELATIONS), answer))
    return tuple(found)


def count(scene: Scene) -> tuple[Question, ...]:
    """Ask how many objects there are, in a world where this can differ."""
    options = numbers(scene.world.max_objects)
    if len(options) == 1:
        return ()
    return (Question("count", "how many objects are there?", options, str(len(scene.objects))),)


def exists(scene: Scene) -> tuple[Question, ...]:
    """Ask for an object that is there, or for one that shares a color or a shape with some."""
    present = {thing.name for thing in scene.objects}
    colors, shapes = ({name[part] for name in present} for part in (0, 1))
    found = []
    for name in COLORS:
        for fine in SHAPES:
            if name in colors or fine in shapes:
                text = f"is there {article(f'{name} {fine}')}?"
                found.append(yes_no("exists", text, (name, fine) in present))
    return tuple(found)


def compare(scene: Scene) -> tuple[Question, ...]:
    """Ask whether one object is larger than another."""
    return tuple(
        yes_no(
            "compare",
            f"is the {short_name(first)} larger than the {short_name(second)}?",
            first.size == "large" and second.size == "small",
        )
        for first, second in permutations(scene.objects, 2)
    )


def same_color(scene: Scene) -> tuple[Question, ...]:
    """Ask whether two objects, told by their shapes, have one color."""
    return tuple(
        yes_no(
            "same_color",
            f"are the {first.shape} and the {second.shape} of the same color?",
            first.color == second.color,
        )
        for first, second in permutations(unique_by(scene, "shape"), 2)
    )


def same_texture(scene: Scene) -> tuple[Question, ...]:
    """Ask whether two objects have one texture."""
    return tuple(
        yes_no(
            "same_texture",
            f"are the {short_name(first)} and the {short_name(second)} of the same texture?",
            first.texture == second.texture,
        )
        for first, second in permutations(scene.objects, 2)
    )


def kind(scene: Scene) -> tuple[Question, ...]:
    """Ask for the coarse shape of a fine shape; no image needed."""
    return _KIND


def hierarchy(scene: Scene) -> tuple[Question, ...]:
    """Ask whether a fine shape belongs to a coarse one; no image needed."""
    return _HIERARCHY


def same_kind(scene: Scene) -> tuple[Question, ...]:
    """Ask whether two fine shapes have one coarse shape; no image needed."""
    return _SAME_KIND


QUESTIONS: dict[str, Callable[[Scene], tuple[Question, ...]]] = {
    "color": color,
    "shape": shape,
    "coarse_shape": coarse_shape,
    "size": size,
    "texture": texture,
    "position": position,
    "row": row,
    "column": column,
    "relation": relation_between,
    "count": count,
    "exists": exists,
    "compare": compare,
    "same_color": same_color,
    "same_texture": same_texture,
    "kind": kind,
    "hierarchy": hierarchy,
    "same_kind": same_kind,
}
"""Question type to the function that asks all questions of the type about a scene."""

TEXT_ONLY = ("kind", "hierarchy", "same_kind")
"""Types that need no image."""

NEED_TWO_OBJECTS = ("relation", "count", "compare", "same_color", "same_texture")
"""Types that a world with single objects cannot ask."""


def questions(scene: Scene) -> tuple[Question, ...]:
    """Return every question that can be asked about a scene, text-only ones included."""
    return tuple(question for ask in QUESTIONS.values() for question in ask(scene))


def unique_by(scene: Scene, attribute: str) -> list[SceneObject]:
    """Return the objects that one attribute tells from all others."""
    values = [getattr(thing, attribute) for thing in scene.objects]
    return [
        thing
        for thing, value in zip(scene.objects, values, strict=True)
        if values.count(value) == 1
    ]


def numbers(last: int) -> tuple[str, ...]:
    """Return the numbers from 1 as text."""
    return tuple(map(str, range(1, last + 1)))


def yes_no(question_type: str, text: str, truth: bool, *, needs_image: bool = True) -> Question:
    """Make a question that is answered by yes or no."""
    return Question(question_type, text, YES_NO, "yes" if truth else "no", needs_image)


_KIND = tuple(
    Question(
        "kind", f"what kind of shape is {article(fine)}?", tuple(KINDS), coarse, needs_image=False
    )
    for fine, coarse in SHAPES.items()
)
_HIERARCHY = tuple(
    yes_no("hierarchy", f"is {article(fine)} {coarse}?", SHAPES[fine] == coarse, needs_image=False)
    for fine in SHAPES
    for coarse in KINDS
)
_SAME_KIND = tuple(
    yes_no(
        "same_kind",
        f"are {article(first)} and {article(second)} of the same kind?",
        SHAPES[first] == SHAPES[second],
        needs_image=False,
    )
    for first, second in combinations(SHAPES, 2)
)
