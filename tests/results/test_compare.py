"""Paired comparison: differences, intervals and tests against numbers computed by hand."""

from math import comb
from time import perf_counter

import pytest

from vlft.errors import EvaluationError
from vlft.results import (
    Metric,
    ModelIdentity,
    Protocol,
    RankingKey,
    Result,
    Sample,
    statistics,
    write_result,
)
from vlft.results.compare import Measured, compare, measured_in
from vlft.results.statistics import macro_interval, mcnemar, sign_flips, stratified_interval

KEY = RankingKey(
    benchmark="mine",
    benchmark_version=1,
    dataset_revision="abc",
    prompt_format="as_recorded",
    extraction="plain",
    decoding="greedy",
    tie_rule=None,
    coverage="full",
)


def measured(scores, *, metric=None, weights=None, groups=None, **key):
    samples = [
        Sample(
            id=str(number),
            group=None if groups is None else groups[number],
            prediction="x",
            answer="y",
            score=score,
            weight=None if weights is None else weights[number],
        )
        for number, score in enumerate(scores)
    ]
    value = sum(scores) / len(scores) if metric is None else metric
    result = Result(
        metrics=(Metric(name="accuracy", value=value, n=len(scores)),),
        protocol=Protocol(ranking_key=KEY.model_copy(update=key)),
        model=ModelIdentity(name="m"),
        date="2026-01-01T00:00:00+00:00",
        seconds=1,
    )
    return Measured(result, samples)


def test_the_difference_of_two_runs():
    found = compare(measured([1, 1, 0, 0, 0]), measured([1, 0, 1, 1, 0]))
    assert (found.first, found.second) == (0.4, 0.6)
    assert found.difference == pytest.approx(0.2)
    assert (found.better, found.worse, found.n, found.metric) == (2, 1, 5, "accuracy")
    assert found.test == "mcnemar"
    assert found.p == 1.0
    assert found.interval.low < 0.2 < found.interval.high


def test_a_run_against_itself_differs_by_nothing():
    same = measured([1, 0, 1, 0])
    found = compare(same, same)
    assert (found.difference, found.p) == (0, 1.0)
    assert (found.interval.low, found.interval.high) == (0, 0)


def test_swapping_the_two_changes_the_sign_only():
    one, other = measured([1, 1, 0, 0, 0] * 20), measured([1, 0, 1, 1, 0] * 20)
    there, back = compare(one, other), compare(other, one)
    assert there.difference == -back.difference
    assert there.p == back.p
    assert there.interval.low == pytest.approx(-back.interval.high, abs=0.02)


def test_pairs_make_the_interval_narrower_than_two_runs_apart():
    """The same samples are hard for both: what they have in common says nothing."""
    scores = [1, 0] * 200
    found = compare(measured(scores), measured([1, *scores[1:-1], 1]))
    assert found.interval.high - found.interval.low < 0.02


def test_weights_give_the_difference_of_the_main_metric():
    """A mean over two groups of one and three samples."""
    weights, groups = [1 / 2, 1 / 6, 1 / 6, 1 / 6], ["a", "b", "b", "b"]
    one = measured([0, 1, 1, 0], metric=1 / 3, weights=weights, groups=groups)
    other = measured([1, 1, 1, 1], metric=1.0, weights=weights, groups=groups)
    found = compare(one, other)
    assert found.difference == pytest.approx(2 / 3)
    assert found.metric == "accuracy"
    assert found.groups == {"a": 1.0, "b": pytest.approx(1 / 3)}
    assert 1 / 2 <= found.interval.low <= 2 / 3 <= found.interval.high <= 1


def test_samples_of_weight_zero_do_not_count():
    one = measured([0, 1], metric=1.0, weights=[0.0, 1.0], groups=["a", "b"])
    other = measured([1, 1], metric=1.0, weights=[0.0, 1.0], groups=["a", "b"])
    found = compare(one, other)
    assert (found.difference, found.better, found.worse, found.n, found.p) == (0, 0, 0, 1, 1.0)


def test_a_metric_that_is_no_mean_of_samples_is_not_claimed():
    found = compare(measured([0.5, 0.2], metric=0.9), measured([0.5, 0.4], metric=0.7))
    assert found.metric == "mean score of samples"
    assert found.test == "sign_flips"


def test_other_protocols_are_refused_unless_it_is_asked_for():
    one, other = measured([1, 0]), measured([1, 1], prompt_format="chat", tie_rule="for_model")
    with pytest.raises(EvaluationError, match=r"prompt_format \(as_recorded and chat\), tie_rule"):
        compare(one, other)
    found = compare(one, other, across_protocols=True)
    assert found.protocol_differences == ("prompt_format", "tie_rule")


def test_other_benchmarks_and_samples_are_refused():
    with pytest.raises(EvaluationError, match="mine and other are different benchmarks"):
        compare(measured([1]), measured([1], benchmark="other"), across_protocols=True)
    with pytest.raises(EvaluationError, match=r"1 only in the second \(2\)"):
        compare(measured([1, 0]), measured([1, 0, 1]))


def test_samples_without_scores_are_named():
    one = measured([1, 0])
    blank = [one.samples[0], one.samples[1].model_copy(update={"score": None})]
    with pytest.raises(EvaluationError, match="mine, sample 1: has no score"):
        compare(one, one._replace(samples=blank))


def test_results_are_found_in_a_run_a_folder_or_a_file(tmp_path):
    folder = tmp_path / "run" / "results"
    path = write_result(folder, *measured([1, 0]))
    write_result(folder, *measured([1], coverage="limited"))
    for where in (tmp_path / "run", folder):
        assert set(measured_in(where).results) == {"mine", "mine (limited)"}
    assert set(measured_in(path).results) == {"mine"}
    with pytest.raises(EvaluationError, match="no result with samples is there: measure the run"):
        measured_in(tmp_path)


def test_a_mistyped_path_is_told_as_such_and_no_file_of_a_run_is_said_to_be_removable(tmp_path):
    with pytest.raises(EvaluationError, match="gone is not there: name a run directory"):
        measured_in(tmp_path / "gone")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("extends: _base/generative\n")
    with pytest.raises(EvaluationError, match=r"recipe\.yaml is no result of vlft") as caught:
        measured_in(recipe)
    assert "remove" not in str(caught.value)


def test_other_files_of_a_run_are_no_results(tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"r": 4}')
    (tmp_path / "tokenizer.json").write_text("[1]")
    with pytest.raises(EvaluationError, match="no result with samples is there: measure the run"):
        measured_in(tmp_path)
    write_result(tmp_path, *measured([1, 0]))
    (tmp_path / "mine.report.json").write_text("{}")
    assert (set(measured_in(tmp_path).results), measured_in(tmp_path).problems) == ({"mine"}, [])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"schema_version": 1, "met', "other.json is cut off or no JSON"),
        ('{"schema_version": 99}', "other.json has schema version 99; this vlft reads 1"),
        ('{"schema_version": 1}', "other.json is no result of vlft: protocol: Field required"),
    ],
)
def test_damaged_results_are_named_and_the_others_are_found(tmp_path, content, message):
    (tmp_path / "other.json").write_text(content)
    with pytest.raises(EvaluationError, match=message):
        measured_in(tmp_path)
    write_result(tmp_path, *measured([1, 0]))
    found = measured_in(tmp_path)
    assert set(found.results) == {"mine"}
    assert len(found.problems) == 1
    assert message in found.problems[0]
    (tmp_path / "mine.samples.jsonl").write_text('{"id": "1"')
    with pytest.raises(EvaluationError):
        measured_in(tmp_path)


# statistics


@pytest.mark.parametrize(
    ("better", "worse"), [(0, 0), (1, 0), (5, 5), (9, 1), (30, 12), (400, 300)]
)
def test_mcnemar_is_the_exact_binomial_tail(better, worse):
    n = better + worse
    tail = sum(comb(n, k) for k in range(min(better, worse) + 1)) / 2**n if n else 1
    assert mcnemar(better, worse) == pytest.approx(min(1, 2 * tail))
    assert mcnemar(better, worse) == mcnemar(worse, better)


def test_mcnemar_of_many_samples_takes_no_time():
    start = perf_counter()
    assert 0.7 < mcnemar(10_000, 9_950) < 0.75
    assert perf_counter() - start < 5  # half a minute, with every term computed by itself


def test_mcnemar_of_a_textbook():
    """9 against 1: p = 2 (1 + 10) / 1024."""
    assert mcnemar(9, 1) == pytest.approx(22 / 1024)


def test_sign_flips_agree_with_all_flips():
    """Of the 2**4 ways to sign 1, 1, 1, 1, two have a sum of at least 4."""
    assert sign_flips([1.0, 1.0, 1.0, 1.0, 0.0]) == pytest.approx(2 / 16, abs=0.01)
    assert sign_flips([0.0, 0.0]) == 1.0
    assert sign_flips([0.5] * 30) < 0.001


def test_an_interval_does_not_depend_on_how_many_are_drawn_at_once(monkeypatch):
    groups = [[number / 7 for number in range(size)] for size in (3, 400)]
    whole = stratified_interval(groups, [0.4, 0.6])
    monkeypatch.setattr(statistics, "COUNTS_AT_ONCE", 1000)
    parts = stratified_interval(groups, [0.4, 0.6])
    assert (parts.low, parts.high) == pytest.approx((whole.low, whole.high), abs=1e-12)


def test_an_interval_of_strata_covers_their_weighted_mean():
    interval = stratified_interval([[0.0, 1.0] * 50, [1.0] * 10], [0.5, 0.5])
    assert interval.low < 0.75 < interval.high
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * 0.5 * 0.05, rel=0.15)
    assert macro_interval([[0.0, 1.0] * 50, [1.0] * 10]) == interval
