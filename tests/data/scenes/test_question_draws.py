"""Drawn questions are balanced, and their text alone does not give the answer away."""

from collections import Counter, defaultdict

import pytest

from vlft.data.scenes.draws import Draws
from vlft.data.scenes.pairs import draw_pair, pair_types
from vlft.data.scenes.question_draws import (
    answers,
    chance,
    draw_question,
    few_options,
    question_types,
    with_options,
)
from vlft.data.scenes.questions import QUESTIONS, TEXT_ONLY
from vlft.data.scenes.scene import World
from vlft.data.scenes.vocabulary import words_of
from vlft.data.scenes.world import COLORS, SHAPES
from vlft.errors import DataError, UnknownNameError

pytestmark = pytest.mark.usefixtures("unchecked")  # thousands of scenes

WORLD = World()
NUM_QUESTIONS = 2000


def pattern(text):
    """Replace each name by the number of its first appearance: "red ring, red bar" has A B A C."""
    seen = {word: f"#{number}" for number, word in enumerate(dict.fromkeys(words_of(text)))}
    named = {*COLORS, *SHAPES}
    return " ".join(seen[word] if word in named else word for word in words_of(text))


def blind_accuracy(questions, key):
    """Answer half of the questions by the commonest answer to their text in the other half."""
    half = len(questions) // 2
    by_text, overall = defaultdict(Counter), Counter()
    for question in questions[:half]:
        by_text[key(question.text)][question.answer] += 1
        overall[question.answer] += 1
    right = 0
    for question in questions[half:]:
        counts = by_text.get(key(question.text), overall)
        right += counts.most_common(1)[0][0] == question.answer
    return right / half


@pytest.mark.parametrize("question_type", QUESTIONS)
def test_answers_are_uniform_and_cannot_be_guessed_from_the_text(question_type):
    questions = [draw_question(WORLD, index, question_type)[1] for index in range(NUM_QUESTIONS)]
    possible = answers(question_type, WORLD)
    counts = Counter(question.answer for question in questions)
    expected = NUM_QUESTIONS / len(possible)
    assert set(counts) == set(possible)
    assert max(abs(count - expected) for count in counts.values()) < 4.5 * expected**0.5
    assert {question.chance for question in questions} == {chance(question_type, WORLD)}
    if question_type not in TEXT_ONLY:
        tolerance = 0.06  # four standard errors of a coin over 1,000 questions
        for key in (str, pattern):
            assert blind_accuracy(questions, key) < chance(question_type, WORLD) + tolerance


@pytest.mark.parametrize("subtask", pair_types(WORLD))
def test_pair_answers_are_uniform_and_cannot_be_guessed_from_the_text(subtask):
    questions = [draw_pair(WORLD, index, subtask).question for index in range(400)]
    counts = Counter(question.answer for question in questions)
    expected = 400 / len(questions[0].options)
    assert set(counts) == set(questions[0].options)
    assert max(abs(count - expected) for count in counts.values()) < 4.5 * expected**0.5
    for key in (str, pattern):
        assert blind_accuracy(questions, key) < questions[0].chance + 0.13


def test_a_question_is_asked_about_the_scene_that_comes_with_it():
    for question_type in question_types(WORLD):
        for index in range(10):
            scene, question = draw_question(WORLD, index, question_type)
            assert question in QUESTIONS[question_type](scene)


def test_few_options_hold_the_answer_once_at_every_place():
    places = Counter()
    for index in range(400):
        _, question = draw_question(WORLD, index, "shape")
        options = few_options(question, Draws((index,)))
        assert len(set(options)) == len(options) == 4
        places[options.index(question.answer)] += 1
    assert all(70 < places[place] < 130 for place in range(4))


def test_options_are_written_behind_the_question():
    _, question = draw_question(WORLD, 0, "size")
    assert with_options(question, ("small", "large")).endswith("? choose from small, large.")


def test_a_world_of_single_objects_asks_no_question_about_two():
    world = World(max_objects=1)
    assert "relation" not in question_types(world)
    with pytest.raises(DataError, match="relation needs two objects: set max_objects to 2"):
        draw_question(world, 0, "relation")
    with pytest.raises(DataError, match="SubEvent needs two objects"):
        draw_pair(world, 0, "SubEvent")


def test_an_unknown_type_names_the_near_one():
    with pytest.raises(UnknownNameError, match="Did you mean 'color'"):
        draw_question(WORLD, 0, "colors")
