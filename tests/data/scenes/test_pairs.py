"""Questions about two images have the right answers; pairs are well-formed scenes."""

from dataclasses import replace

import pytest

from vlft.data.scenes.captions import captions
from vlft.data.scenes.pair_questions import ENTITY_LEVEL, PAIR_QUESTIONS, VIEWS, pair_relations
from vlft.data.scenes.pairs import draw_pair, pair_types
from vlft.data.scenes.raster import pixels
from vlft.data.scenes.scene import Scene, SceneObject, World
from vlft.data.scenes.truth import holds

RING = SceneObject("ring", "red", "small", "solid", 0, 0)
OVAL = SceneObject("oval", "orange", "large", "striped", 0, 2)
WORLD = World()


def scene(*objects):
    return Scene(WORLD, 0, objects)


def answers_to(subtask, first, second):
    return {question.text: question.answer for question in PAIR_QUESTIONS[subtask](first, second)}


def test_the_names_are_those_of_mmra():
    assert len(PAIR_QUESTIONS) == 11
    assert ENTITY_LEVEL[-1] == "NearSameEntity"


@pytest.mark.parametrize(
    ("subtask", "second", "answer"),
    [
        ("RelativePosition", scene(replace(RING, row=3)), "below"),
        ("UsageSimilarity", scene(OVAL), "yes"),
        ("UsageSimilarity", scene(replace(OVAL, shape="bar")), "no"),
        ("MentalitySimilarity", scene(OVAL), "no"),
        ("SimilarMaterial", scene(OVAL), "no"),
        ("SimilarMaterial", scene(replace(OVAL, texture="solid")), "yes"),
        ("AppearanceSimilarity", scene(replace(OVAL, color="red")), "color"),
        ("NearSameEntity", scene(replace(RING, size="large")), "yes"),
        ("Environments", scene(RING, OVAL), "2"),
        ("Environments", scene(OVAL), "same"),
        ("LayOut", scene(replace(OVAL, column=0)), "yes"),
        ("LayOut", scene(OVAL), "no"),
        ("SubEvent", scene(RING, OVAL), "yes"),
        ("ObservationAngle", scene(replace(RING, column=3)), "mirrored"),
        ("ObservationAngle", scene(replace(RING, row=3, column=3)), "turned"),
    ],
)
def test_the_answer_is_right_with_a_ring_as_image_1(subtask, second, answer):
    assert set(answers_to(subtask, scene(RING), second).values()) == {answer}


def test_an_event_is_similar_when_it_happens_in_both_images():
    moved = scene(RING, replace(OVAL, row=1, column=3))
    turned = scene(RING, replace(OVAL, row=3, column=0))
    text = "is the red ring left of the orange oval in both images?"
    assert answers_to("SimilarEvent", scene(RING, OVAL), moved)[text] == "yes"
    assert answers_to("SimilarEvent", scene(RING, OVAL), turned)[text] == "no"


@pytest.mark.parametrize(
    ("subtask", "second"),
    [
        ("RelativePosition", scene(OVAL)),  # no object is in both
        ("AppearanceSimilarity", scene(replace(OVAL, color="red", size="small"))),  # two in common
        ("ObservationAngle", scene(OVAL)),  # not a view of image 1
        ("SubEvent", scene(OVAL)),  # image 2 has no more objects
    ],
)
def test_a_question_without_one_answer_is_not_asked(subtask, second):
    assert answers_to(subtask, scene(RING), second) == {}


def test_two_views_that_look_alike_are_not_asked_about():
    middle = Scene(World(grid=3), 0, (replace(RING, row=1, column=1),))
    assert PAIR_QUESTIONS["ObservationAngle"](middle, middle) == ()


def test_all_views_of_a_view_lead_back():
    first = scene(RING, OVAL)
    assert all(view(view(first)) == first for view in VIEWS.values())


@pytest.mark.parametrize("world", [WORLD, World(max_objects=4, grid=3, jitter=True)])
def test_both_images_can_be_drawn_and_their_objects_stay_apart(world):
    for index in range(44):
        subtask = pair_types(world)[index % 11]
        first, second, question = draw_pair(world, index, subtask)
        assert question in pair_relations(first, second)
        for seen in (first, second):
            assert pixels(seen).shape == (world.image_size, world.image_size, 3)
            assert all(holds(seen, caption) for caption in captions(seen))
            assert len({thing.name for thing in seen.objects}) == len(seen.objects)
            places = {(thing.row, thing.column) for thing in seen.objects}
            assert len(places) == len(seen.objects) <= world.max_objects
