"""Scenes keep their rules, whatever the seed, the index and the settings."""

from dataclasses import replace
from itertools import pairwise

import pytest

from vlft.data.scenes.scene import (
    Scene,
    SceneObject,
    World,
    draw_in,
    draw_scene,
    main_object,
    relation,
)
from vlft.errors import DataError

WORLDS = [
    World(),
    World(seed=5, max_objects=4, grid=2, jitter=True, image_size=24),
    World(seed=1, max_objects=4, grid=3, jitter=True, image_size=50),
    World(max_objects=1),
]


def corners(scene, thing):
    return thing.column * scene.cell + thing.dx, thing.row * scene.cell + thing.dy


@pytest.mark.parametrize("world", WORLDS)
def test_objects_differ_in_name_and_place_and_follow_off_the_diagonal(world):
    for index in range(150):
        objects = draw_in(world, index).objects
        assert 1 <= len(objects) <= world.max_objects
        assert len({thing.name for thing in objects}) == len(objects)
        assert len({(thing.row, thing.column) for thing in objects}) == len(objects)
        for before, after in pairwise(objects):
            assert relation(before, after) is not None


@pytest.mark.parametrize("world", WORLDS)
def test_objects_stay_inside_the_image_and_off_each_other(world):
    for index in range(150):
        scene = draw_in(world, index)
        places = [corners(scene, thing) for thing in scene.objects]
        for number, (left, top) in enumerate(places):
            assert min(left, top) >= 0
            assert max(left, top) + scene.cell <= world.image_size
            for other_left, other_top in places[:number]:
                apart = max(abs(left - other_left), abs(top - other_top))
                assert apart >= scene.cell


def test_jitter_moves_objects_by_up_to_a_quarter_cell_and_keeps_relations():
    world = World(jitter=True)
    offsets = [
        offset
        for index in range(150)
        for thing in draw_in(world, index).objects
        for offset in (thing.dx, thing.dy)
    ]
    assert min(offsets) == -3
    assert max(offsets) == 3
    assert sum(offset == 0 for offset in offsets) < len(offsets) / 3


def test_without_jitter_objects_sit_on_the_grid():
    assert all(
        (thing.dx, thing.dy) == (0, 0)
        for index in range(100)
        for thing in draw_in(World(), index).objects
    )


@pytest.mark.usefixtures("unchecked")
def test_every_number_of_objects_is_equally_frequent():
    counts = [len(draw_in(World(max_objects=4), index).objects) for index in range(2000)]
    assert all(440 < counts.count(number) < 560 for number in (1, 2, 3, 4))


def test_seed_index_and_attempt_each_change_the_scene():
    scenes = {
        draw_scene(0, 0).objects,
        draw_scene(1, 0).objects,
        draw_scene(0, 1).objects,
        draw_in(World(), 0, attempt=1).objects,
    }
    assert len(scenes) == 4


@pytest.mark.parametrize(
    ("first", "second", "name"),
    [
        ((1, 0), (1, 3), "left"),
        ((2, 3), (1, 0), "right"),
        ((0, 1), (2, 0), "above"),
        ((3, 3), (0, 3), "below"),
        ((0, 0), (2, 2), None),
    ],
)
def test_the_relation_is_that_of_the_longer_distance(first, second, name):
    here, there = (SceneObject("ring", "red", "small", "solid", *cell) for cell in (first, second))
    assert relation(here, there) == name


def test_the_main_object_is_the_first_large_one_in_reading_order():
    ring = SceneObject("ring", "red", "small", "solid", 0, 0)
    bar = SceneObject("bar", "blue", "large", "solid", 2, 3)
    plus = SceneObject("plus", "pink", "large", "solid", 2, 1)
    assert main_object(Scene(World(), 0, (ring, bar, plus))) == plus
    small = replace(bar, size="small")
    assert main_object(Scene(World(), 0, (small, ring))) == ring


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"max_objects": 5}, "max_objects: 5 is not in 1..4"),
        ({"grid": 1}, "grid: 1 is not in 2..9"),
        ({"grid": 8}, "use image_size >= 64"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, said):
    with pytest.raises(DataError, match=said):
        draw_scene(0, 0, **settings)
