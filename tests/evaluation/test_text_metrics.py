"""Published metrics of short texts: hand-computed cases, and what holds for all texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlft.evaluation.text_metrics import (
    TEXT_METRICS,
    anls,
    levenshtein,
    relaxed_accuracy,
    token_f1,
    vqa_accuracy,
    vqa_normalized,
)

WORDS = st.text("abc d1.", max_size=12)
ANSWERS = st.lists(WORDS, min_size=1, max_size=4)


# VQA: the mean over the ten sets of nine answers of min(1, matches / 3)


@pytest.mark.parametrize(
    ("matches", "value"),
    [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)],
)
def test_vqa_accuracy_of_the_official_formula(matches, value):
    answers = ["red"] * matches + [f"other{n}" for n in range(10 - matches)]
    assert vqa_accuracy("red", answers) == pytest.approx(value)


@given(WORDS, st.lists(WORDS, min_size=10, max_size=10))
def test_vqa_accuracy_is_the_mean_over_sets_of_nine(prediction, answers):
    said = vqa_normalized(prediction)
    normal = [vqa_normalized(answer) for answer in answers]
    sets = [normal[:left] + normal[left + 1 :] for left in range(10)]
    mean = sum(min(1, one.count(said) / 3) for one in sets) / 10
    assert vqa_accuracy(prediction, answers) == pytest.approx(mean)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The Dog", "dog"),
        ("a red  car\n", "red car"),
        ("two", "2"),
        ("None", "0"),
        ("dont know", "don't know"),
        ("yes.", "yes"),
        ("3.5", "3.5"),
        ("1,000", "1000"),
        ("black/white", "black white"),
        ("black / white", "black white"),
        ("yes, it is", "yes it is"),
        ("what?", "what"),
        ("e-mail", "e mail"),
        ("lets go", "lets go"),  # no contraction in the official table
    ],
)
def test_vqa_normalization(text, normal):
    assert vqa_normalized(text) == normal


# ANLS


@pytest.mark.parametrize(
    ("prediction", "answers", "value"),
    [
        ("STOP", ["stop"], 1.0),
        ("coca cola", ["coca-cola"], 1 - 1 / 9),
        ("abcd", ["abxy"], 0.0),  # a distance of exactly one half counts as 0
        ("abcde", ["abcxy"], 1 - 2 / 5),
        ("12", ["13", "12 "], 1.0),
        ("", ["word"], 0.0),
    ],
)
def test_anls(prediction, answers, value):
    assert anls(prediction, answers) == pytest.approx(value)


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [("kitten", "sitting", 3), ("", "abc", 3), ("flaw", "lawn", 2), ("same", "same", 0)],
)
def test_levenshtein(one, other, distance):
    assert levenshtein(one, other) == levenshtein(other, one) == distance


@given(WORDS, WORDS, WORDS)
def test_levenshtein_is_a_metric(one, two, three):
    assert levenshtein(one, three) <= levenshtein(one, two) + levenshtein(two, three)
    assert (levenshtein(one, two) == 0) == (one == two)


# relaxed accuracy


@pytest.mark.parametrize(
    ("prediction", "answer", "value"),
    [
        ("105", "100", 1.0),
        ("95", "100", 1.0),
        ("105.1", "100", 0.0),
        ("-104", "-100", 1.0),
        ("104", "-100", 0.0),
        ("0", "0", 1.0),
        ("0.001", "0", 0.0),
        ("51%", "0.5", 1.0),
        ("1,040", "1000", 1.0),
        ("-1,040,000.5", "-1000000", 1.0),
        ("1,2", "12", 0.0),  # a list, or a decimal comma
        ("12", "1,2", 0.0),
        ("Blue", "blue", 1.0),
        ("blue", "green", 0.0),
        ("about 100", "100", 0.0),
        ("nan", "nan", 1.0),
        ("inf", "100", 0.0),
    ],
)
def test_relaxed_accuracy(prediction, answer, value):
    assert relaxed_accuracy(prediction, [answer]) == value


# F1 over words


@pytest.mark.parametrize(
    ("prediction", "answers", "value"),
    [
        ("the red car", ["red car"], 1.0),
        ("red", ["red car"], 2 / 3),
        ("red red car", ["red car"], 2 * 2 / 5),
        ("a dog.", ["cat", "Dog"], 1.0),
        ("the", ["a"], 1.0),
        ("", ["cat"], 0.0),
    ],
)
def test_token_f1(prediction, answers, value):
    assert token_f1(prediction, answers) == pytest.approx(value)


# all of them


@pytest.mark.parametrize("name", sorted(set(TEXT_METRICS) - {"vqa_accuracy"}))
@given(prediction=WORDS, answers=ANSWERS, data=st.data())
def test_a_metric_is_a_share_and_needs_no_order(name, prediction, answers, data):
    judge = TEXT_METRICS[name]
    value = judge(prediction, answers)
    assert 0 <= value <= 1
    assert judge(prediction, data.draw(st.permutations(answers))) == value


@pytest.mark.parametrize("name", sorted(TEXT_METRICS))
@pytest.mark.parametrize("answer", ["red", "a red car", "3.5", "two dogs"])
def test_the_right_answer_gets_one(name, answer):
    assert TEXT_METRICS[name](answer, [answer] * 10) == pytest.approx(1.0)


@pytest.mark.parametrize("name", sorted(TEXT_METRICS))
def test_another_word_gets_nothing(name):
    assert TEXT_METRICS[name]("umbrella", ["seven"] * 10) == 0
