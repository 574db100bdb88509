"""Maps agree with the image and with each other."""

import numpy as np

from vlft.data.scenes.maps import labels, masks, surface_normals
from vlft.data.scenes.raster import pixels
from vlft.data.scenes.scene import Scene, SceneObject, World, draw_scene
from vlft.data.scenes.world import BACKGROUND, KINDS

SCENES = [draw_scene(2, index, max_objects=4, jitter=index % 2 == 1) for index in range(40)]


def test_all_maps_cover_exactly_the_pixels_that_are_not_background():
    for scene in SCENES:
        drawn = (pixels(scene) != BACKGROUND).any(-1)
        semantic, part, saliency = masks(scene)
        assert ((semantic > 0) == drawn).all()
        assert ((part > 0) == drawn).all()
        assert (drawn | (saliency == 0)).all()
        assert saliency.any()


def test_semantic_classes_are_the_kinds_in_the_scene():
    for scene in SCENES:
        kinds = {1 + tuple(KINDS).index(thing.kind) for thing in scene.objects}
        assert set(np.unique(masks(scene).semantic)) - {0} == kinds


def test_parts_are_the_upper_and_the_lower_half():
    scene = Scene(World(), 0, (SceneObject("square", "red", "large", "solid", 0, 0),))
    part = masks(scene).part[:12, :12]
    assert (part[:6] == 1).all()
    assert (part[6:] == 2).all()


def test_normals_have_length_one_and_face_the_viewer():
    for scene in SCENES:
        normals = surface_normals(scene)
        assert normals.dtype == np.float32
        np.testing.assert_allclose((normals**2).sum(0), 1, atol=1e-6)
        assert (normals[2] > 0.6).all()


def middle_row(shape):
    scene = Scene(World(), 0, (SceneObject(shape, "red", "large", "solid", 0, 0),))
    return surface_normals(scene)[:, 5, :12]


def test_each_kind_has_its_relief():
    flat = middle_row("square")
    assert (flat[2] == 1).all()
    dome = middle_row("circle")
    assert (np.diff(dome[0]) > 0).all(), "a dome turns steadily from left to right"
    assert dome[1].min() > 0, "above the center it faces up"
    pyramid = middle_row("diamond")
    np.testing.assert_allclose(np.abs(pyramid[0]).max(), np.sqrt(0.5), atol=1e-6)
    roof = middle_row("plus")
    np.testing.assert_allclose(np.abs(roof[0]), 0.5, atol=1e-6)


def test_labels_are_those_of_the_main_object():
    ring = SceneObject("ring", "red", "small", "solid", 0, 0)
    bar = SceneObject("bar", "red", "large", "solid", 2, 0)
    assert labels(Scene(World(), 0, (ring,))) == (0, 2)
    assert labels(Scene(World(), 0, (ring, bar))) == (1, 4)
