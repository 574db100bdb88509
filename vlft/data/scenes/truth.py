"""Whether a sentence is true of a scene."""

import re

from vlft.data.scenes.scene import Scene, SceneObject, relation
from vlft.data.scenes.world import COLORS, RELATIONS, SHAPES, SIZES, TEXTURES

_NAME = re.compile(
    rf"(?:an?|the) (?:({'|'.join(SIZES)}) )?(?:({'|'.join(TEXTURES)}) )?"
    rf"(?:({'|'.join(COLORS)}) )?({'|'.join(SHAPES)})"
)
_LINK = re.compile(rf" (?:which )?is ({'|'.join(RELATIONS.values())}) ")
_PLACE = re.compile(r" is in row (\d) and column (\d)")


def holds(scene: Scene, sentence: str) -> bool:
    """Whether a sentence is a caption of the world's grammar and true of the scene.

    Ungrammatical text is not true of anything.
    """
    text = sentence.removesuffix(".").removeprefix("there is ").removeprefix("the image shows ")
    named: list[list[SceneObject]] = []  # per name in the text: the objects that it fits
    links: list[str] = []  # what stands between the names
    while match := _NAME.match(text):
        size, texture, color, shape = match.groups()
        wanted = {"size": size, "texture": texture, "color": color, "shape": shape}
        named.append([thing for thing in scene.objects if _fits(thing, wanted)])
        text = text[match.end() :]
        if place := _PLACE.fullmatch(text):
            cell = (int(place[1]) - 1, int(place[2]) - 1)
            return any((thing.row, thing.column) == cell for thing in named[-1])
        link = _LINK.match(text) or re.match(r"(?:,| and) ", text)
        if link:
            links.append(link[1] if link.re is _LINK else "")
            text = text[link.end() :]
        else:
            break
    if text or len(links) != len(named) - 1:
        return False
    return bool(named) and _can_choose(named, ["", *links], ())


def _fits(thing: SceneObject, wanted: dict[str, str | None]) -> bool:
    return all(value is None or getattr(thing, key) == value for key, value in wanted.items())


def _can_choose(
    named: list[list[SceneObject]], links: list[str], chosen: tuple[SceneObject, ...]
) -> bool:
    """Whether distinct objects can be chosen, one per name, so that every relation is true."""
    number = len(chosen)
    if number == len(named):
        return True
    link = links[number]
    return any(
        thing not in chosen
        and (not link or RELATIONS.get(relation(chosen[-1], thing) or "") == link)
        and _can_choose(named, links, (*chosen, thing))
        for thing in named[number]
    )
