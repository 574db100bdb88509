"""What a scorer is: records to requests, answers to samples, samples to metrics; never a model."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from vlft.errors import EvaluationError, unknown
from vlft.evaluation.answering import Answers
from vlft.evaluation.benchmark import BenchmarkSpec
from vlft.evaluation.requests import Request
from vlft.recipe.section import Section
from vlft.results import Metric, Result, Sample


class Scored(NamedTuple):
    """Samples with their scores, and what they come to.

    Attributes:
        samples: As they came, ``score`` filled in.
        metrics: Numbers over all samples.
        groups: Numbers of each group.
        notes: What a reader of the numbers should know.
        undefined: Names of metrics that these samples do not define, such as a mean over groups of
            a size that none has; a note says why.
    """

    samples: list[Sample]
    metrics: list[Metric]
    groups: dict[str, tuple[Metric, ...]]
    notes: tuple[str, ...] = ()
    undefined: tuple[str, ...] = ()


class NoSettings(Section):
    """A scorer without settings of its own."""


@dataclass(frozen=True)
class Scorer:
    """One way of measuring.

    Attributes:
        requires: Capabilities (protocols of ``vlft.types``), any one of which will do; the first
            that a model has is the way in which it is asked.
        ask: What to ask. Takes all records, the benchmark, and the capability; a request may come
            as often as it likes, and is asked once.
        read: From answers to samples. Takes all records, the answers to their requests, the
            benchmark, and the capability; gives samples in the order of the records.
        score: Judge samples, whoever made them. Takes all samples and the benchmark.
        from_text: A sample from what somebody else's model said about a record; None: outputs are
            no texts.
        from_scores: A sample from numbers that somebody else's model gave to the options of a
            record, in their official order; None: there are no options.
        from_choice: A sample from the index of the option that somebody else's model chose, in the
            official order; None: there are no options.
        official: Predictions from the benchmark's own result file, or None where the file has
            another form. Takes the file's content, as JSON gives it, and ``--policy``.
        report: What a report of numbers alone comes to, or None where the file is none. Takes the
            file's content and the benchmark.
        export: A result as somebody else's tools take it, to be written as JSON beside it, or None
            where they take no such result.
        settings: What a benchmark's ``settings`` may hold.
        score_policies: Values of ``extraction`` that read scores, and no texts.
    """

    requires: tuple[type, ...]
    ask: Callable[[Sequence[Any], BenchmarkSpec, type], Iterable[Request]]
    read: Callable[[Sequence[Any], Answers, BenchmarkSpec, type], Iterable[Sample]]
    score: Callable[[Sequence[Sample], BenchmarkSpec], Scored]
    from_text: Callable[[Any, str, BenchmarkSpec], Sample] | None = None
    from_scores: Callable[[Any, Sequence[float], BenchmarkSpec], Sample] | None = None
    from_choice: Callable[[Any, int, BenchmarkSpec], Sample] | None = None
    official: Callable[[Any, str | None], "list[Prediction] | None"] | None = None
    report: Callable[[Any, BenchmarkSpec], "Report | None"] | None = None
    export: Callable[[Result], Any] | None = None
    settings: type[Section] = NoSettings
    score_policies: frozenset[str] = frozenset()


class Prediction(NamedTuple):
    """What somebody else's model said about a record; one of the last three is given.

    Attributes:
        id: Id of the record.
        text: Its output.
        scores: Numbers for the options, in their official order; the highest one is chosen.
        choice: Index of the option that it chose, in the official order.
    """

    id: str
    text: str | None = None
    scores: tuple[float, ...] | None = None
    choice: int | None = None


class Report(NamedTuple):
    """Numbers that somebody else reports, without samples.

    Attributes:
        scored: The numbers; no samples.
        name: What the report calls the model; None: nothing.
        complete: Whether no part of the benchmark is missing.
    """

    scored: Scored
    name: str | None
    complete: bool


SettingsType = TypeVar("SettingsType", bound=Section)


def settings_of(spec: BenchmarkSpec, kind: type[SettingsType]) -> SettingsType:
    """Return a benchmark's ``settings`` as the record that its scorer reads.

    Raises:
        EvaluationError: A key that the scorer does not know, or a value of another type.
    """
    try:
        return kind.model_validate(dict(spec.settings))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        keys = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise EvaluationError(
                f"{spec.name}: settings: {unknown('field', keys, kind.model_fields)}"
            ) from None
        raise EvaluationError(
            f"{spec.name}: settings.{keys} = {first['input']!r}: {first['msg']}"
        ) from None
