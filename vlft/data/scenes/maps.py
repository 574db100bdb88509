"""What a scene means at every pixel: class maps and surface normals, and its class labels."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8

from vlft.data.scenes.raster import box, doubled_coordinates, shape_mask
from vlft.data.scenes.scene import Scene, main_object
from vlft.data.scenes.world import KINDS, SHAPES

PARTS = ("top", "bottom")
"""Parts of an object: the upper and the lower half of its square."""


class Labels(NamedTuple):
    """Class indices of a scene's main object.

    Attributes:
        coarse: Position in ``KINDS``.
        fine: Position in ``SHAPES``.
    """

    coarse: int
    fine: int


class Masks(NamedTuple):
    """Class maps of a scene; 0 is the background everywhere.

    Attributes:
        semantic: 1 + position of the coarse shape in ``KINDS``.
        part: 1 + position in ``PARTS``.
        saliency: 1 on the main object.
    """

    semantic: UInt8[np.ndarray, "height width"]
    part: UInt8[np.ndarray, "height width"]
    saliency: UInt8[np.ndarray, "height width"]


def labels(scene: Scene) -> Labels:
    """Return the coarse and the fine class of the main object (see ``main_object``)."""
    thing = main_object(scene)
    return Labels(tuple(KINDS).index(thing.kind), tuple(SHAPES).index(thing.shape))


def masks(scene: Scene) -> Masks:
    """Return semantic, part and saliency maps."""
    size = scene.world.image_size
    semantic, part, saliency = (np.zeros((size, size), np.uint8) for _ in Masks._fields)
    for thing in scene.objects:
        left, top, side = box(scene, thing)
        area = np.s_[top : top + side, left : left + side]
        inside = shape_mask(thing.shape, side)
        _, y = doubled_coordinates(side)
        semantic[area][inside] = 1 + tuple(KINDS).index(thing.kind)
        part[area][inside] = np.where(y < 0, 1, 2)[inside]
        saliency[area][inside] = thing == main_object(scene)
    return Masks(semantic, part, saliency)


def surface_normals(scene: Scene) -> Float32[np.ndarray, "3 height width"]:
    """Return the unit normal at every pixel: x to the right, y upward, z toward the viewer.

    Each coarse shape has a relief over the square it is drawn in, with half side ``n``:

    - round: a cap of the sphere of radius ``n`` times the root of 2 (45 degrees at distance ``n``);
    - boxy: flat, like the background;
    - pointed: a pyramid, four faces of 45 degrees;
    - crossed: a roof with a vertical ridge, two faces of 30 degrees.
    """
    size = scene.world.image_size
    normals = np.zeros((3, size, size))
    normals[2] = 1.0
    for thing in scene.objects:
        left, top, side = box(scene, thing)
        area = np.s_[:, top : top + side, left : left + side]
        inside = shape_mask(thing.shape, side)
        normals[area][:, inside] = _relief(thing.kind, side)[:, inside]
    return normals.astype(np.float32)


def _relief(kind: str, side: int) -> Float32[np.ndarray, "3 side side"]:
    right, down = doubled_coordinates(side)
    x, y = right.astype(float), -down.astype(float)
    zero = np.zeros_like(x)
    match kind:
        case "round":
            # Corners of the square lie outside the sphere and outside every round shape.
            normal = np.stack([x, y, np.sqrt(np.maximum(2.0 * side * side - x * x - y * y, 0.0))])
        case "pointed":
            steeper = np.abs(x) >= np.abs(y)
            normal = np.stack(
                [np.where(steeper, np.sign(x), 0), np.where(steeper, 0, np.sign(y)), zero + 1]
            )
        case "crossed":
            normal = np.stack([np.sign(x), zero, zero + np.sqrt(3.0)])
        case _:
            normal = np.stack([zero, zero, zero + 1])
    return (normal / np.sqrt((normal * normal).sum(0))).astype(np.float32)
