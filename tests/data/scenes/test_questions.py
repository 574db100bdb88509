"""Questions have the right answers."""

from typing import get_args

import pytest

from vlft.data.scenes.questions import NEED_TWO_OBJECTS, QUESTIONS, TEXT_ONLY, questions
from vlft.data.scenes.scene import Scene, SceneObject, World, draw_scene
from vlft.recipe.data.scenes import QuestionType

RING = SceneObject("ring", "red", "small", "solid", 0, 0)
OVAL = SceneObject("oval", "orange", "large", "striped", 0, 2)
BAR = SceneObject("bar", "red", "large", "solid", 3, 2)
SCENE = Scene(World(max_objects=3), 0, (RING, OVAL, BAR))


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("what color is the oval?", "orange"),
        ("what shape is the orange object?", "oval"),
        ("what kind of shape is the orange object?", "round"),
        ("what size is the red ring?", "small"),
        ("what texture is the orange oval?", "striped"),
        ("in which half is the red ring, left or right?", "left"),
        ("in which half is the red bar, top or bottom?", "bottom"),
        ("in which row is the red bar?", "4"),
        ("in which column is the red bar?", "3"),
        ("where is the red ring relative to the orange oval?", "left"),
        ("where is the red bar relative to the orange oval?", "below"),
        ("how many objects are there?", "3"),
        ("is there a red bar?", "yes"),
        ("is there an orange bar?", "no"),
        ("is the orange oval larger than the red ring?", "yes"),
        ("is the orange oval larger than the red bar?", "no"),
        ("are the ring and the bar of the same color?", "yes"),
        ("are the ring and the oval of the same color?", "no"),
        ("are the red ring and the red bar of the same texture?", "yes"),
        ("what kind of shape is an arrow?", "pointed"),
        ("is a ring round?", "yes"),
        ("is a ring boxy?", "no"),
        ("are an oval and a ring of the same kind?", "yes"),
    ],
)
def test_the_answer_is_right(text, answer):
    found = [question for question in questions(SCENE) if question.text == text]
    assert [question.answer for question in found] == [answer]


def test_ambiguous_questions_are_not_asked():
    texts = [question.text for question in questions(SCENE)]
    assert "what shape is the red object?" not in texts, "two objects are red"


def test_a_pair_on_a_diagonal_has_no_relation_question():
    diagonal = SceneObject("bar", "blue", "large", "solid", 2, 2)
    scene = Scene(World(), 0, (RING, diagonal))
    assert QUESTIONS["relation"](scene) == ()


def test_the_middle_of_an_odd_grid_is_in_no_half():
    middle = SceneObject("bar", "blue", "large", "solid", 1, 1)
    assert QUESTIONS["position"](Scene(World(grid=3), 0, (middle,))) == ()


def test_answers_are_options_and_types_match_their_keys():
    for index in range(100):
        scene = draw_scene(0, index, max_objects=4)
        for question_type, ask in QUESTIONS.items():
            asked = ask(scene)
            for question in asked:
                assert question.type == question_type
                assert question.answer in question.options
                assert question.needs_image == (question_type not in TEXT_ONLY)
            assert len({question.text for question in asked}) == len(asked)


def test_types_that_need_two_objects_ask_nothing_of_one():
    scene = draw_scene(0, 0, max_objects=1)
    assert tuple(name for name, ask in QUESTIONS.items() if not ask(scene)) == NEED_TWO_OBJECTS


def test_recipes_know_exactly_these_types():
    assert get_args(QuestionType) == tuple(QUESTIONS)
