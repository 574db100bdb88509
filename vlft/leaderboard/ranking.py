"""From entries to tables: what ranks with what, in which order, and what is out of date.

Two entries share a table when every field of their keys is equal, the coverage too: results on a
part of the data, or on data of another size, have a table of their own, and nothing in it ranks.
Within a table

- the best value has rank 1. Values that are equal to the last bit share a rank, and the next rank
  counts them all: 1, 2, 2, 4
- nothing has a rank where the metric has no known direction
- of several results of one model the newest counts, and the older ones are listed beside it. One
  model is: equal checksum of the weights, equal adapter settings, equal settings of its input. A
  result without a checksum replaces nothing, unless it is the very same result in two files
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from vlft.leaderboard.entries import Entry, Origin, Row, Span, Table

SETTINGS = ("resolution", "chat_template", "visual_tokens_per_image")
"""Recorded facts in which one model can be measured in several ways on purpose."""

ORIGINS: tuple[Origin, ...] = ("vlft", "mmeb_report", "lmms_eval", "published")
"""Order of the tables of a benchmark."""

LIMITED = "each was measured on a part of the data, or on data of another size"

GENERATED = "scenes/"
"""Benchmarks on the generated world; they come last, and are marked."""


def tables_of(entries: Iterable[Entry]) -> tuple[Table, ...]:
    """Return all tables, by benchmark and origin, larger ones first; the generated world last.

    Args:
        entries: Without those that are not applicable.
    """
    together: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        together[_text([entry.key, entry.status])].append(entry)
    tables = [_table(group) for group in together.values()]
    tables.sort(key=_place)
    return tuple(_compared(table, tables) for table in tables)


def is_generated(benchmark: str) -> bool:
    """Whether a benchmark is drawn by vlft itself."""
    return benchmark.startswith(GENERATED)


def ranked(entries: Sequence[Entry]) -> tuple[Row, ...]:
    """Return entries of one table in their order, with ranks.

    Args:
        entries: With equal keys and equal status.
    """
    first = entries[0]
    sign = 1 if first.main.direction == "lower" else -1
    ordered = sorted(
        entries, key=lambda entry: (sign * entry.main.value, entry.model.name, entry.file)
    )
    if first.status != "full" or first.main.direction is None:
        return tuple(Row(rank=None, entry=entry) for entry in ordered)
    ranks = _ranks([entry.main.value for entry in ordered])
    sharing = Counter(ranks)
    leaders = ordered[: sharing[1]]
    rows = []
    for entry, rank in zip(ordered, ranks, strict=True):
        rows.append(
            Row(
                rank=rank,
                tied=sharing[rank] > 1,
                near_leader=rank > 1
                and any(_overlap(entry.main.interval, one.main.interval) for one in leaders),
                entry=entry,
            )
        )
    return tuple(rows)


def newest(entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """Return the entries that count, and those that a newer one of the same model replaces."""
    same: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        same[_identity(entry)].append(entry)
    kept, old = [], []
    for group in same.values():
        first, *rest = sorted(group, key=_age)
        kept.append(first)
        old += rest
    return kept, sorted(old, key=lambda entry: (entry.model.name, _age(entry)))


def _table(entries: Sequence[Entry]) -> Table:
    kept, old = newest(entries)
    first = entries[0]
    limited = first.status == "limited"
    note = None
    if limited:
        note = f"no ranks: {LIMITED}"
    elif first.main.direction is None:
        note = "no ranks: the source does not say which direction is better"
    return Table(
        origin=first.origin,
        key=first.key,
        limited=limited,
        note=note,
        rows=ranked(kept),
        superseded=tuple(old),
    )


def _ranks(values: Sequence[float]) -> list[int]:
    """Return ranks of sorted values; equal ones share the first of theirs."""
    ranks: list[int] = []
    for index, value in enumerate(values):
        ranks.append(ranks[-1] if index and value == values[index - 1] else index + 1)
    return ranks


def _overlap(one: Span | None, other: Span | None) -> bool:
    return one is not None and other is not None and one.low <= other.high and other.low <= one.high


def _identity(entry: Entry) -> str:
    """Return what two results of one model under one protocol have in common."""
    model = entry.model
    if model.weights is None:
        return _text(entry.model_dump(mode="json", exclude={"file", "samples"}))
    settings = [entry.recorded.get(name) for name in SETTINGS]
    size = (
        entry.main.n if entry.status == "limited" else None
    )  # of two parts none replaces the other
    return _text([model.weights, model.adapter, settings, size])


def _age(entry: Entry) -> tuple[float, str]:
    """Sort the newest first; dates that cannot be read are older than all others."""
    try:
        date = datetime.fromisoformat(entry.date or "")
    except ValueError:
        return (float("inf"), entry.file)
    return (-(date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp(), entry.file)


def _place(table: Table) -> tuple[bool, bool, str, int, bool, int, str]:
    return (
        is_generated(table.benchmark),
        table.origin == "lmms_eval",
        table.benchmark,
        ORIGINS.index(table.origin),
        table.limited,
        -len(table.rows),
        _text(table.key),
    )


def _compared(table: Table, tables: Sequence[Table]) -> Table:
    """Say in which fields a table differs from others of its benchmark, origin and coverage."""
    kind = (table.benchmark, table.origin, table.limited)
    others = [
        other.key for other in tables if (other.benchmark, other.origin, other.limited) == kind
    ]
    differs = tuple(
        name
        for name, value in table.key.items()
        if any(other.get(name) != value for other in others)
    )
    return table.model_copy(update={"differs": differs})


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=str)
