"""What an evaluation leaves behind: one result as JSON, and one line of JSON per sample.

``results/<benchmark>.json`` says which number, of which model, under which protocol; beside it
``<benchmark>.samples.jsonl`` holds every answer, so that two runs can be compared pair by pair and
answers can be scored again without a model. Reading needs no torch.
"""

import json
import re
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from vlft.disk import replace_text, tell_full_disk
from vlft.errors import EvaluationError

SCHEMA_VERSION = 1
"""Raised with every change of the records that an older reader would misunderstand."""

LONGEST_STEM = 160
"""Characters of a result's file name before its endings; file systems take 255 bytes in all."""

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
    """How outputs are made; ``none`` where nothing is generated."""
    tie_rule: str | None
    """Whom a tie counts for; null where there are none."""
    coverage: Literal["full", "limited"]
    """Limited: only the first records were measured. Such a number never ranks."""


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
    """Wall time."""
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
    """0 to 1; null as long as nobody scored it."""
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


def file_stem(benchmark: str, *, limited: bool = False) -> str:
    """Return the name of a benchmark's files without ``.json`` and ``.samples.jsonl``.

    A limited result has a name of its own, so that it never takes the place of a full one. A name
    that is too long for a file system, or whose letters a file name does not show, ends with a hash
    of the whole.

    Args:
        benchmark: Name of the benchmark, such as ``scenes/retrieval``.
        limited: Whether only a part of it was measured.
    """
    stem = re.sub(r"[^A-Za-z0-9_.]+", "-", benchmark).strip("-")
    if len(stem) > LONGEST_STEM or not benchmark.isascii():
        digest = sha256(benchmark.encode()).hexdigest()[:12]
        stem = f"{stem[: LONGEST_STEM - len(digest) - 1].rstrip('-')}-{digest}"
    return f"{stem}.limited" if limited else stem


def write_result(folder: Path, result: Result, samples: Sequence[Sample]) -> Path:
    """Write a result and its samples, replacing an older result of the same benchmark.

    Each file appears complete or not at all, the result last: one that can be read has its samples.

    Args:
        folder: Such as ``runs/mine/results``; made when missing.
        result: The result; ``samples_file`` is filled in.
        samples: One per record and question.

    Returns:
        The result's path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    limited = result.protocol.ranking_key.coverage == "limited"
    name = file_stem(result.benchmark, limited=limited)
    path = folder / f"{name}.json"
    path.unlink(missing_ok=True)
    if samples:
        lines = "".join(f"{sample.model_dump_json()}\n" for sample in samples)
        _replace(folder / f"{name}.samples.jsonl", lines)
        result = result.model_copy(update={"samples_file": f"{name}.samples.jsonl"})
    _replace(path, result.model_dump_json(indent=2) + "\n")
    return path


def read_result(path: Path) -> Result:
    """Read a result.

    Raises:
        EvaluationError: The file is missing, cut off, of another schema version, or no result.
    """
    text = _text(path)
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise EvaluationError(
            f"{path} is cut off or no JSON (line {error.lineno}): remove it and evaluate again"
        ) from error
    version = values.get("schema_version") if isinstance(values, dict) else None
    if version is None:
        raise EvaluationError(f"{path} is no result of vlft: it has no schema_version")
    if version != SCHEMA_VERSION:
        raise EvaluationError(
            f"{path} has schema version {version}; this vlft reads {SCHEMA_VERSION}: "
            "use the version of vlft that wrote it, or evaluate again"
        )
    return _validated(Result, text, str(path))


def read_samples(path: Path) -> list[Sample]:
    """Read the samples of a result.

    Raises:
        EvaluationError: The file is missing, or a line of it is cut off or no sample.
    """
    return [
        _validated(Sample, line, f"{path}, line {number}")
        # not splitlines(): answers may hold other line separators of Unicode
        for number, line in enumerate(_text(path).removesuffix("\n").split("\n"), start=1)
    ]


AnyRecord = TypeVar("AnyRecord", bound=Record)


def _validated(kind: type[AnyRecord], text: str, where: str) -> AnyRecord:
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "the whole"
        raise EvaluationError(
            f"{where} is no {kind.__name__.lower()} of vlft: {field}: {first['msg']}"
        ) from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(f"{path} cannot be read ({type(error).__name__})") from error


def _replace(path: Path, text: str) -> None:
    """Write a file so that it appears complete or not at all."""
    with tell_full_disk(path.parent, what=path.name):
        replace_text(path, text)
