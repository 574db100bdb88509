"""Official ranking metrics, by golden values and by hand."""

import json
from itertools import permutations
from math import log2

import pytest

from vlft.evaluation.ranking_metrics import NAMES, mean_metrics, metrics_at_rank, ranking_metrics


@pytest.fixture
def golden(shared_data):
    return json.loads((shared_data / "mmeb" / "rank_golden.json").read_text())


def of(case):
    return ranking_metrics(case["prediction"], case["label"], case["rel_scores"])


def test_golden_queries_agree_to_the_last_digit(golden):
    for case, expected in zip(golden["cases"], golden["per_case"], strict=True):
        assert of(case) == expected


def test_golden_means_agree_to_the_last_digit(golden):
    assert mean_metrics(of(case) for case in golden["cases"]) == golden["all"]


def test_names_are_those_of_the_reports_in_their_order(shared_data):
    sample = json.loads((shared_data / "mmeb" / "report_layout_sample.json").read_text())
    assert [*NAMES, "num_pred", "num_data"] == list(sample["metrics"]["image"]["ImageNet-1K"])


def test_the_order_of_labels_changes_nothing():
    grades = {"a": 1, "b": 3, "c": 2}
    found = [
        ranking_metrics(["b", "x", "a", "c"], order, [grades[name] for name in order])
        for order in permutations(grades)
    ]
    assert all(one == found[0] for one in found)


def test_of_repeated_labels_the_first_relevance_counts():
    ranked = ["x", "a", "b"]
    assert ranking_metrics(ranked, ["a", "b", "a"], [3, 1, 9]) == ranking_metrics(
        ranked, ["a", "b"], [3, 1]
    )


def test_graded_gain_by_hand():
    found = ranking_metrics(["x", "a", "b"], ["a", "b"], [1, 3])
    assert found["ndcg_linear@5"] == pytest.approx((1 / log2(3) + 3 / 2) / (3 + 1 / log2(3)))
    assert found["ndcg_exponential@5"] == pytest.approx((1 / log2(3) + 7 / 2) / (7 + 1 / log2(3)))


def test_without_labels_only_recall_is_full():
    found = ranking_metrics(["a", "b"], [])
    assert {name for name, value in found.items() if value} == {
        "recall@1", "recall@5", "recall@10"
    }  # fmt: skip


def test_precision_counts_k_where_fewer_are_ranked():
    assert ranking_metrics(["a"], "a")["precision@10"] == 0.1


@pytest.mark.parametrize("rank", [1, 3, 10, 11])
def test_one_right_candidate_by_its_rank(rank):
    found = metrics_at_rank(rank)
    in_five, in_ten = float(rank <= 5), float(rank <= 10)
    assert found["hit@1"] == float(rank == 1)
    assert (found["hit@5"], found["recall@10"]) == (in_five, in_ten)
    assert (found["mrr@10"], found["map@10"]) == (in_ten / rank, in_ten / rank)
    assert found["precision@5"] == in_five / 5
    assert found["ndcg_linear@10"] == pytest.approx(in_ten / log2(rank + 1))
    assert found["f1@5"] == pytest.approx(in_five / 3)
