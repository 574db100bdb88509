"""Images are the same bytes everywhere, and what they show can be told apart."""

from hashlib import blake2b
from itertools import combinations, product

import numpy as np
import pytest

from vlft.data.scenes.raster import box, pixels, render, shape_mask
from vlft.data.scenes.scene import Scene, SceneObject, World, draw_in, draw_scene
from vlft.data.scenes.world import BACKGROUND, COLORS, SHAPES, SIZES, TEXTURES


def digest(world, count):
    hashed = blake2b(digest_size=16)
    for index in range(count):
        hashed.update(pixels(draw_in(world, index)).tobytes())
    return hashed.hexdigest()


@pytest.mark.parametrize(
    ("world", "golden"),
    [
        (World(), "14956bf0cf4f7714b38fbbd3f168c9a3"),
        (
            World(seed=3, max_objects=4, jitter=True, image_size=64),
            "45a45ca46fc6c25e4f51566891957cae",
        ),
        (World(max_objects=3, grid=7, image_size=224), "cc8a5e453efb8a7ee6cd0359c4422f2c"),
    ],
)
def test_pixels_have_their_golden_hash(world, golden):
    assert digest(world, 50) == golden


def test_an_image_is_rgb_and_has_the_asked_size():
    image = render(draw_scene(0, 0, image_size=64))
    assert (image.mode, image.size) == ("RGB", (64, 64))


def one_cell(shape, color, size, texture, side=12):
    thing = SceneObject(shape, color, size, texture, 0, 0)
    scene = Scene(World(max_objects=1, grid=2, image_size=2 * side), 0, (thing,))
    return pixels(scene)[:side, :side].astype(int)


@pytest.mark.parametrize("side", [12, 16])
def test_every_pair_of_looks_differs_in_several_pixels(side):
    looks = list(product(SHAPES, SIZES, TEXTURES))
    cells = [one_cell(shape, "red", size, texture, side) for shape, size, texture in looks]
    fewest = min(int((one != two).any(-1).sum()) for one, two in combinations(cells, 2))
    assert fewest >= 6


def test_colors_are_far_from_each_other_and_from_the_background():
    values = [*COLORS.values(), BACKGROUND]
    distances = [np.linalg.norm(np.subtract(a, b)) for a, b in combinations(values, 2)]
    assert min(distances) > 75


def test_an_object_without_jitter_stays_in_its_cell():
    scene = draw_scene(4, 2)
    image = pixels(scene)
    for thing in scene.objects:
        rows = slice(thing.row * 12, thing.row * 12 + 12)
        columns = slice(thing.column * 12, thing.column * 12 + 12)
        assert (image[rows, columns] != BACKGROUND).any()
        image[rows, columns] = BACKGROUND
    assert (image == BACKGROUND).all()


def test_the_box_follows_size_and_jitter():
    scene = Scene(World(), 0, ())
    large = SceneObject("ring", "red", "large", "solid", 1, 2)
    small = SceneObject("ring", "red", "small", "solid", 1, 2, dx=3, dy=-1)
    assert box(scene, large) == (24, 12, 12)
    assert box(scene, small) == (29, 13, 8)


def test_shapes_are_symmetric_left_to_right():
    for shape, side in product(SHAPES, (8, 9, 12, 16, 37)):
        mask = shape_mask(shape, side)
        assert mask.any()
        assert (mask == mask[:, ::-1]).all(), (shape, side)
