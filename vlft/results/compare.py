"""Two models on one benchmark, sample by sample: the difference, its interval, and a test."""

import json
from collections import defaultdict
from collections.abc import Sequence
from math import fsum
from pathlib import Path
from typing import NamedTuple

from vlft.errors import EvaluationError
from vlft.results.files import REPORT_ENDING, read_result, read_samples
from vlft.results.records import Interval, Record, Result, Sample, protocol_differences
from vlft.results.statistics import mcnemar, sign_flips, stratified_interval

FOLDER = "results"
"""Folder of a run directory that holds its results."""


class Measured(NamedTuple):
    """A result with its samples."""

    result: Result
    samples: list[Sample]


class Difference(Record):
    """What the second model has more than the first."""

    benchmark: str
    """Name of the benchmark."""
    metric: str
    """The main metric, or what the samples' own scores come to where that is no mean of them."""
    first: float
    """Number of the first model."""
    second: float
    """Number of the second model."""
    difference: float
    """Second minus first."""
    interval: Interval
    """Paired bootstrap interval of the difference."""
    better: int
    """Samples on which the second model scores higher."""
    worse: int
    """Samples on which it scores lower."""
    n: int
    """Pairs of samples."""
    test: str
    """``mcnemar`` (exact, for scores of 0 and 1) or ``sign_flips`` (permutations)."""
    p: float
    """Two-sided p of the test, over samples."""
    groups: dict[str, float]
    """Second minus first in each group of samples."""
    protocol_differences: tuple[str, ...]
    """Fields of the ranking key in which they differ."""


def compare(first: Measured, second: Measured, *, across_protocols: bool = False) -> Difference:
    """Compare two measurements pair by pair.

    Args:
        first: The baseline.
        second: What is compared with it.
        across_protocols: Also where they were measured in different ways.

    Raises:
        EvaluationError: They are of different benchmarks or samples, were measured in different
            ways, or have no scores.
    """
    one, other = first.result, second.result
    fields = protocol_differences(one, other)
    keys = one.protocol.ranking_key, other.protocol.ranking_key
    if "benchmark" in fields:
        raise EvaluationError(
            f"{one.benchmark} and {other.benchmark} are different benchmarks: name two results of "
            "one"
        )
    if fields and not across_protocols:
        told = ", ".join(
            f"{name} ({getattr(keys[0], name)} and {getattr(keys[1], name)})" for name in fields
        )
        raise EvaluationError(
            f"{one.benchmark}: measured in different ways: {told}; measure both in one way, or "
            "compare across protocols with --across-protocols"
        )
    # A sample of weight 0 is no part of the metric, such as the other direction of a retrieval.
    pairs = [pair for pair in _pairs(first, second) if pair[0].weight != 0]
    if not pairs:
        raise EvaluationError(f"{one.benchmark}: no sample counts in its main metric")
    scores = [(_score(a, one), _score(b, other)) for a, b in pairs]
    differences = [b - a for a, b in scores]
    weights = [sample.weight for sample, _ in pairs]
    strata: dict[tuple[str | None, float | None], list[int]] = defaultdict(list)
    for row, (sample, _) in enumerate(pairs):
        group = None if sample.weight is None else sample.group
        strata[group, sample.weight].append(row)
    shares = [1.0 if weight is None else len(rows) * weight for (_, weight), rows in strata.items()]
    binary = all(value in (0, 1) for pair in scores for value in pair)
    better, worse = (sum(sign * d > 0 for d in differences) for sign in (1, -1))
    values = [_total(column, weights) for column in zip(*scores, strict=True)]
    return Difference(
        benchmark=one.benchmark,
        metric=_name(values, one, other),
        first=values[0],
        second=values[1],
        difference=values[1] - values[0],
        interval=stratified_interval(
            [[differences[row] for row in rows] for rows in strata.values()], shares
        ),
        better=better,
        worse=worse,
        n=len(pairs),
        test="mcnemar" if binary else "sign_flips",
        p=mcnemar(better, worse) if binary else sign_flips(differences),
        groups=_by_group(pairs, differences),
        protocol_differences=tuple(fields),
    )


class Found(NamedTuple):
    """Results at a path.

    Attributes:
        results: By benchmark; limited ones under a name of their own.
        problems: What is wrong with those that cannot be used, a line each.
    """

    results: dict[str, Measured]
    problems: list[str]


def measured_in(path: Path) -> Found:
    """Return the scored results at a path.

    Args:
        path: A result file, a folder of results, or a run directory.

    Raises:
        EvaluationError: There is no result, or none that can be read.
    """
    if not path.exists():
        raise EvaluationError(
            f"{path} is not there: name a run directory, a folder of results, or a result file"
        )
    if path.is_file():
        files = [path]
    else:
        folder = path / FOLDER if (path / FOLDER).is_dir() else path
        files = [file for file in sorted(folder.glob("*.json")) if _may_be_result(file)]
    results: dict[str, Measured] = {}
    problems = []
    for file in files:
        try:
            result = read_result(file)
            if result.status != "scored" or result.samples_file is None:
                continue
            samples = read_samples(file.with_name(result.samples_file))
        except EvaluationError as error:
            problems.append(str(error))
            continue
        limited = result.protocol.ranking_key.coverage == "limited"
        name = f"{result.benchmark} (limited)" if limited else result.benchmark
        results[name] = Measured(result, samples)
    if not results and problems:
        raise EvaluationError(problems[0])
    if not results:
        raise EvaluationError(
            f"{path}: no result with samples is there: measure the run first (vlft eval {path} "
            "--benchmark NAME)"
        )
    return Found(results, problems)


def _may_be_result(file: Path) -> bool:
    """Whether a JSON file is ours, or so damaged that nobody knows; others lie in every run."""
    if file.name.endswith(REPORT_ENDING):
        return False
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return True
    return isinstance(content, dict) and "schema_version" in content


def _pairs(first: Measured, second: Measured) -> list[tuple[Sample, Sample]]:
    own, others = ({s.id: s for s in one.samples} for one in (first, second))
    only = [name for name in own if name not in others], [n for n in others if n not in own]
    if any(only):
        told = " and ".join(
            f"{len(names)} only in the {which} ({names[0]})"
            for names, which in zip(only, ("first", "second"), strict=True)
            if names
        )
        raise EvaluationError(
            f"{first.result.benchmark}: the samples are not the same: {told}; measure both on the "
            "same records"
        )
    return [(sample, others[name]) for name, sample in own.items()]


def _score(sample: Sample, result: Result) -> float:
    if sample.score is None:
        raise EvaluationError(
            f"{result.benchmark}, sample {sample.id}: has no score; evaluate again"
        )
    return sample.score


def _total(scores: Sequence[float], weights: Sequence[float | None]) -> float:
    if any(weight is None for weight in weights):
        return fsum(scores) / len(scores)
    return fsum(s * w for s, w in zip(scores, weights, strict=True) if w is not None)


def _name(values: Sequence[float], *results: Result) -> str:
    """Return the metric that the samples' scores come to in both results."""
    for metric in results[0].metrics:
        same = [m.value for result in results for m in result.metrics if m.name == metric.name]
        if len(same) == len(values) and all(
            abs(a - b) < 1e-9 for a, b in zip(values, same, strict=True)
        ):
            return metric.name
    return "mean score of samples"


def _by_group(
    pairs: Sequence[tuple[Sample, Sample]], differences: Sequence[float]
) -> dict[str, float]:
    members: dict[str, list[float]] = defaultdict(list)
    for (sample, _), difference in zip(pairs, differences, strict=True):
        if sample.group is not None:
            members[sample.group].append(difference)
    return {name: fsum(members[name]) / len(members[name]) for name in sorted(members)}
