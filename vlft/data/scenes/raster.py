"""From a scene to its image, in integer arithmetic only: the bytes are equal everywhere.

Shapes are point tests at pixel centers. In a square of ``n`` pixels the center of pixel ``i`` has
the doubled coordinate ``2 i - (n - 1)``, so that all coordinates are integers and ``n`` is the half
side of the square.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Int, UInt8
from PIL import Image

from vlft.data.scenes.scene import Scene, SceneObject
from vlft.data.scenes.world import BACKGROUND, COLORS

Grid = Int[np.ndarray, "size size"]
Mask = Bool[np.ndarray, "size size"]

INSIDE: dict[str, Callable[[Grid, Grid, int], Mask]] = {
    "circle": lambda x, y, n: x * x + y * y <= n * n,
    "oval": lambda x, y, n: x * x + 4 * y * y <= n * n,
    "ring": lambda x, y, n: (x * x + y * y <= n * n) & (4 * (x * x + y * y) >= n * n),
    "square": lambda x, y, n: (abs(x) < n) & (abs(y) < n),
    "bar": lambda x, y, n: (2 * abs(x) <= n) & (abs(y) < n),
    "frame": lambda x, y, n: 2 * np.maximum(abs(x), abs(y)) >= n,
    "triangle": lambda x, y, n: 2 * abs(x) <= y + n + 1,
    "diamond": lambda x, y, n: abs(x) + abs(y) <= n,
    "arrow": lambda x, y, n: np.where(y < 0, abs(x) <= y + n, 4 * abs(x) <= n),
    "plus": lambda x, y, n: 3 * np.minimum(abs(x), abs(y)) <= n,
    "cross": lambda x, y, n: 3 * abs(abs(x) - abs(y)) <= n,
    "hash": lambda x, y, n: _bars(x, n) | _bars(y, n),
}
"""Fine shape to its point test (doubled x to the right, doubled y downward, half side)."""


def _bars(x: Grid, n: int) -> Mask:
    return (n <= 3 * abs(x)) & (3 * abs(x) <= 2 * n)


def render(scene: Scene) -> Image.Image:
    """Draw the scene as an RGB image."""
    return Image.fromarray(pixels(scene))


def pixels(scene: Scene) -> UInt8[np.ndarray, "height width 3"]:
    """Draw the scene as an array."""
    side = scene.world.image_size
    canvas = np.empty((side, side, 3), np.uint8)
    canvas[:] = BACKGROUND
    for thing in scene.objects:
        left, top, side = box(scene, thing)
        area = canvas[top : top + side, left : left + side]
        paint = _textured(thing.color, thing.texture, side, scene.cell)
        np.copyto(area, paint, where=shape_mask(thing.shape, side)[..., None])
    return canvas


def box(scene: Scene, thing: SceneObject) -> tuple[int, int, int]:
    """Return left, top and side, in pixels, of the square that an object is drawn in."""
    cell = scene.cell
    side = cell if thing.size == "large" else cell * 2 // 3
    inset = (cell - side) // 2
    return thing.column * cell + inset + thing.dx, thing.row * cell + inset + thing.dy, side


def doubled_coordinates(side: int) -> tuple[Grid, Grid]:
    """Return x (to the right) and y (downward) of all pixel centers, from the center, doubled."""
    y, x = np.mgrid[0:side, 0:side].astype(np.int64) * 2 - (side - 1)
    return x, y


@lru_cache(maxsize=1024)
def shape_mask(shape: str, side: int) -> Mask:
    """Return the pixels of a shape in a square of ``side`` pixels (read-only)."""
    x, y = doubled_coordinates(side)
    mask = INSIDE[shape](x, y, side)
    mask.setflags(write=False)
    return mask


@lru_cache(maxsize=4096)
def _textured(color: str, texture: str, side: int, cell: int) -> UInt8[np.ndarray, "side side 3"]:
    """Return a textured square of one color; stripes and checks are a sixth of a cell wide."""
    row, column = np.mgrid[0:side, 0:side]
    width = max(1, cell // 6)
    dark = {
        "solid": np.zeros((side, side), bool),
        "striped": (row + column) // width % 2 == 1,
        "checked": (row // width + column // width) % 2 == 1,
    }[texture]
    bright = np.array(COLORS[color], np.uint8)
    square = np.where(dark[..., None], bright // 2, bright)
    square.setflags(write=False)
    return square
