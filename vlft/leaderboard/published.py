"""Entries from published tables: ``eval/references/*.yaml``, or files of the same form.

    benchmark: mmeb/image
    metric: hit@1
    source: "VLM2Vec, arXiv 2410.05160, table 2"
    url: https://arxiv.org/abs/2410.05160          # optional
    protocol: {prompt_format: ..., extraction: ..., decoding: ..., tie_rule: ...}
    rows:
      - {model: "CLIP", value: 0.378, n: 36000, groups: {CLS: 0.428}}

A published table ranks alone: what its source says of the protocol is words, and words of two
sources mean the same only by luck.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from vlft.errors import EvaluationError, unknown
from vlft.leaderboard.entries import Entry, Number, Table
from vlft.recipe.origins import plain
from vlft.recipe.section import Section
from vlft.recipe.yaml_file import read_yaml
from vlft.results import ModelIdentity, Real

STATED = ("prompt_format", "extraction", "decoding", "tie_rule")
"""What a source may state of its protocol and our ranking keys hold as well."""


class PublishedRow(Section):
    """One model of a published table."""

    model: str
    """As the source calls it."""
    value: Real
    """A share in 0..1 wherever our own metric is one."""
    metric: str | None = None
    """Null: the metric of the table."""
    n: int | None = Field(None, ge=0)
    """Samples behind the number."""
    groups: dict[str, Real] = Field(default_factory=dict)
    """Numbers of parts of the data."""
    trained_parameters: int | None = None
    """As the source says."""
    visual_tokens_per_image: float | None = None
    """As the source says."""
    date: str | None = None
    """When it was published."""
    note: str | None = None
    """What a reader should know."""


class PublishedTable(Section):
    """A published table."""

    benchmark: str
    """Name in ``eval/``."""
    metric: str
    """Name of our metric that comes nearest."""
    direction: Literal["higher", "lower"] = "higher"
    """Which way is better."""
    source: str
    """Paper and table, or file."""
    url: str | None = None
    """Where to find it."""
    protocol: dict[str, str | int | float | bool | None]
    """What the source says of how the numbers were made."""
    note: str | None = None
    """What a reader of the whole table should know."""
    rows: tuple[PublishedRow, ...] = Field(min_length=1)
    """Its models."""


def published_in(path: Path, shown: str) -> list[Entry]:
    """Read one file.

    Args:
        path: The file.
        shown: What the leaderboard calls it.

    Raises:
        RecipeError: It is no YAML.
        EvaluationError: It is no published table.
    """
    values = plain(read_yaml(path, shown=shown))
    try:
        table = PublishedTable.model_validate(values)
    except ValidationError as error:
        # a misspelled key is also a missing one: the first says more
        found = error.errors(include_url=False)
        first = min(found, key=lambda details: details["type"] != "extra_forbidden")
        name = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            kind = PublishedRow if first["loc"][0] == "rows" else PublishedTable
            fields = unknown("field", str(first["loc"][-1]), kind.model_fields)
            raise EvaluationError(f"{shown}: {name}: {fields}") from None
        raise EvaluationError(f"{shown} is no published table: {name}: {first['msg']}") from None
    return [_entry(table, row, shown) for row in table.rows]


def references_in(folder: Path) -> list[Entry]:
    """Read all files of a folder, in the order of their names.

    Raises:
        RecipeError: One of them is no YAML.
        EvaluationError: One of them is no published table, or there is none.
    """
    paths = sorted(folder.rglob("*.yaml"))
    if not paths:
        raise EvaluationError(f"{folder}: no published table (*.yaml) is there: name their folder")
    return [entry for path in paths for entry in published_in(path, f"references/{path.name}")]


def beside(published: Iterable[Entry], measured: Sequence[Entry]) -> list[Entry]:
    """Return the published entries of benchmarks that something was measured on."""
    names = {entry.benchmark.partition(":")[0] for entry in measured}
    return [entry for entry in published if entry.benchmark in names]


def noted(tables: Sequence[Table]) -> tuple[Table, ...]:
    """Say of published tables whether they state what a table of ours is keyed by."""
    ours = [table for table in tables if table.origin == "vlft"]
    return tuple(_noted(table, ours) for table in tables)


def _noted(table: Table, ours: Sequence[Table]) -> Table:
    if table.origin != "published":
        return table

    def same(other: Table) -> bool:
        fields = ("benchmark", "metric", "direction", *STATED)
        return all(other.key.get(name) == table.key.get(name) for name in fields)

    note = "published numbers: not measured by vlft, and ranked among themselves"
    if any(same(other) for other in ours):
        note += "; their source states the prompt format, extraction and decoding of a table here"
    return table.model_copy(update={"note": note})


def _entry(table: PublishedTable, row: PublishedRow, shown: str) -> Entry:
    metric = row.metric or table.metric
    stated: dict[str, str | int | None] = {
        name: value if value is None or isinstance(value, str) else str(value)
        for name, value in table.protocol.items()
    }
    facts = row.model_dump(include={"trained_parameters", "visual_tokens_per_image"})
    number = Number(name=metric, value=row.value, direction=table.direction, n=row.n)
    return Entry(
        origin="published",
        key={
            "made_by": "published",
            "benchmark": table.benchmark,
            **stated,
            "metric": metric,
            "direction": table.direction,
            "source": table.source,
        },
        numbers=(number,),
        groups={
            name: (Number(name=metric, value=value, direction=table.direction),)
            for name, value in row.groups.items()
        },
        model=ModelIdentity(name=row.model),
        recorded={name: value for name, value in facts.items() if value is not None},
        date=row.date,
        source=table.source,
        url=table.url,
        file=shown,
        notes=tuple(note for note in (table.note, row.note) if note is not None),
    )
