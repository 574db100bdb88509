"""SugarCrepe's layout (arXiv 2306.14610): seven JSON objects from numbers to records, and images.

    add_att.json ...   filename, caption, negative_caption
    val2017/           images, which the seven sets share

A wrong caption adds, replaces or swaps an attribute (att), an object (obj) or a relation (rel).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vlft.data.scenes.captions import (
    article,
    dense_caption,
    dense_text,
    listing,
    relations_along,
    short_name,
)
from vlft.data.scenes.draws import Draws
from vlft.data.scenes.layouts.files import write_image, write_json
from vlft.data.scenes.scene import Scene, SceneObject, World, draw_in, require_two_objects
from vlft.data.scenes.truth import holds
from vlft.data.scenes.world import COLORS, RELATIONS, SHAPES, SIZES, TEXTURES

Wrong = Callable[[Scene, Draws], tuple[str, str]]
"""From a scene to a true caption and one that is false, unless chance made it true as well."""

IMAGES = "val2017"

_VALUES = {"color": tuple(COLORS), "texture": TEXTURES, "size": SIZES}


def write(folder: Path, world: World, indices: range) -> None:
    """Write the seven sets, each with one record per index.

    Raises:
        DataError: The world has single objects, which nothing can be swapped with.
    """
    require_two_objects(world, "sugarcrepe")
    scenes = [_scene(world, index) for index in indices]
    for scene in scenes:
        write_image(scene, folder / IMAGES / _file(scene))
    for name, change in SETS.items():
        records = {str(number): _record(scene, name, change) for number, scene in enumerate(scenes)}
        write_json(records, folder / f"{name}.json")


def _scene(world: World, index: int) -> Scene:
    """Draw a scene of which every set can say something false."""
    attempt = 0
    while True:
        scene = draw_in(world, index, attempt=attempt, min_objects=2)
        if not any(_is_true(scene, name, change) for name, change in SETS.items()):
            return scene
        attempt += 1


def _is_true(scene: Scene, name: str, change: Wrong) -> bool:
    return holds(scene, change(scene, _draws(scene, name))[1])


def _record(scene: Scene, name: str, change: Wrong) -> Mapping[str, Any]:
    true, false = change(scene, _draws(scene, name))
    return {"filename": _file(scene), "caption": true, "negative_caption": false}


def _file(scene: Scene) -> str:
    return f"{scene.index:012}.png"


def _draws(scene: Scene, name: str) -> Draws:
    return Draws((scene.world.seed, scene.index, "sugarcrepe", name))


def _add_att(scene: Scene, draws: Draws) -> tuple[str, str]:
    first, *others = scene.objects
    attribute = draws.pick(("texture", "size"), "attribute")
    value = _other(getattr(first, attribute), _VALUES[attribute], draws)
    told = [article(f"{value} {short_name(first)}"), *(article(short_name(o)) for o in others)]
    return listing(scene), f"{', '.join(told[:-1])} and {told[-1]}."


def _add_obj(scene: Scene, draws: Draws) -> tuple[str, str]:
    first, *others = scene.objects
    return listing(scene), listing(
        replace(scene, objects=(first, _stranger(first, draws), *others))
    )


def _replace_att(scene: Scene, draws: Draws) -> tuple[str, str]:
    first, *others = scene.objects
    attribute = draws.pick(tuple(_VALUES), "attribute")
    value: Any = _other(getattr(first, attribute), _VALUES[attribute], draws)
    return _dense(scene, (replace(first, **{attribute: value}), *others))


def _replace_obj(scene: Scene, draws: Draws) -> tuple[str, str]:
    first, *others = scene.objects
    return _dense(scene, (_stranger(first, draws), *others))


def _replace_rel(scene: Scene, draws: Draws) -> tuple[str, str]:
    first, *others = relations_along(scene)
    return dense_caption(scene), dense_text(
        scene.objects, (_other(first, tuple(RELATIONS), draws), *others)
    )


def _swap_att(scene: Scene, draws: Draws) -> tuple[str, str]:
    first, second, *others = scene.objects
    named = replace(first, color=second.color), replace(second, color=first.color)
    return _dense(scene, (*named, *others))


def _swap_obj(scene: Scene, draws: Draws) -> tuple[str, str]:
    first, second, *others = scene.objects
    named = replace(first, shape=second.shape), replace(second, shape=first.shape)
    return _dense(scene, (*named, *others))


SETS: dict[str, Wrong] = {
    "add_att": _add_att,
    "add_obj": _add_obj,
    "replace_att": _replace_att,
    "replace_obj": _replace_obj,
    "replace_rel": _replace_rel,
    "swap_att": _swap_att,
    "swap_obj": _swap_obj,
}
"""Name of a set to what it does to a caption."""


def _dense(scene: Scene, objects: tuple[SceneObject, ...]) -> tuple[str, str]:
    return dense_caption(scene), dense_text(objects, relations_along(scene))


def _stranger(thing: SceneObject, draws: Draws) -> SceneObject:
    """Give an object another shape."""
    return replace(thing, shape=_other(thing.shape, tuple(SHAPES), draws))


def _other(value: str, values: tuple[str, ...], draws: Draws) -> str:
    return draws.pick([one for one in values if one != value], "value")
