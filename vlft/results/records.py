"""The records of a result: numbers with intervals, how they were made, and every answer."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

SCHEMA_VERSION = 1
"""Raised with every change of the records that an older reader would misunderstand."""

Real = Annotated[float, Field(allow_inf_nan=False)]


class Record(BaseModel):
    """A frozen record; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Interval(Record):
    """A confidence interval."""

    method: Literal["wilson", "bootstrap"]
    """How it was computed."""
    level: float = Field(gt=0, lt=1)
    """Coverage, such as 0.95."""
    low: Real
    """Lower end, in the unit of the metric."""
    high: Real
    """Upper end."""


class Metric(Record):
    """One number."""

    name: str
    """Such as ``accuracy`` or ``image_to_text_recall@1``."""
    value: Real
    """Shares lie in 0..1, never in per cent."""
    direction: Literal["higher", "lower"] = "higher"
    """Which way is better."""
    n: int = Field(ge=0)
    """Samples behind the number."""
    interval: Interval | None = None
    """Null where none is defined."""
    chance: Real | None = None
    """What guessing gives; null where that is not declared."""


class RankingKey(Record):
    """What must be equal before two numbers may stand in one ranking."""

    benchmark: str
    """Name in ``eval/``."""
    benchmark_version: int
    """Version that the benchmark's file declares."""
    dataset_revision: str
    """Commit or hash of the data; for generated data, a hash of what they are drawn from."""
    prompt_format: str
    """How a record becomes a prompt."""
    extraction: str
    """How an output becomes an answer."""
    decoding: str
    """How answers are made: greedy generation, log-likelihood, cosine or logits."""
    tie_rule: str | None
    """Whom a tie counts for; null where there are none."""
    coverage: Literal["full", "limited"]
    """Limited: only a part was measured, or the data have another size than the benchmark declares.
    Such a number never ranks."""


class Protocol(Record):
    """How the number was made."""

    ranking_key: RankingKey
    recorded: dict[str, JsonValue] = Field(default_factory=dict)
    """Facts that are shown and not ranked by: resolution, chat template, dtype, versions ..."""


class ModelIdentity(Record):
    """Which model was measured."""

    name: str
    """As the user named it: run directory, Hub id, or shipped configuration."""
    source: dict[str, JsonValue] = Field(default_factory=dict)
    """Where the host's weights came from."""
    adapter: dict[str, JsonValue] | None = None
    """The adapter's method and settings; null for a bare host."""
    weights: str | None = None
    """Checksum over every weight as it was measured; null where no model was at hand."""


class Result(Record):
    """One benchmark, one model."""

    schema_version: Literal[1] = SCHEMA_VERSION
    status: Literal["scored", "not_applicable"] = "scored"
    """``not_applicable``: the model lacks what the benchmark asks for, and there are no metrics."""
    reason: str | None = None
    """Why it is not applicable."""
    metrics: tuple[Metric, ...] = ()
    """The benchmark's main metric first."""
    groups: dict[str, tuple[Metric, ...]] = Field(default_factory=dict)
    """Metrics of parts of the data, such as question types."""
    protocol: Protocol
    model: ModelIdentity
    date: str
    """Start of the measurement, UTC, ISO 8601."""
    seconds: float = Field(ge=0, allow_inf_nan=False)
    """Time that answering took, summed over processes and over the parts of a resumed measurement;
    what a log had already is counted with the time that it took then."""
    notes: tuple[str, ...] = ()
    """What a reader of the numbers should know, one sentence each: ties, unequal sizes ..."""
    samples_file: str | None = None
    """File name beside the result; null when nothing was measured."""

    @property
    def benchmark(self) -> str:
        """Name of the benchmark."""
        return self.protocol.ranking_key.benchmark


class Sample(Record):
    """One record's answer."""

    id: str
    """The record's id; a record that is asked twice has two ids."""
    group: str | None = None
    """Part of the data it counts in, such as a question type."""
    prediction: JsonValue
    """What the model said, as it said it."""
    answer: JsonValue
    """What is right."""
    score: Real | None = None
    """0 to 1, or 0 to 10 where the main metric is CIDEr; null as long as nobody scored it."""
    weight: Real | None = None
    """Its share in the main metric, where samples do not count equally, as in a mean over groups:
    the metric is then the sum of scores times weights. Null: all count equally."""
    extra: dict[str, JsonValue] = Field(default_factory=dict)
    """What the scorer needs beside the prediction, or wants to show."""


def protocol_differences(one: Result, other: Result) -> list[str]:
    """Return the fields of the ranking key in which two results differ."""
    first, second = one.protocol.ranking_key, other.protocol.ranking_key
    return [
        name for name in RankingKey.model_fields if getattr(first, name) != getattr(second, name)
    ]


def rank_together(one: Result, other: Result) -> bool:
    """Whether two numbers may stand in one ranking: equal keys, both on the full data."""
    full = one.protocol.ranking_key.coverage == "full"
    return full and not protocol_differences(one, other)
