"""Result files of the official scripts and of LLaVA give the predictions that they record."""

import pytest

from vlft.errors import EvaluationError
from vlft.evaluation.scienceqa.result_files import Output, predictions_of
from vlft.evaluation.scorer import Prediction

OFFICIAL = {
    "acc": 50.0,
    "correct": 1,
    "count": 2,
    "shot_qids": ["7"],
    "args": {"seed": 3},
    "results": {"4": 1, "11": 0},
    "outputs": {"4": "The answer is B.", "11": ""},
}
CHOICES = [Prediction("4", choice=1), Prediction("11", choice=0)]
TEXTS = [Prediction("4", text="The answer is B."), Prediction("11", text="")]


@pytest.mark.parametrize("policy", [None, "results"])
def test_recorded_indices_win(policy):
    assert predictions_of(OFFICIAL, policy) == CHOICES


@pytest.mark.parametrize("policy", ["outputs", "official", "llava", "lmms-eval"])
def test_texts_are_taken_where_a_policy_asks_for_them(policy):
    found = predictions_of(OFFICIAL, policy)
    assert found == TEXTS
    assert all(isinstance(one.text, Output) for one in found)


def test_indices_may_be_texts_of_digits_and_minus_one():
    found = predictions_of({"results": {"4": "1", "11": -1}}, None)
    assert found == [Prediction("4", choice=1), Prediction("11", choice=-1)]


def test_outputs_may_be_rows():
    rows = [{"question_id": "4", "text": "B"}, {"question_id": 11, "text": "A"}]
    found = predictions_of({"results": {}, "outputs": rows}, "outputs")
    assert found == [Prediction("4", text="B"), Prediction("11", text="A")]


def test_answers_of_llava_are_rows_of_its_own():
    rows = [{"question_id": "4", "prompt": "...", "text": "B", "metadata": {}}]
    for policy in (None, "llava", "outputs"):
        (found,) = predictions_of(rows, policy)
        assert found == Prediction("4", text="B")
        assert isinstance(found.text, Output)


def test_llava_by_verdict_has_letters_and_texts():
    right = {"question_id": "4", "parsed_ans": "B", "pred": "B. a box", "ground_truth": "B"}
    wrong = {"question_id": "11", "parsed_ans": "FAILED", "pred": "?", "ground_truth": "A"}
    content = {"correct": [right], "incorrect": [wrong]}
    assert predictions_of(content, None) == [
        Prediction("4", choice=1),
        Prediction("11", choice=-1),
    ]
    assert predictions_of(content, "llava") == [
        Prediction("4", text="B. a box"),
        Prediction("11", text="?"),
    ]


def test_answers_in_rows_are_outputs_only_where_a_policy_is_named():
    rows = [{"id": "4", "answer": "B"}, {"id": 11, "answer": 0}]
    assert predictions_of(rows, None) is None
    found = [Prediction("4", text="B"), Prediction("11", choice=0)]
    assert predictions_of(rows, "official") == found


@pytest.mark.parametrize(
    "content", [{"accuracy": 1.0}, [], ["B"], [{"id": "4", "scores": [0.1, 0.2]}], "B", None]
)
@pytest.mark.parametrize("policy", [None, "llava"])
def test_other_files_are_left_to_others(content, policy):
    assert predictions_of(content, policy) is None


@pytest.mark.parametrize(
    ("content", "policy", "message"),
    [
        ({"outputs": {}}, None, r"expected `results`, an object by id; there is: outputs; choose"),
        ({"results": {}}, "llava", r"expected `outputs`, an object by id; there is: results"),
        ({"results": [1, 2]}, None, r"expected `results`, an object by id"),
        ({"results": {"4": "B"}}, None, r"results of 4: found 'B', expected the index"),
        ({"results": {"4": True}}, None, r"results of 4: found True, expected the index"),
        ({"results": {"4": 1.5}}, None, r"results of 4: found 1\.5, expected the index"),
        ({"outputs": {"4": 1}}, "outputs", r"output of 4: found 1, expected text"),
        ([{"question_id": 4, "text": "A"}, {"text": "B"}], None, r"row 2: .* `question_id` and"),
    ],
)
def test_what_is_no_prediction_is_named(content, policy, message):
    with pytest.raises(EvaluationError, match=f"--predictions: {message}"):
        predictions_of(content, policy)
