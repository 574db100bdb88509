"""True captions of a scene."""

from collections.abc import Sequence
from itertools import pairwise, permutations

from vlft.data.scenes.scene import Scene, SceneObject, relation
from vlft.data.scenes.world import RELATIONS


def article(words: str) -> str:
    """Put "a" or "an" before some words."""
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def short_name(thing: SceneObject) -> str:
    """Name an object by color and shape, which is unique in its scene."""
    return f"{thing.color} {thing.shape}"


def full_name(thing: SceneObject) -> str:
    """Name an object by all that it looks like."""
    return f"{thing.size} {thing.texture} {thing.color} {thing.shape}"


def dense_caption(scene: Scene) -> str:
    """Name every object with all attributes, and how each stands to the one after it.

    A lone object is told by its row and column (from 1) instead.
    """
    first = scene.objects[0]
    if len(scene.objects) == 1:
        place = f"row {first.row + 1} and column {first.column + 1}"
        return f"{article(full_name(first))} is in {place}."
    return dense_text(scene.objects, relations_along(scene))


def relations_along(scene: Scene) -> tuple[str, ...]:
    """Return how each object stands to the one after it."""
    names = tuple(relation(*pair) for pair in pairwise(scene.objects))
    known = tuple(name for name in names if name is not None)
    assert known == names, "scenes place each object off the diagonal of the one before"
    return known


def dense_text(objects: Sequence[SceneObject], relations: Sequence[str]) -> str:
    """Chain objects by the relation of each to the one after it."""
    first, *rest = (article(full_name(thing)) for thing in objects)
    links = (" which is" if number else " is" for number in range(len(rest)))
    steps = zip(links, relations, rest, strict=True)
    return first + "".join(f"{link} {RELATIONS[name]} {thing}" for link, name, thing in steps) + "."


def listing(scene: Scene) -> str:
    """Name every object by color and shape."""
    *most, last = [article(short_name(thing)) for thing in scene.objects]
    return f"{', '.join(most)} and {last}." if most else f"{last}."


def relation_sentence(first: SceneObject, second: SceneObject) -> str | None:
    """Say how two objects stand to each other; None on a diagonal."""
    name = relation(first, second)
    if name is None:
        return None
    return f"the {short_name(first)} is {RELATIONS[name]} the {short_name(second)}."


def captions(scene: Scene) -> tuple[str, ...]:
    """Return all true captions: the dense one first, then the listings, then each relation."""
    text = listing(scene)
    related = (relation_sentence(*pair) for pair in permutations(scene.objects, 2))
    return (
        dense_caption(scene),
        text,
        f"there is {text}",
        f"the image shows {text}",
        *(sentence for sentence in related if sentence),
    )
