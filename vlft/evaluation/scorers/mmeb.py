"""MMEB (arXiv 2410.05160): find the right one of up to 1,000 candidates by its embedding.

A record is a ranking: a query and candidates, each a text, an image, or both. Generative hosts read
both in one prompt and give the last token's state. Hosts with one space for images and texts embed
the two apart; a query or candidate with both is the sum of its two vectors, at unit length.

The benchmark's ``settings.datasets`` says for each data set its meta-task, its domain and how its
texts are put together (``vlft.evaluation.mmeb_texts``).
"""

from collections.abc import Iterator, Mapping, Sequence
from math import fsum
from typing import Any, NamedTuple

import numpy as np
from pydantic import ValidationError

from vlft.data.records import Ranking, Record
from vlft.errors import EvaluationError, unknown
from vlft.evaluation.answering import Answers
from vlft.evaluation.asking import require_values
from vlft.evaluation.benchmark import BenchmarkSpec, TieRule
from vlft.evaluation.metrics import share
from vlft.evaluation.mmeb_members import MmebSettings, dataset_of, members, ranking, vectors
from vlft.evaluation.mmeb_texts import DatasetFacts, identity
from vlft.evaluation.nearest import Outcome, outcome_of, outcomes
from vlft.evaluation.ranking_metrics import CUTOFFS, NAMES, mean_metrics, metrics_at_rank
from vlft.evaluation.requests import Request
from vlft.evaluation.scorer import Report, Scored, Scorer
from vlft.results import Metric, Result, Sample
from vlft.results.mmeb_averages import HIT, Measured, Standing, averages, standings_of
from vlft.results.mmeb_report import IMAGE, QUERIES, numbers_of, read_report, report_of
from vlft.types import Embeds, EmbedsPrompts


def ask(records: Sequence[Record], spec: BenchmarkSpec, via: type) -> Iterator[Request]:
    """Ask for the embeddings of all queries and candidates.

    Raises:
        EvaluationError: A record does not fit, its data set is unknown, or there is no tie rule.
    """
    _tie_rule(spec)
    for member in members(records, spec, via):
        for requests in (*member.queries, *member.targets):
            yield from requests


def read(
    records: Sequence[Record], answers: Answers, spec: BenchmarkSpec, via: type
) -> Iterator[Sample]:
    """Yield one sample per record; its prediction is the nearest candidate.

    Raises:
        EvaluationError: An embedding is NaN or infinite.
    """
    found: dict[int, Sample] = {}
    for member in members(records, spec, via):
        ids = [f"record {records[place].id}" for place in member.places]
        queries = vectors(member.queries, answers, ids, spec)
        dataset = dataset_of(ranking(records[member.places[0]], spec))
        named = [f"{dataset}, candidate {name!r}" for name in member.names]
        targets = vectors(member.targets, answers, named, spec)
        ended = outcomes(queries, targets, member.candidates, tie_rule=_tie_rule(spec))
        for place, own, outcome in zip(member.places, member.candidates, ended, strict=True):
            chosen, right = member.names[own[outcome.best]], member.names[own[0]]
            record = ranking(records[place], spec)
            found[place] = _sample(record, outcome, len(own), chosen, right)
    yield from (found[place] for place in range(len(records)))


def from_scores(record: Record, values: Sequence[float], spec: BenchmarkSpec) -> Sample:
    """Return the sample of a record whose candidates have these scores, in the row's order.

    Of a candidate that the row lists twice the first score counts.

    Raises:
        EvaluationError: A score is NaN or infinite, or their number is not that of the candidates.
    """
    ranked = ranking(record, spec)
    shape = _facts(dataset_of(ranked), spec).shape
    require_values(values, len(ranked.candidates), ranked, spec)
    scores: dict[str, float] = {}
    for place, value in zip(ranked.candidates.tolist(), values, strict=True):
        scores.setdefault(identity(ranked.pool[place], shape), value)
    names = list(scores)
    outcome = outcome_of(np.array(list(scores.values())), tie_rule=_tie_rule(spec))
    return _sample(ranked, outcome, len(names), names[outcome.best], names[0])


def score(samples: Sequence[Sample], spec: BenchmarkSpec) -> Scored:
    """Return the averages of ``hit@1``, and all ranking metrics of each data set.

    Raises:
        EvaluationError: There are no samples, or one does not say how it ended.
    """
    if not samples:
        raise EvaluationError(f"{spec.name}: no samples to score; the data set is empty")
    standings, tie_rule = standings_of(spec.settings), _tie_rule(spec)
    rows: dict[str, list[int]] = {}
    for place, sample in enumerate(samples):
        rows.setdefault(_dataset(sample, standings, spec), []).append(place)
    ended = [_ended(sample, spec) for sample in samples]
    scored = list(samples)
    measured: dict[str, Measured] = {}
    groups: dict[str, tuple[Metric, ...]] = {}
    for name in standings:
        places = rows.get(name, [])
        if not places:
            continue
        ranks = [ended[place].rank(tie_rule) for place in places]
        chances = [1 / ended[place].candidates for place in places]
        hits = [float(rank == 1) for rank in ranks]
        groups[name] = _metrics(ranks, chances)
        measured[name] = Measured(groups[name][0].value, hits, fsum(chances) / len(chances))
        weight = 1 / (len(rows) * len(places))
        for place, hit in zip(places, hits, strict=True):
            scored[place] = samples[place].model_copy(update={"score": hit, "weight": weight})
    means = averages(measured, standings)
    notes = _notes(ended, tie_rule)
    return Scored(scored, means.metrics, {**means.groups, **groups}, notes)


def report(content: Any, spec: BenchmarkSpec) -> Report | None:
    """Return what a report of the public leaderboard comes to; None: the file is none.

    Raises:
        EvaluationError: It has no numbers of any image data set.
    """
    found = read_report(content)
    if found is None:
        return None
    numbers = numbers_of(found, standings_of(spec.settings))
    notes = []
    if numbers.missing:
        notes.append(
            f"the report lacks {len(numbers.missing)} data sets: {', '.join(numbers.missing)}"
        )
    if numbers.resized:
        notes.append(
            f"{len(numbers.resized)} data sets were not measured on their {QUERIES:,} queries: "
            f"{', '.join(numbers.resized)}"
        )
    if numbers.ignored:
        notes.append(f"no data sets of the benchmark, left out: {', '.join(numbers.ignored)}")
    scored = Scored([], numbers.metrics, numbers.groups, tuple(notes))
    return Report(scored, found.model, complete=not (numbers.missing or numbers.resized))


def export(result: Result) -> dict[str, Any] | None:
    """Return a result as the public leaderboard takes it; None for data sets that it lacks."""
    if not any(name in result.groups for name in IMAGE):
        return None
    return report_of(result).content


class _Ended(NamedTuple):
    """How the right candidate of a sample stands among the others."""

    candidates: int
    ahead: int
    ties: int

    def rank(self, tie_rule: TieRule) -> int:
        """Return the place of the right candidate; 1 is first."""
        return 1 + self.ahead + (self.ties if tie_rule == "against_model" else 0)


def _tie_rule(spec: BenchmarkSpec) -> TieRule:
    if spec.tie_rule is None:
        raise EvaluationError(f"{spec.name}: scorer {spec.scorer} needs `tie_rule`")
    return spec.tie_rule


def _facts(name: str, spec: BenchmarkSpec) -> DatasetFacts:
    """Return what the settings say of one data set, without reading all of them."""
    datasets = spec.settings.get("datasets")
    if not isinstance(datasets, Mapping) or name not in datasets:
        there = datasets if isinstance(datasets, Mapping) else {}
        raise EvaluationError(f"{spec.name}: settings.datasets: {unknown('data set', name, there)}")
    try:
        return DatasetFacts.model_validate(datasets[name])
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise EvaluationError(
            f"{spec.name}: settings.datasets.{name}.{'.'.join(map(str, first['loc']))}: "
            f"{first['msg']}"
        ) from None


def _sample(record: Ranking, outcome: Outcome, candidates: int, chosen: str, right: str) -> Sample:
    return Sample(
        id=record.id,
        group=dataset_of(record),
        prediction=chosen,
        answer=right,
        extra={"candidates": candidates, "ahead": outcome.ahead, "ties": outcome.ties},
    )


def _ended(sample: Sample, spec: BenchmarkSpec) -> _Ended:
    values = [sample.extra.get(name) for name in _Ended._fields]
    if not all(isinstance(value, int) and value >= 0 for value in values):
        raise EvaluationError(
            f"{spec.name}, sample {sample.id}: expected {', '.join(_Ended._fields)} in `extra`, "
            "which say how its right candidate stands"
        )
    return _Ended(*(int(str(value)) for value in values))


def _dataset(sample: Sample, standings: Mapping[str, Standing], spec: BenchmarkSpec) -> str:
    if sample.group not in standings:
        raise EvaluationError(
            f"{spec.name}, sample {sample.id}: settings.datasets: "
            f"{unknown('data set', str(sample.group), standings)}"
        )
    return str(sample.group)


def _metrics(ranks: Sequence[int], chances: Sequence[float]) -> tuple[Metric, ...]:
    """Return all ranking metrics of a data set, from the ranks of its right candidates."""
    beyond = max(CUTOFFS) + 1
    at_rank = {rank: metrics_at_rank(rank) for rank in {min(rank, beyond) for rank in ranks}}
    rows = [at_rank[min(rank, beyond)] for rank in ranks]
    means = mean_metrics(rows)
    found = (
        share(name, [row[name] for row in rows], chances=chances if name == HIT else None)
        for name in NAMES
    )
    return tuple(metric.model_copy(update={"value": means[metric.name]}) for metric in found)


def _notes(ended: Sequence[_Ended], tie_rule: TieRule) -> tuple[str, ...]:
    """Say how many queries the tie rule decides."""
    tied = sum(one.ties > 0 for one in ended)
    if not tied:
        return ()
    decided = sum(one.ties > 0 and one.ahead == 0 for one in ended)
    side = "for" if tie_rule == "for_model" else "against"
    return (
        f"in {tied} of {len(ended)} queries a wrong candidate scores exactly what the right one "
        f"scores; such ties count {side} the model, and decide whether {decided} of them are hits",
    )


MMEB = Scorer(
    requires=(Embeds, EmbedsPrompts),
    ask=ask,
    read=read,
    score=score,
    from_scores=from_scores,
    report=report,
    export=export,
    settings=MmebSettings,
)
