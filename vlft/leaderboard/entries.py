"""The records of a leaderboard: entries from whatever source, and the tables that they stand in."""

from math import isfinite
from typing import Literal

from pydantic import Field, JsonValue

from vlft.results import Metric, ModelIdentity, Real, Record

Origin = Literal["vlft", "mmeb_report", "lmms_eval", "published"]
"""Where a number comes from: a result file of ours, a report for MMEB's public leaderboard, a
result file of lmms-eval, or a published table."""

Status = Literal["full", "limited", "not_applicable"]


class Span(Record):
    """A confidence interval, or what comes nearest to one."""

    method: str
    """Such as ``wilson``, ``bootstrap`` or ``standard error``."""
    level: float = Field(gt=0, lt=1)
    """Coverage, such as 0.95."""
    low: Real
    """Lower end."""
    high: Real
    """Upper end."""


class Number(Record):
    """One number; unlike a metric of ours it may lack its size and its direction."""

    name: str
    """Name of the metric."""
    value: Real
    """In the unit of its source; shares lie in 0..1."""
    direction: Literal["higher", "lower"] | None = "higher"
    """Which way is better; null where the source does not say."""
    n: int | None = Field(None, ge=0)
    """Samples behind it."""
    interval: Span | None = None
    """Null where none is known."""
    chance: Real | None = None
    """What guessing gives; null where that is not known."""


class Entry(Record):
    """One model on one benchmark under one protocol."""

    origin: Origin
    status: Status = "full"
    """Only ``full`` ranks."""
    key: dict[str, str | int | None]
    """What must be equal before two entries may be ranked together, beside the status."""
    numbers: tuple[Number, ...]
    """The main one first; none where the benchmark is not applicable."""
    groups: dict[str, tuple[Number, ...]] = Field(default_factory=dict)
    """Numbers of parts of the data."""
    model: ModelIdentity
    recorded: dict[str, JsonValue] = Field(default_factory=dict)
    """Facts that are shown and not ranked by."""
    date: str | None = None
    """Start of the measurement, ISO 8601."""
    seconds: float | None = Field(None, ge=0, allow_inf_nan=False)
    """Wall time; summed over processes where there were several."""
    source: str
    """Where the number comes from, in words."""
    url: str | None = None
    """Page of the source."""
    file: str
    """File that it was read from."""
    samples: str | None = None
    """File with every answer: while reading where it lies, in a table the link from the page."""
    reason: str | None = None
    """Why it is not applicable, or limited."""
    notes: tuple[str, ...] = ()
    """What a reader of the numbers should know."""

    @property
    def benchmark(self) -> str:
        """Name of the benchmark."""
        return str(self.key["benchmark"])

    @property
    def main(self) -> Number:
        """The number that tables show and rank by."""
        return self.numbers[0]

    @property
    def trained_parameters(self) -> int | float | None:
        """Parameters that were trained, where that is on record."""
        return _number(self.recorded.get("trained_parameters"))

    @property
    def visual_tokens_per_image(self) -> int | float | None:
        """Mean number of tokens that an image takes, where that is on record."""
        return _number(self.recorded.get("visual_tokens_per_image"))


class Row(Record):
    """An entry in its table."""

    rank: int | None
    """From 1; equal values share one, and the next one counts them all. Null: it does not rank."""
    tied: bool = False
    """Whether another row has the same rank."""
    near_leader: bool = False
    """Whether its interval overlaps that of a row of rank 1, which it is not itself."""
    entry: Entry


class Table(Record):
    """Entries that may be ranked together."""

    origin: Origin
    key: dict[str, str | int | None]
    """What all its entries have in common."""
    limited: bool = False
    """Whether they are limited; then none of them ranks."""
    differs: tuple[str, ...] = ()
    """Fields of the key in which it differs from other tables of its benchmark, origin and
    coverage."""
    note: str | None = None
    """What must be known before it is compared with anything."""
    rows: tuple[Row, ...]
    """Ranked ones first, by rank."""
    superseded: tuple[Entry, ...] = ()
    """Older results of models that have a newer one in ``rows``."""

    @property
    def benchmark(self) -> str:
        """Name of the benchmark."""
        return str(self.key["benchmark"])

    @property
    def metric(self) -> str:
        """Name of the metric that it ranks by."""
        return str(self.key["metric"])


class Skipped(Record):
    """A file that is not on the leaderboard."""

    file: str
    reason: str
    damaged: bool
    """Whether it seems to hold a result that cannot be used; else it is some other file."""


class Leaderboard(Record):
    """All tables."""

    schema_version: Literal[1] = 1
    """Raised with every change of these records that an older reader would misunderstand."""
    tables: tuple[Table, ...]
    not_applicable: tuple[Entry, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    """Files that seem to hold results and cannot be used."""


def number_of(metric: Metric) -> Number:
    """Return a metric of ours as a number of a leaderboard."""
    return Number.model_validate(metric.model_dump())


def _number(value: object) -> int | float | None:
    """Return a finite number as it is, and None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if isinstance(value, int) or isfinite(value) else None
