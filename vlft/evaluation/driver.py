"""From a model and a benchmark to a result: records, requests, answers, samples, metrics."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Literal, NamedTuple

from PIL.Image import Image
from pydantic import JsonValue

from vlft.data import open_dataset
from vlft.data.records import Record, Records, images_of
from vlft.errors import EvaluationError, MissingImageError, NotApplicableError, pick, unknown
from vlft.evaluation.answering import ask_all
from vlft.evaluation.applicable import require_capabilities, require_few_images, way_of
from vlft.evaluation.benchmark import BenchmarkSpec
from vlft.evaluation.light import light_record
from vlft.evaluation.log import Log, open_log
from vlft.evaluation.places import placed, source_of
from vlft.evaluation.processes import ALONE, Processes
from vlft.evaluation.rehearsal import rehearse
from vlft.evaluation.requests import Picture
from vlft.evaluation.revision import UNPINNED
from vlft.evaluation.scorer import Scored, Scorer, settings_of
from vlft.evaluation.scorers import SCORERS
from vlft.results import ModelIdentity, Protocol, RankingKey, Result, Sample, file_stem
from vlft.types import Backbone, Classifies, Embeds, EmbedsPrompts, Generates, Scores


class Evaluated(NamedTuple):
    """A result with its samples; ``write_result`` takes both."""

    result: Result
    samples: list[Sample]


def evaluate(
    backbone: Backbone,
    spec: BenchmarkSpec,
    *,
    data: str | None = None,
    limit: int | None = None,
    identity: ModelIdentity | None = None,
    facts: Mapping[str, JsonValue] | None = None,
    batch_size: int = 32,
    log_folder: Path | None = None,
    processes: Processes = ALONE,
    progress: bool = True,
) -> Evaluated:
    """Measure a model on a benchmark, on the device that the model is on.

    Equal arguments give equal samples and metrics, whatever the processes and the log.

    Args:
        backbone: Any host, bare or with an adapter.
        spec: The benchmark.
        data: Where its data are, as for ``placed``.
        limit: Use the first so many records; the result is then marked as limited.
        identity: What the result calls the model; None: what the backbone says of itself.
        facts: What else the result should show of the model, such as its trained parameters.
        batch_size: Requests that are asked together.
        log_folder: Folder of the results, below which answers are logged and found again; None:
            no log.
        processes: Which share the work; all of them call this, and all get the result.
        progress: Show a bar with the time left on stderr.

    Returns:
        The result and its samples. A model that lacks what the benchmark asks for gives a result
        with status ``not_applicable`` and no samples.

    Raises:
        EvaluationError: The benchmark does not fit its data, cannot be scored, or its data are not
            there.
        DataError: The data cannot be read.
    """
    # transformers takes seconds to import, which data and predictions are read without
    from vlft.backbones.fingerprint import fingerprint
    from vlft.evaluation.capabilities import capabilities_of
    from vlft.evaluation.identity import (
        identify,
        recorded_facts,
        visual_tokens_per_image,
    )

    identity = identity or identify(backbone)
    if identity.weights is None:
        identity = identity.model_copy(update={"weights": fingerprint(backbone.model)})
    scorer = scorer_of(spec)  # a mistake in the declaration is no lack of the model
    recorded = recorded_facts(backbone, batch_size=batch_size) | dict(facts or {})
    model = capabilities_of(backbone, batch_size=batch_size)
    try:
        require_capabilities(backbone, model, scorer, needs_images=spec.needs_images)
        spec = placed(spec, data)
        records = open_dataset(spec.data)
        tokens = visual_tokens_per_image(backbone, islice(_images(records, spec), FEW))
        recorded["visual_tokens_per_image"] = tokens
        return measure(
            model,
            spec,
            records,
            limit=limit,
            identity=identity,
            recorded=recorded,
            batch_size=batch_size,
            log_folder=log_folder,
            processes=processes,
            progress=progress,
        )
    except NotApplicableError as error:
        key = ranking_key(spec, via=None, revision="none", limited=False)
        result = Result(
            status="not_applicable",
            reason=str(error),
            protocol=Protocol(ranking_key=key, recorded=recorded),
            model=identity,
            date=_now(),
            seconds=0,
        )
        return Evaluated(result, [])
    except MissingImageError as error:
        raise EvaluationError("; ".join((str(error), *source_of(spec)))) from error


def measure(
    model: object,
    spec: BenchmarkSpec,
    records: Records,
    *,
    identity: ModelIdentity,
    recorded: Mapping[str, JsonValue],
    limit: int | None = None,
    batch_size: int = 32,
    log_folder: Path | None = None,
    processes: Processes = ALONE,
    progress: bool = True,
) -> Evaluated:
    """Measure an object that has a capability which the benchmark's scorer asks for.

    Args:
        model: Such as ``capabilities_of`` gives.
        spec: The benchmark.
        records: Its records.
        identity: What the result calls the model.
        recorded: Facts to show with the number.
        limit: As for ``evaluate``, like all that follow.
        batch_size: Requests that are asked together.
        log_folder: Where answers are logged.
        processes: Which share the work.
        progress: Show a bar.

    Raises:
        EvaluationError: The data cannot be scored.
        NotApplicableError: They ask about more images at once than the model takes.
    """
    size, scorer = len(records), scorer_of(spec)
    via = way_of(model, scorer)
    count = size if limit is None else min(limit, size)
    limited = count < size or bool(notes_on_size(spec, size))
    key = ranking_key(spec, via=via, revision=spec.dataset_revision, limited=limited)
    protocol = Protocol(ranking_key=key, recorded=dict(recorded))
    taken = [
        light_record(records, index, max_pixels=spec.max_image_pixels) for index in range(count)
    ]
    require_different_ids([record.id for record in taken], spec)
    require_few_images(model, scorer.ask(taken, spec, via))
    rehearse(scorer, taken, spec, via, score_samples)
    began, log = _now(), None
    if log_folder is not None:
        stem = file_stem(spec.name.partition(":")[0], limited=limited)
        facts = _facts(spec, protocol, identity)

        def log(requests: str) -> Log:
            return open_log(log_folder, stem, {**facts, "requests": requests}, processes)

    predicted = predict(
        model,
        taken,
        spec,
        batch_size=batch_size,
        log=log,
        processes=processes,
        progress=progress,
    )
    start = perf_counter()
    scored = score_samples(predicted.samples, spec)
    result = Result(
        metrics=tuple(scored.metrics),
        groups=scored.groups,
        notes=(*notes_on_size(spec, size), *notes_on_revision(spec), *scored.notes),
        protocol=protocol,
        model=identity,
        date=predicted.began or began,
        seconds=predicted.seconds + perf_counter() - start,
    )
    return Evaluated(result, scored.samples)


class Predicted(NamedTuple):
    """What a model said, not judged yet.

    Attributes:
        samples: One or several per record, in their order.
        seconds: Time that the model took, over all processes and parts.
        began: When the measurement began, as the log has it; None: there is no log.
    """

    samples: list[Sample]
    seconds: float
    began: str | None


def predict(
    model: object,
    records: Sequence[Record],
    spec: BenchmarkSpec,
    *,
    batch_size: int = 32,
    log: Callable[[str], Log] | None = None,
    processes: Processes = ALONE,
    progress: bool = False,
) -> Predicted:
    """Ask a model about records, without judging what it says.

    Args:
        model: Has a capability that the benchmark's scorer asks for.
        records: All that are measured.
        spec: The benchmark.
        batch_size: Requests that are asked together.
        log: Opens the log in which answers are kept and found, as for ``ask_all``; None: no log.
        processes: Which share the work.
        progress: Show a bar.

    Raises:
        EvaluationError: A record does not fit the scorer, or the model gives what cannot be scored.
        RecordError: An image is bad.
    """
    scorer = scorer_of(spec)
    via = way_of(model, scorer)
    answers = ask_all(
        model,
        scorer.ask(records, spec, via),
        batch_size=batch_size,
        log=log,
        processes=processes,
        progress=spec.name if progress else None,
    )
    samples = list(scorer.read(records, answers, spec, via))
    return Predicted(samples, answers.seconds, answers.began)


def score_samples(samples: Sequence[Sample], spec: BenchmarkSpec) -> Scored:
    """Judge samples, whoever made them; the benchmark's main metric comes first.

    Raises:
        EvaluationError: Two samples have one id, or the scorer does not give the main metric.
    """
    require_different_ids([sample.id for sample in samples], spec)
    scored = scorer_of(spec).score(samples, spec)
    names = [metric.name for metric in scored.metrics]
    if spec.metric not in (*names, *scored.undefined):
        raise EvaluationError(f"{spec.name}: {unknown('metric', spec.metric, names)}")
    metrics = sorted(scored.metrics, key=lambda metric: metric.name != spec.metric)
    return scored._replace(metrics=metrics)


def scorer_of(spec: BenchmarkSpec) -> Scorer:
    """Return the scorer that a benchmark names.

    Raises:
        UnknownNameError: There is no such scorer.
        EvaluationError: It does not know one of the benchmark's ``settings``.
    """
    scorer = pick(SCORERS, spec.scorer, kind="scorer")
    settings_of(spec, scorer.settings)
    return scorer


def require_different_ids(
    ids: Sequence[str],
    spec: BenchmarkSpec,
    *,
    what: Literal["samples", "predictions"] = "samples",
) -> None:
    """Refuse records, samples or predictions that cannot be told apart.

    Raises:
        EvaluationError: Two have one id.
    """
    counts = Counter(ids)
    twice = next((name for name, count in counts.items() if count > 1), None)
    if twice is not None:
        raise EvaluationError(
            f"{spec.name}: {counts[twice]} {what} have the id {twice!r}; {_ADVICE[what]}"
        )


_ADVICE = {
    "samples": "give every record an `id` of its own, or none (its line then names it)",
    "predictions": "keep one of them",
}


def notes_on_size(spec: BenchmarkSpec, size: int) -> tuple[str, ...]:
    """Say that the data are not those that the benchmark declares, if so."""
    if spec.expected_n is None or size == spec.expected_n:
        return ()
    return (
        f"the data have {size} records, and the benchmark declares {spec.expected_n}: the result "
        "is marked as limited",
    )


def notes_on_revision(spec: BenchmarkSpec) -> tuple[str, ...]:
    """Say that the data may change under the same name, if so."""
    if spec.dataset_revision != UNPINNED:
        return ()
    return (
        "the data's revision on the Hub is not pinned: results of other days may be on other data; "
        "set data.revision to a commit",
    )


def ranking_key(
    spec: BenchmarkSpec, *, via: type | None, revision: str, limited: bool
) -> RankingKey:
    """Return what must be equal before two numbers may stand in one ranking.

    Args:
        spec: The benchmark.
        via: The capability that answers come from; None: there are no answers.
        revision: What pins the data.
        limited: Whether only a part was measured.
    """
    return RankingKey(
        benchmark=spec.name,
        benchmark_version=spec.version,
        dataset_revision=revision,
        prompt_format=spec.prompt_format,
        extraction=spec.extraction,
        decoding="none" if via is None else decoding_of(spec, via),
        tie_rule=spec.tie_rule,
        coverage="limited" if limited else "full",
    )


def decoding_of(spec: BenchmarkSpec, via: type) -> str:
    """Say how answers are made, in words."""
    if via is Generates:
        return f"greedy, at most {spec.max_new_tokens} tokens"
    return DECODINGS[via]


DECODINGS: dict[type, str] = {
    Scores: "log-likelihood",
    Embeds: "cosine",
    EmbedsPrompts: "cosine",
    Classifies: "logits",
}
"""How answers are made where nothing is generated."""


def _images(records: Records, spec: BenchmarkSpec) -> Iterator[Image]:
    """Yield the images of the first records, decoded when they are wanted."""
    for index in range(min(FEW, len(records))):
        record = records[index]
        for number, ref in enumerate(images_of(record)):
            yield Picture(ref, spec.name, record.id, number, spec.max_image_pixels).open()


FEW = 8
"""Records to look at, and images in them, for how many tokens an image takes."""


def _facts(
    spec: BenchmarkSpec, protocol: Protocol, identity: ModelIdentity
) -> dict[str, JsonValue]:
    """Return all that answers depend on, beside the requests.

    What a user calls the model is no part of it, nor how answers are read and what they come to.
    """
    return {
        "revision": protocol.ranking_key.dataset_revision,
        "data": spec.data.model_dump(mode="json"),
        "model": identity.model_dump(mode="json", exclude={"name"}),
        "recorded": protocol.recorded,
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
