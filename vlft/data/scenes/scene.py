"""A scene, and how one is drawn from a seed and an index.

Placement follows two rules. No two objects of a scene agree in shape and color, so "the red circle"
always names one object. And each object stands clearly left of, right of, above or below the one
drawn before it: never on its diagonal, where two relations would hold at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from vlft.data.scenes.draws import Draws
from vlft.data.scenes.world import COLORS, SHAPES, SIZES, TEXTURES
from vlft.errors import DataError
from vlft.recipe.data.scenes import MIN_CELL, Split


@dataclass(frozen=True)
class SceneObject:
    """One object.

    Attributes:
        shape: Fine shape, a key of ``SHAPES``.
        color: A key of ``COLORS``.
        size: One of ``SIZES``.
        texture: One of ``TEXTURES``.
        row: Cell from the top, 0 first.
        column: Cell from the left, 0 first.
        dx: Pixels to the right of its place in the cell.
        dy: Pixels below its place in the cell.
    """

    shape: str
    color: str
    size: str
    texture: str
    row: int
    column: int
    dx: int = 0
    dy: int = 0

    @property
    def kind(self) -> str:
        """Coarse shape."""
        return SHAPES[self.shape]

    @property
    def name(self) -> tuple[str, str]:
        """Color and shape: unique in a scene."""
        return self.color, self.shape


@dataclass(frozen=True)
class World:
    """All that a scene depends on beside its index.

    Attributes:
        seed: Other seeds give other scenes.
        max_objects: Largest number of objects, 1 to 4.
        grid: Cells per side.
        jitter: Whether objects leave their cell's grid position by up to a quarter of a cell.
        image_size: Side of the image in pixels.
        split: Which scenes exist in it. Whether a scene is held out depends on its objects alone,
            so no seed, grid or jitter brings one into both splits.

    Raises:
        DataError: A number is out of range, or the cells are too small.
    """

    seed: int = 0
    max_objects: int = 2
    grid: int = 4
    jitter: bool = False
    image_size: int = 48
    split: Split = "all"

    def __post_init__(self) -> None:
        if not 1 <= self.max_objects <= 4:
            raise DataError(f"max_objects: {self.max_objects} is not in 1..4")
        if not 2 <= self.grid <= 9:
            raise DataError(f"grid: {self.grid} is not in 2..9")
        if self.image_size // self.grid < MIN_CELL:
            raise DataError(
                f"image_size: {self.image_size} pixels for a grid of {self.grid} leave cells under "
                f"{MIN_CELL} pixels; use image_size >= {MIN_CELL * self.grid}"
            )


@dataclass(frozen=True)
class Scene:
    """Objects on a grid.

    Attributes:
        world: What it was drawn with.
        index: Its number in that world.
        objects: In drawn order, which is unrelated to their places.
    """

    world: World
    index: int
    objects: tuple[SceneObject, ...]

    @property
    def cell(self) -> int:
        """Side of a cell in pixels."""
        return self.world.image_size // self.world.grid


def draw_scene(
    seed: int,
    index: int,
    *,
    max_objects: int = 2,
    grid: int = 4,
    jitter: bool = False,
    image_size: int = 48,
) -> Scene:
    """Draw scene ``index`` of the world with this seed.

    Args:
        seed: Seed of the world.
        index: Number of the scene.
        max_objects: The number of objects is drawn uniformly from 1 to this.
        grid: Cells per side.
        jitter: Move objects off their grid position, into free space only.
        image_size: Side of the image in pixels.

    Raises:
        DataError: The settings contradict each other.
    """
    world = World(seed, max_objects, grid, jitter, image_size)
    return draw_in(world, index)


def require_two_objects(world: World, needed_for: str) -> None:
    """Refuse what compares two objects in a world of single ones.

    Raises:
        DataError: The world has single objects.
    """
    if world.max_objects == 1:
        raise DataError(f"{needed_for} needs two objects: set max_objects to 2 or more, not 1")


def draw_in(world: World, index: int, *, attempt: int = 0, min_objects: int = 1) -> Scene:
    """Draw scene ``index`` of a world.

    Args:
        world: The world.
        index: Number of the scene.
        attempt: Other attempts give other scenes of the same index, for callers that search one
            with a property.
        min_objects: Smallest number of objects.
    """
    draws = Draws((world.seed, index, attempt))
    objects = _draw_objects(draws, world, min_objects)
    redrawn = 0
    while world.split != "all" and is_held_out(objects) != (world.split == "held_out"):
        redrawn += 1
        draws = Draws((world.seed, index, attempt, "redrawn", redrawn))
        objects = _draw_objects(draws, world, min_objects)
    if world.jitter:
        objects = jittered(draws, objects, world)
    return Scene(world, index, tuple(objects))


def is_held_out(objects: Sequence[SceneObject]) -> bool:
    """Whether a scene of these objects, on their grid positions, belongs to the held-out eighth."""
    names = sorted(f"{o.shape},{o.color},{o.size},{o.texture},{o.row},{o.column}" for o in objects)
    return Draws(("held out", *names)).below(8) == 0


def _draw_objects(draws: Draws, world: World, min_objects: int) -> list[SceneObject]:
    count = min_objects + draws.below(world.max_objects - min_objects + 1, "count")
    objects: list[SceneObject] = []
    for number in range(count):
        tries = 0
        while not _may_follow(thing := _draw_object(draws, number, tries, world.grid), objects):
            tries += 1
        objects.append(thing)
    return objects


_SHAPES, _COLORS = tuple(SHAPES), tuple(COLORS)


def _draw_object(draws: Draws, number: int, tries: int, grid: int) -> SceneObject:
    bounds = (len(_SHAPES), len(_COLORS), len(SIZES), len(TEXTURES), grid, grid)
    shape, color, size, texture, row, column = draws.each(bounds, "object", number, tries)
    return SceneObject(_SHAPES[shape], _COLORS[color], SIZES[size], TEXTURES[texture], row, column)


def _may_follow(thing: SceneObject, placed: list[SceneObject]) -> bool:
    """Whether an object has a name and a cell of its own, off the diagonal of the one before."""
    if not placed:
        return True
    last = placed[-1]
    diagonal = abs(thing.row - last.row) == abs(thing.column - last.column)
    return not diagonal and all(
        (thing.shape, thing.color) != (other.shape, other.color)
        and (thing.row, thing.column) != (other.row, other.column)
        for other in placed
    )


def jittered(draws: Draws, objects: list[SceneObject], world: World) -> list[SceneObject]:
    """Move each object from its grid position by up to a quarter cell, into free space only.

    A quarter cell keeps every relation. A move never enters the cell of another object, so staying
    put is always possible.
    """
    cell = world.image_size // world.grid
    reach = cell // 4
    moved = list(objects)
    for number, thing in enumerate(objects):
        others = moved[:number] + objects[number + 1 :]
        for tries in range(8):
            right, down = draws.each((2 * reach + 1, 2 * reach + 1), "jitter", number, tries)
            dx, dy = right - reach, down - reach
            left, top = thing.column * cell + dx, thing.row * cell + dy
            inside = min(left, top) >= 0 and max(left, top) + cell <= world.image_size
            if inside and not any(_overlap(left, top, other, cell) for other in others):
                moved[number] = replace(thing, dx=dx, dy=dy)
                break
    return moved


def _overlap(left: int, top: int, other: SceneObject, cell: int) -> bool:
    return (
        abs(left - other.column * cell - other.dx) < cell
        and abs(top - other.row * cell - other.dy) < cell
    )


def relation(first: SceneObject, second: SceneObject) -> str | None:
    """Say where ``first`` is from ``second``: left, right, above, below, or None on a diagonal."""
    across, down = first.column - second.column, first.row - second.row
    if abs(across) == abs(down):
        return None
    if abs(across) > abs(down):
        return "left" if across < 0 else "right"
    return "above" if down < 0 else "below"


def main_object(scene: Scene) -> SceneObject:
    """Return the object that a scene is classified by: the first large one in reading order.

    When all are small, the first one in reading order.
    """
    return min(scene.objects, key=lambda thing: (thing.size != "large", thing.row, thing.column))
