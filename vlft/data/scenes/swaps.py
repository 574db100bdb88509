"""False captions of a scene, made from true ones by swapping words."""

from dataclasses import replace
from itertools import combinations, permutations
from typing import Literal, NamedTuple

from vlft.data.scenes.captions import dense_caption, dense_text, relations_along, short_name
from vlft.data.scenes.draws import Draws
from vlft.data.scenes.scene import Scene, relation
from vlft.data.scenes.truth import holds
from vlft.data.scenes.world import COLORS, RELATIONS, SHAPES, SIZES, TEXTURES


class SwappedCaption(NamedTuple):
    """A caption that is false of its scene, beside the true one it was made from.

    Attributes:
        kind: What was swapped: the attributes of two objects, the arguments of a relation, or the
            order of the words.
        true: The true caption.
        false: The false caption, with the same words.
        detail: The two attribute values, the relation, or the way of shuffling.
    """

    kind: Literal["attribute", "relation", "order"]
    true: str
    false: str
    detail: tuple[str, ...]


def swapped_captions(scene: Scene) -> tuple[SwappedCaption, ...]:
    """Return every attribute, relation and order swap that is false of the scene."""
    return (*_attribute_swaps(scene), *_relation_swaps(scene), *_order_swaps(scene))


def _attribute_swaps(scene: Scene) -> list[SwappedCaption]:
    found = []
    for first, second in combinations(scene.objects, 2):
        for attribute in ("color", "texture", "size"):
            one, two = getattr(first, attribute), getattr(second, attribute)
            true = f"the {one} {first.shape} and the {two} {second.shape}."
            false = f"the {two} {first.shape} and the {one} {second.shape}."
            if one != two and not holds(scene, false):
                found.append(SwappedCaption("attribute", true, false, (one, two)))
    return found


def _relation_swaps(scene: Scene) -> list[SwappedCaption]:
    found = []
    for first, second in permutations(scene.objects, 2):
        name = relation(first, second)
        if name is not None:
            words = RELATIONS[name]
            true = f"the {short_name(first)} is {words} the {short_name(second)}."
            false = f"the {short_name(second)} is {words} the {short_name(first)}."
            found.append(SwappedCaption("relation", true, false, (name,)))
    return found


def hard_captions(scene: Scene) -> tuple[str, ...]:
    """Return false versions of the dense caption: two objects trade an attribute, shape, or place.

    The words stay the same but for "a" and "an". A lone object has nobody to trade with.
    """
    if len(scene.objects) == 1:
        return ()
    true = dense_caption(scene)
    relations = relations_along(scene)
    found = []
    for traded in (("color",), ("texture",), ("size",), ("shape",), LOOKS):
        first, second, *others = scene.objects
        swapped = (
            replace(first, **{name: getattr(second, name) for name in traded}),
            replace(second, **{name: getattr(first, name) for name in traded}),
        )
        false = dense_text((*swapped, *others), relations)
        if false not in (true, *found) and not holds(scene, false):
            found.append(false)
    return tuple(found)


LOOKS = ("size", "texture", "color", "shape")
"""The attributes that make up an object's full name."""

SHUFFLES = ("nouns_and_adjectives", "all_but_nouns_and_adjectives", "within_trigrams", "trigrams")
"""The four ways of ARO's order tests: some words among themselves, words inside groups of three,
groups of three as wholes."""

CONTENT_WORDS = frozenset((*SIZES, *TEXTURES, *COLORS, *SHAPES, "row", "column"))


def _order_swaps(scene: Scene) -> list[SwappedCaption]:
    true = dense_caption(scene)
    draws = Draws((scene.world.seed, scene.index, true))
    found = []
    for way in SHUFFLES:
        # Few words can land where they were, or a true sentence can come out: draw again.
        for attempt in range(16):
            false = shuffle_words(true, way, draws.within(way, attempt))
            if false != true and not holds(scene, false):
                found.append(SwappedCaption("order", true, false, (way,)))
                break
    return found


def shuffle_words(sentence: str, way: str, draws: Draws) -> str:
    """Shuffle the words of a sentence in one of ``SHUFFLES``; the final period stays."""
    words = sentence.removesuffix(".").split(" ")
    if way in SHUFFLES[:2]:
        content = way == "nouns_and_adjectives"
        places = [i for i, word in enumerate(words) if (word in CONTENT_WORDS) == content]
        for place, word in zip(places, draws.shuffled([words[i] for i in places]), strict=True):
            words[place] = word
        return " ".join(words) + "."
    groups = [words[start : start + 3] for start in range(0, len(words), 3)]
    if way == "within_trigrams":
        groups = [list(draws.shuffled(group, number)) for number, group in enumerate(groups)]
    else:
        groups = list(draws.shuffled(groups))
    return " ".join(word for group in groups for word in group) + "."
