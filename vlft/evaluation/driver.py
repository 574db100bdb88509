"""One process from benchmark to result: records, batches, samples, metrics."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from time import perf_counter
from typing import Any, NamedTuple

from pydantic import JsonValue
from tqdm import tqdm

from vlft.data import open_dataset
from vlft.data.records import Record, Records
from vlft.errors import EvaluationError, pick, unknown
from vlft.evaluation.benchmark import BenchmarkSpec
from vlft.evaluation.capabilities import capabilities_of
from vlft.evaluation.identity import identify, recorded_facts
from vlft.evaluation.scorer import Scored, Scorer
from vlft.evaluation.scorers import SCORERS
from vlft.results import ModelIdentity, Protocol, RankingKey, Result, Sample
from vlft.types import Backbone


class Evaluated(NamedTuple):
    """A result with its samples; ``write_result`` takes both."""

    result: Result
    samples: list[Sample]


def evaluate(
    backbone: Backbone,
    spec: BenchmarkSpec,
    *,
    limit: int | None = None,
    identity: ModelIdentity | None = None,
    batch_size: int = 32,
    progress: bool = True,
) -> Evaluated:
    """Measure a model on a benchmark, on the device that the model is on.

    Equal arguments give equal samples and metrics.

    Args:
        backbone: Any host, bare or with an adapter.
        spec: The benchmark.
        limit: Use the first so many records; the result is then marked as limited.
        identity: What the result calls the model; None: what the backbone says of itself.
        batch_size: Records per forward pass.
        progress: Show a bar with the time left on stderr.

    Returns:
        The result and its samples. A model that lacks what the benchmark asks for gives a result
        with status ``not_applicable`` and no samples.

    Raises:
        EvaluationError: The benchmark does not fit its data, or cannot be scored.
        DataError: The data cannot be read.
    """
    identity = identity or identify(backbone)
    recorded = recorded_facts(backbone, batch_size=batch_size)
    model = capabilities_of(backbone, batch_size=batch_size)
    lacking = _lacking(backbone, model, spec)
    if lacking is not None:
        result = Result(
            status="not_applicable",
            reason=lacking,
            protocol=_protocol(spec, recorded, limited=False),
            model=identity,
            date=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=0,
        )
        return Evaluated(result, [])
    return measure(
        model,
        spec,
        open_dataset(spec.data),
        limit=limit,
        identity=identity,
        recorded=recorded,
        batch_size=batch_size,
        progress=progress,
    )


def measure(
    model: object,
    spec: BenchmarkSpec,
    records: Records,
    *,
    limit: int | None,
    identity: ModelIdentity,
    recorded: Mapping[str, JsonValue],
    batch_size: int,
    progress: bool,
) -> Evaluated:
    """Measure an object that has the capability which the benchmark's scorer asks for.

    Args:
        model: Such as ``capabilities_of`` gives.
        spec: The benchmark.
        records: Its records.
        limit: As in ``evaluate``, like ``batch_size`` and ``progress``.
        identity: What the result calls the model.
        recorded: Facts to show with the number.
        batch_size: Records that are asked together.
        progress: Show a bar.

    Raises:
        EvaluationError: The data have another size than declared, or cannot be scored.
    """
    size = len(records)
    if spec.expected_n is not None and size != spec.expected_n:
        raise EvaluationError(
            f"{spec.name}: the data have {size} records, but expected_n is {spec.expected_n}: "
            f"check that they are of revision {spec.dataset_revision}"
        )
    count = size if limit is None else min(limit, size)
    date, start = datetime.now(UTC), perf_counter()
    with tqdm(total=count, desc=spec.name, unit="record", disable=not progress) as bar:
        batches = _batches(records, count, batch_size, bar)
        predicted = list(scorer_of(spec).predict(model, batches, spec))
    scored = score_samples(predicted, spec)
    result = Result(
        metrics=tuple(scored.metrics),
        groups=scored.groups,
        protocol=_protocol(spec, recorded, limited=count < size),
        model=identity,
        date=date.isoformat(timespec="seconds"),
        seconds=perf_counter() - start,
    )
    return Evaluated(result, scored.samples)


def score_samples(samples: Sequence[Sample], spec: BenchmarkSpec) -> Scored:
    """Judge samples, whoever made them; the benchmark's main metric comes first.

    Raises:
        EvaluationError: Two samples have one id, or the scorer does not give the main metric.
    """
    counts = Counter(sample.id for sample in samples)
    twice = next((name for name, count in counts.items() if count > 1), None)
    if twice is not None:
        raise EvaluationError(
            f"{spec.name}: {counts[twice]} samples have the id {twice!r}; give every record an "
            "`id` of its own, or none (its line then names it)"
        )
    scored = scorer_of(spec).score(samples, spec)
    names = [metric.name for metric in scored.metrics]
    if spec.metric not in names:
        raise EvaluationError(f"{spec.name}: {unknown('metric', spec.metric, names)}")
    metrics = sorted(scored.metrics, key=lambda metric: metric.name != spec.metric)
    return scored._replace(metrics=metrics)


def scorer_of(spec: BenchmarkSpec) -> Scorer:
    """Return the scorer that a benchmark names.

    Raises:
        UnknownNameError: There is no such scorer.
    """
    return pick(SCORERS, spec.scorer, kind="scorer")


def _lacking(backbone: Backbone, model: object, spec: BenchmarkSpec) -> str | None:
    if spec.needs_images and "vision" not in backbone.towers:
        return "the host reads text only"
    wanted = scorer_of(spec).requires
    if not isinstance(model, wanted):
        names = " or ".join(capability.__name__ for capability in wanted)
        return f"the host has no capability {names}"
    return None


def _protocol(spec: BenchmarkSpec, recorded: Mapping[str, JsonValue], *, limited: bool) -> Protocol:
    key = RankingKey(
        benchmark=spec.name,
        benchmark_version=spec.version,
        dataset_revision=spec.dataset_revision,
        prompt_format=spec.prompt_format,
        extraction=spec.extraction,
        decoding=spec.decoding,
        tie_rule=spec.tie_rule,
        coverage="limited" if limited else "full",
    )
    return Protocol(ranking_key=key, recorded=dict(recorded))


def _batches(
    records: Records, count: int, batch_size: int, bar: "tqdm[Any]"
) -> Iterator[list[Record]]:
    """Yield the first ``count`` records; the bar moves when a batch has been dealt with."""
    for start in range(0, count, batch_size):
        batch = [records[index] for index in range(start, min(start + batch_size, count))]
        yield batch
        bar.update(len(batch))
