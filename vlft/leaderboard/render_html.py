"""The leaderboard as one page of HTML that needs nothing else: no network, no server.

Template, style and script lie in ``page/``. Everything from results is escaped by the template, and
the page's own policy lets no other script and no other style run and nothing be loaded.
"""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, TypeGuard
from urllib.parse import quote

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from vlft.leaderboard import text
from vlft.leaderboard.entries import Entry, Leaderboard, Number, Skipped, Table
from vlft.leaderboard.published import STATED
from vlft.leaderboard.ranking import is_generated
from vlft.leaderboard.render_markdown import GENERATED_NOTE

PAGE = Path(__file__).parent / "page"

MOST_GROUPS = 100
"""Groups of an entry that the page shows: ARO's pairs of attributes are thousands."""

TOLD = ("made_by", "benchmark", "metric", "direction")
"""Fields of a key that stand above a table anyway."""

DAY = re.compile(r"\d{4}-\d\d-\d\d")
"""Begins a date of ISO 8601; sources may have others."""

WIDTH, MARGIN = 96, 5
"""Of the picture of an interval, in its own pixels; the margin keeps dots inside."""


def render_html(board: Leaderboard, descriptions: Mapping[str, str]) -> str:
    """Return the page.

    Args:
        board: All tables.
        descriptions: Benchmark to a sentence on what it measures, where there is one.
    """
    style, script = _own("page.css"), _own("page.js")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((PAGE / "page.html").read_text(encoding="utf-8"))
    return template.render(
        view=View(board, descriptions),
        text=text,
        generated_note=GENERATED_NOTE,
        style=Markup(style),
        script=Markup(script),
        style_hash=_digest(style),
        script_hash=_digest(script),
    )


class Benchmark(NamedTuple):
    """The tables of one benchmark.

    Attributes:
        id: Anchor on the page.
        benchmark: Its name.
        description: What it measures; None where that is not known.
        generated: Whether vlft itself draws it.
        tables: Own ones first.
        not_applicable: Models that it cannot be asked of.
    """

    id: str
    benchmark: str
    description: str | None
    generated: bool
    tables: tuple[Table, ...]
    not_applicable: tuple[Entry, ...]


class Plot(NamedTuple):
    """Where the marks of an interval stand, in pixels.

    Attributes:
        value: The number.
        low: Lower end; None without an interval.
        high: Upper end.
        chance: What guessing gives; None where that is not known, or far below.
    """

    value: float
    low: float | None
    high: float | None
    chance: float | None


class View:
    """What the template asks for.

    Args:
        board: All tables.
        descriptions: As for ``render_html``.
    """

    def __init__(self, board: Leaderboard, descriptions: Mapping[str, str]) -> None:
        self._board = board
        self._descriptions = descriptions
        self._scales: dict[int, tuple[float, float]] = {}

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Files that could not be used."""
        return self._board.skipped

    @cached_property
    def sections(self) -> list[Benchmark]:
        """Benchmarks in the order of their tables; those without any follow."""
        tables = {
            name: tuple(group)
            for name, group in groupby(self._board.tables, key=lambda table: table.benchmark)
        }
        lacking: dict[str, list[Entry]] = {}
        for entry in self._board.not_applicable:
            lacking.setdefault(entry.benchmark, []).append(entry)
        names = [*tables, *sorted(name for name in lacking if name not in tables)]
        return [
            Benchmark(
                id=f"b{index}-{re.sub(r'[^A-Za-z0-9]+', '-', name).strip('-')}"[:80],
                benchmark=name,
                description=self._descriptions.get(name.partition(":")[0]),
                generated=is_generated(name),
                tables=tables.get(name, ()),
                not_applicable=tuple(lacking.get(name, ())),
            )
            for index, name in enumerate(names, start=1)
        ]

    @property
    def summary(self) -> str:
        """The size of it all, in words."""
        rows = [row.entry for table in self._board.tables for row in table.rows]
        published = sum(entry.origin == "published" for entry in rows)
        dates = [entry.date for entry in rows if DAY.match(entry.date or "")]
        parts = [
            _many(len(rows) - published, "result"),
            _many(len(self.sections), "benchmark"),
            _many(sum(not table.limited for table in self._board.tables), "ranking"),
            *([_many(published, "published row")] if published else []),
            *([f"newest {max(map(str, dates))[:10]}"] if dates else []),
        ]
        return " · ".join(parts)

    def plot(self, table: Table, number: Number) -> Plot | None:
        """Return the picture of a number on the scale of its table."""
        scale = self._scales.get(id(table))
        if scale is None:
            scale = self._scales[id(table)] = _scale(table)
        low, high = scale

        def place(value: float) -> float:
            share = (value - low) / (high - low) if high > low else 0.5
            return round(MARGIN + share * (WIDTH - 2 * MARGIN), 1)

        span = number.interval
        return Plot(
            value=place(number.value),
            low=None if span is None else place(span.low),
            high=None if span is None else place(span.high),
            chance=place(number.chance) if _within(number.chance, scale) else None,
        )

    @staticmethod
    def protocol(table: Table) -> str:
        """Return the parts of a protocol that say most."""
        stated = [str(table.key[name]) for name in STATED if table.key.get(name)]
        others = [str(one) for name, one in table.key.items() if one and name not in TOLD]
        return " · ".join(stated or others)

    @staticmethod
    def breakable(words: str) -> Markup:
        """Return a name, escaped, that may break behind the marks of a path."""
        return Markup("<wbr>").join(re.split(r"(?<=[/_])", words))

    @staticmethod
    def recorded(entry: Entry) -> list[tuple[str, str]]:
        """Return the recorded facts that have no place of their own."""
        own = ("trained_parameters", "visual_tokens_per_image")
        return text.facts({name: one for name, one in entry.recorded.items() if name not in own})

    @staticmethod
    def href(path: str) -> str:
        """Return a relative path as a link."""
        return quote(path)

    @staticmethod
    def searched(entry: Entry) -> str:
        """Return the words that the filter looks through."""
        words = (entry.model.name, entry.model.weights or "", text.adapter(entry), entry.source)
        return " ".join((*words, entry.benchmark, entry.main.name, entry.status))

    @staticmethod
    def largest_groups(entry: Entry) -> dict[str, tuple[Number, ...]]:
        """Return the groups of an entry; where there are very many, those with most samples."""
        sizes = {name: one[0].n or 0 if one else 0 for name, one in entry.groups.items()}
        kept = set(sorted(sizes, key=lambda name: -sizes[name])[:MOST_GROUPS])
        return {name: one for name, one in entry.groups.items() if name in kept}

    @staticmethod
    def group_metrics(entry: Entry) -> list[str]:
        """Return the names of all metrics of an entry's groups."""
        numbers = (number for group in entry.groups.values() for number in group)
        return list(dict.fromkeys(number.name for number in numbers))

    @staticmethod
    def in_order(numbers: Sequence[Number], names: Sequence[str]) -> list[Number | None]:
        """Return the numbers of a group by name; None where one is missing."""
        by_name = {number.name: number for number in numbers}
        return [by_name.get(name) for name in names]


def _scale(table: Table) -> tuple[float, float]:
    """Return the ends of the scale of a table's rows; chance may lie outside."""
    values = []
    for row in table.rows:
        number = row.entry.main
        values.append(number.value)
        values += [] if number.interval is None else [number.interval.low, number.interval.high]
    return min(values), max(values)


def _within(value: float | None, scale: tuple[float, float]) -> TypeGuard[float]:
    return value is not None and scale[0] <= value <= scale[1]


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _own(name: str) -> str:
    return (PAGE / name).read_text(encoding="utf-8")


def _digest(content: str) -> str:
    """Return a hash as a content security policy names it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"
