"""Questions about two images: the generated stand-ins for MMRA's eleven subtasks.

Each subtask (arXiv 2407.17379; six at entity level, five at image level) is mapped to a fact of the
world of the same form. Where the world has nothing of the kind (use, mood, surroundings), the
nearest fact takes its place; ``docs/scenes.md`` has the table.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations

from vlft.data.scenes.captions import article, short_name
from vlft.data.scenes.questions import Question, unique_by, yes_no
from vlft.data.scenes.scene import Scene, SceneObject, relation
from vlft.data.scenes.world import RELATIONS

Asked = tuple[Question, ...]


def _view(*, rows: bool, columns: bool) -> Callable[[Scene], Scene]:
    def seen(scene: Scene) -> Scene:
        last = scene.world.grid - 1
        return replace(
            scene,
            objects=tuple(
                replace(
                    thing,
                    row=last - thing.row if rows else thing.row,
                    column=last - thing.column if columns else thing.column,
                )
                for thing in scene.objects
            ),
        )

    return seen


VIEWS: dict[str, Callable[[Scene], Scene]] = {
    "same": _view(rows=False, columns=False),
    "mirrored": _view(rows=False, columns=True),
    "flipped": _view(rows=True, columns=False),
    "turned": _view(rows=True, columns=True),
}
"""Name of a view to the scene with its places seen so; the objects themselves do not turn."""


def relative_position(first: Scene, second: Scene) -> Asked:
    """Ask where an object that is in both images stands in image 2, seen from its place in 1."""
    found = []
    for before in first.objects:
        for after in second.objects:
            moved = relation(after, before)
            if before.name == after.name and moved is not None:
                text = f"where is the {short_name(before)} in image 2 relative to image 1?"
                found.append(Question("RelativePosition", text, tuple(RELATIONS), moved))
    return tuple(found)


def usage_similarity(first: Scene, second: Scene) -> Asked:
    """Ask whether two objects, told by color, have one coarse shape, which stands for the use."""
    return tuple(
        yes_no(
            "UsageSimilarity",
            f"are the {one.color} object in image 1 and the {two.color} object in image 2 "
            "of the same kind?",
            one.kind == two.kind,
        )
        for one in unique_by(first, "color")
        for two in unique_by(second, "color")
    )


def mentality_similarity(first: Scene, second: Scene) -> Asked:
    """Ask whether two objects have one size: the world has no moods, the size takes their place."""
    return _same(first, second, "MentalitySimilarity", "size")


def similar_material(first: Scene, second: Scene) -> Asked:
    """Ask whether two objects have one texture."""
    return _same(first, second, "SimilarMaterial", "texture")


def appearance_similarity(first: Scene, second: Scene) -> Asked:
    """Ask what two objects, told by shape, have in common, when it is one of three things."""
    options = ("color", "size", "texture")
    found = []
    for one in unique_by(first, "shape"):
        for two in unique_by(second, "shape"):
            shared = [name for name in options if getattr(one, name) == getattr(two, name)]
            text = (
                f"what is the same for the {one.shape} in image 1 and the {two.shape} in image 2?"
            )
            if len(shared) == 1:
                found.append(Question("AppearanceSimilarity", text, options, shared[0]))
    return tuple(found)


def near_same_entity(first: Scene, second: Scene) -> Asked:
    """Ask whether an object of one color and shape is in both images, or only nearly."""
    names = [{thing.name for thing in scene.objects} for scene in (first, second)]
    return tuple(
        yes_no(
            "NearSameEntity",
            f"is there {article(f'{color} {shape}')} in both images?",
            (color, shape) in names[0] & names[1],
        )
        for color, shape in sorted(names[0] | names[1])
    )


def environments(first: Scene, second: Scene) -> Asked:
    """Ask which image has more objects: how crowded it is stands for the surroundings."""
    if first.world.max_objects == 1:
        return ()
    one, two = len(first.objects), len(second.objects)
    answer = "same" if one == two else "1" if one > two else "2"
    text = "which image has more objects, or is it the same?"
    return (Question("Environments", text, ("1", "2", "same"), answer),)


def layout(first: Scene, second: Scene) -> Asked:
    """Ask whether the occupied cells are the same."""
    cells = [{(thing.row, thing.column) for thing in scene.objects} for scene in (first, second)]
    text = "do both images have objects in the same rows and columns?"
    return (yes_no("LayOut", text, cells[0] == cells[1]),)


def similar_event(first: Scene, second: Scene) -> Asked:
    """Ask whether what happens in one image (an object beside another) happens in both."""
    events = [
        {
            (one.name, relation(one, two), two.name)
            for one, two in permutations(scene.objects, 2)
            if relation(one, two)
        }
        for scene in (first, second)
    ]
    return tuple(
        yes_no(
            "SimilarEvent",
            f"is the {' '.join(one)} {RELATIONS[name]} the {' '.join(two)} in both images?",
            (one, name, two) in events[0] & events[1],
        )
        for one, name, two in sorted(events[0] | events[1])
        if name is not None
    )


def sub_event(first: Scene, second: Scene) -> Asked:
    """Ask whether all objects of one image are also in the other, more crowded one."""
    if len(second.objects) <= len(first.objects):
        return ()
    names = [{thing.name for thing in scene.objects} for scene in (first, second)]
    text = "is image 1 a part of image 2?"
    return (yes_no("SubEvent", text, names[0] < names[1]),)


def observation_angle(first: Scene, second: Scene) -> Asked:
    """Ask how image 2 is seen: as image 1, mirrored left to right, flipped upside down, or both."""
    views = {name: _arrangement(view(first)) for name, view in VIEWS.items()}
    fitting = [name for name, seen in views.items() if seen == _arrangement(second)]
    if len(fitting) != 1:
        return ()
    text = "how is image 2 seen relative to image 1?"
    return (Question("ObservationAngle", text, tuple(VIEWS), fitting[0]),)


PAIR_QUESTIONS: dict[str, Callable[[Scene, Scene], Asked]] = {
    "RelativePosition": relative_position,
    "UsageSimilarity": usage_similarity,
    "MentalitySimilarity": mentality_similarity,
    "SimilarMaterial": similar_material,
    "AppearanceSimilarity": appearance_similarity,
    "NearSameEntity": near_same_entity,
    "Environments": environments,
    "LayOut": layout,
    "SimilarEvent": similar_event,
    "SubEvent": sub_event,
    "ObservationAngle": observation_angle,
}
"""MMRA subtask to the function that asks all its questions about two scenes."""

ENTITY_LEVEL = tuple(PAIR_QUESTIONS)[:6]
"""Subtasks about single objects; the others are about images as wholes."""

NEED_TWO_OBJECTS = ("Environments", "SimilarEvent", "SubEvent")
"""Subtasks that a world with single objects cannot ask."""


def pair_relations(first: Scene, second: Scene) -> Asked:
    """Return every question that two scenes allow: all that relates them, with answers."""
    return tuple(question for ask in PAIR_QUESTIONS.values() for question in ask(first, second))


def _arrangement(scene: Scene) -> frozenset[SceneObject]:
    return frozenset(replace(thing, dx=0, dy=0) for thing in scene.objects)


def _same(first: Scene, second: Scene, subtask: str, attribute: str) -> Asked:
    return tuple(
        yes_no(
            subtask,
            f"are the {short_name(one)} in image 1 and the {short_name(two)} in image 2 "
            f"of the same {attribute}?",
            getattr(one, attribute) == getattr(two, attribute),
        )
        for one in first.objects
        for two in second.objects
    )
