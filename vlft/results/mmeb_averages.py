"""The averages of MMEB: over data sets, and over meta-tasks; of all, in and out of distribution.

Published tables hold both: VLM2Vec (arXiv 2410.05160) averages its data sets, UniME-V2 (arXiv
2510.13515) prints baselines averaged over the four meta-tasks in the same column.
"""

from collections.abc import Mapping, Sequence
from math import fsum
from typing import Any, NamedTuple

from vlft.results.records import Interval, Metric
from vlft.results.statistics import stratified_interval

HIT = "hit@1"
BY_TASK = "hit@1_by_meta_task"

DOMAINS = ("IND", "OOD")
"""In distribution: VLM2Vec trains on a part of the data set. Out of distribution: it does not."""


class Standing(NamedTuple):
    """Where a data set stands.

    Attributes:
        task: Its meta-task.
        domain: One of ``DOMAINS``.
    """

    task: str
    domain: str


def standings_of(settings: Mapping[str, Any]) -> dict[str, Standing]:
    """Return where the data sets stand, from the ``settings`` of a benchmark's file."""
    return {
        name: Standing(facts["task"], facts["domain"])
        for name, facts in settings["datasets"].items()
    }


class Measured(NamedTuple):
    """What was found on one data set.

    Attributes:
        value: Its hit@1.
        scores: 0 or 1 for each query, for the interval; none: they are not known.
        chance: What guessing gives; None: not known.
    """

    value: float
    scores: Sequence[float] = ()
    chance: float | None = None


class Averages(NamedTuple):
    """All averages.

    Attributes:
        metrics: Over data sets and over meta-tasks, of all data sets and of each domain.
        groups: ``hit@1`` of each meta-task, and both averages of each domain.
    """

    metrics: list[Metric]
    groups: dict[str, tuple[Metric, ...]]


def averages(measured: Mapping[str, Measured], standings: Mapping[str, Standing]) -> Averages:
    """Return all averages that there are data sets for.

    A meta-task's number is the mean over its data sets.

    Args:
        measured: By data set, at least one.
        standings: Where each of them stands; others may be there too.
    """
    # in the table's order, so that equal numbers give an equal interval
    names = [name for name in standings if name in measured]
    assert len(names) == len(measured), "a data set has no standing"
    metrics, groups = _both(HIT, BY_TASK, names, measured, standings), {}
    for task in dict.fromkeys(standings[name].task for name in names):
        members = [name for name in names if standings[name].task == task]
        groups[task] = (_mean(HIT, members, measured),)
    for domain in DOMAINS:
        members = [name for name in names if standings[name].domain == domain]
        if members:
            groups[domain] = tuple(_both(HIT, BY_TASK, members, measured, standings))
            metrics += _both(f"{HIT}_{domain}", f"{BY_TASK}_{domain}", members, measured, standings)
    return Averages(metrics, groups)


def _both(
    over_datasets: str,
    over_tasks: str,
    names: Sequence[str],
    measured: Mapping[str, Measured],
    standings: Mapping[str, Standing],
) -> list[Metric]:
    sizes: dict[str, int] = {}
    for name in names:
        sizes[standings[name].task] = sizes.get(standings[name].task, 0) + 1
    weights = [1 / (len(sizes) * sizes[standings[name].task]) for name in names]
    return [_mean(over_datasets, names, measured), _mean(over_tasks, names, measured, weights)]


def _mean(
    metric: str,
    names: Sequence[str],
    measured: Mapping[str, Measured],
    weights: Sequence[float] | None = None,
) -> Metric:
    found = [measured[name] for name in names]

    def weighted(values: Sequence[float]) -> float:
        if weights is None:
            return fsum(values) / len(values)
        return fsum(weight * value for weight, value in zip(weights, values, strict=True))

    interval: Interval | None = None
    if all(one.scores for one in found):
        interval = stratified_interval(
            [one.scores for one in found], weights or [1 / len(found)] * len(found)
        )
    chances = [one.chance for one in found if one.chance is not None]
    return Metric(
        name=metric,
        value=min(1.0, weighted([one.value for one in found])),
        n=sum(len(one.scores) for one in found),
        interval=interval,
        chance=weighted(chances) if len(chances) == len(found) else None,
    )
