"""Pairs of scenes drawn so that a question about both has a wanted answer.

One image is the other with a few drawn changes, so that wrong answers are near misses.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

from vlft.data.scenes.draws import Draws
from vlft.data.scenes.pair_questions import NEED_TWO_OBJECTS, PAIR_QUESTIONS, VIEWS
from vlft.data.scenes.questions import YES_NO, Question
from vlft.data.scenes.scene import (
    Scene,
    SceneObject,
    World,
    draw_in,
    jittered,
    relation,
    require_two_objects,
)
from vlft.data.scenes.world import COLORS, RELATIONS, SHAPES, SIZES, TEXTURES
from vlft.errors import pick


class ScenePair(NamedTuple):
    """Two scenes and a question about both.

    Attributes:
        first: Image 1.
        second: Image 2.
        question: Its type is a key of ``PAIR_QUESTIONS``.
    """

    first: Scene
    second: Scene
    question: Question


def pair_types(world: World) -> tuple[str, ...]:
    """Return the subtasks that a world can ask."""
    return tuple(
        name for name in PAIR_QUESTIONS if world.max_objects > 1 or name not in NEED_TWO_OBJECTS
    )


def draw_pair(world: World, index: int, subtask: str) -> ScenePair:
    """Draw pair ``index`` of a subtask; every answer is equally likely.

    Raises:
        UnknownNameError: No such subtask.
        DataError: The subtask needs two objects and the world has single ones.
    """
    ask = pick(PAIR_QUESTIONS, subtask, kind="subtask")
    if subtask in NEED_TWO_OBJECTS:
        require_two_objects(world, subtask)
    draws = Draws((world.seed, index, "pair", subtask))
    wanted = draws.pick(_ANSWERS.get(subtask, YES_NO), "answer")
    min_objects = 2 if subtask in NEED_TWO_OBJECTS else 1
    attempt = 0
    while True:
        scene = draw_in(world, index, attempt=attempt, min_objects=min_objects)
        changed = _changed(scene, subtask, draws.within(attempt))
        first, second = draws.shuffled((scene, changed), "order", attempt)
        fitting = [question for question in ask(first, second) if question.answer == wanted]
        if fitting:
            return ScenePair(first, second, draws.pick(fitting, "question"))
        attempt += 1


_ANSWERS: dict[str, tuple[str, ...]] = {
    "RelativePosition": tuple(RELATIONS),
    "AppearanceSimilarity": ("color", "size", "texture"),
    "Environments": ("1", "2", "same"),
    "ObservationAngle": tuple(VIEWS),
}


def _repaint(scene: Scene, draws: Draws) -> Scene:
    """Draw some looks of one object anew."""
    number = draws.below(len(scene.objects), "object")
    thing = scene.objects[number]
    repainted = replace(
        thing,
        shape=_perhaps(thing.shape, tuple(SHAPES), draws.within("shape")),
        color=_perhaps(thing.color, tuple(COLORS), draws.within("color")),
        size=_perhaps(thing.size, SIZES, draws.within("size")),
        texture=_perhaps(thing.texture, TEXTURES, draws.within("texture")),
    )
    return _with(scene, number, repainted)


def _perhaps(value: str, values: Sequence[str], draws: Draws) -> str:
    return draws.pick((value, draws.pick(values, "value")), "change")


def _move(scene: Scene, draws: Draws) -> Scene:
    """Put one object elsewhere."""
    number = draws.below(len(scene.objects), "object")
    row, column = (draws.below(scene.world.grid, name) for name in ("row", "column"))
    return _with(scene, number, replace(scene.objects[number], row=row, column=column))


def _drop(scene: Scene, draws: Draws) -> Scene:
    """Take one object away."""
    number = draws.below(len(scene.objects), "object")
    return replace(scene, objects=scene.objects[:number] + scene.objects[number + 1 :])


def _leave(scene: Scene, draws: Draws) -> Scene:
    """Draw another scene."""
    return draw_in(scene.world, draws.below(2**31, "other"))


def _see(scene: Scene, draws: Draws) -> Scene:
    """See the scene mirrored, flipped, turned or as it is."""
    return VIEWS[draws.pick(tuple(VIEWS), "view")](scene)


Change = Callable[[Scene, Draws], Scene]

_CHANGES: dict[str, tuple[tuple[Change, ...], ...]] = {
    "RelativePosition": ((_move,), (_see,)),
    "UsageSimilarity": ((_leave,),),
    "MentalitySimilarity": ((_leave,),),
    "SimilarMaterial": ((_leave,),),
    "AppearanceSimilarity": ((_leave,),),
    "NearSameEntity": ((_repaint,), (_repaint, _see)),
    "Environments": ((_drop,), (_repaint,)),
    "LayOut": ((_repaint,), (_move,), (_repaint, _move)),
    "SimilarEvent": ((_move,), (_repaint,), (_see,)),
    "SubEvent": ((_drop,), (_drop, _repaint)),
    "ObservationAngle": ((_see,),),
}
"""Subtask to the ways in which one image differs from the other. Two objects are compared only
between unrelated scenes: otherwise names that agree would give away that other things do, too."""


def _changed(scene: Scene, subtask: str, draws: Draws) -> Scene:
    """Change a scene in one drawn way; a change that breaks the rules of scenes is drawn again."""
    for attempt in range(8):
        drawn = draws.within("change", attempt)
        changed = scene
        for step, change in enumerate(drawn.pick(_CHANGES[subtask], "way")):
            changed = change(changed, drawn.within(step))
        if _well_formed(changed):
            return _settled(changed, drawn)
    return scene


def _well_formed(scene: Scene) -> bool:
    things = scene.objects
    return (
        0 < len(things) <= scene.world.max_objects
        and len({thing.name for thing in things}) == len(things)
        and len({(thing.row, thing.column) for thing in things}) == len(things)
        and all(relation(before, after) for before, after in pairwise(things))
    )


def _settled(scene: Scene, draws: Draws) -> Scene:
    """Give the objects new offsets: the old ones may lead into others or out of the image."""
    things = [replace(thing, dx=0, dy=0) for thing in scene.objects]
    moved = jittered(draws, things, scene.world) if scene.world.jitter else things
    return replace(scene, objects=tuple(moved))


def _with(scene: Scene, number: int, thing: SceneObject) -> Scene:
    objects = (*scene.objects[:number], thing, *scene.objects[number + 1 :])
    return replace(scene, objects=objects)
