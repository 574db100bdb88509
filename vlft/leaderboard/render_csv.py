"""Every entry as a line of CSV, with all digits."""

import csv
import io
import json
from collections.abc import Iterator

from vlft.leaderboard.entries import Entry, Leaderboard

COLUMNS = (
    "benchmark",
    "metric",
    "direction",
    "status",
    "rank",
    "model",
    "weights",
    "value",
    "low",
    "high",
    "interval",
    "level",
    "n",
    "chance",
    "trained_parameters",
    "visual_tokens_per_image",
    "date",
    "seconds",
    "adapter",
    "source",
    "url",
    "samples",
    "file",
    "reason",
    "protocol",
)

FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins so is run by spreadsheets; results may come from anybody."""


def render_csv(board: Leaderboard) -> str:
    """Return all entries; ``status`` says which of them rank.

    ``ranked``, ``limited``, ``unranked`` (the direction of the metric is unknown), ``superseded``
    or ``not_applicable``. ``protocol`` is the whole key as JSON: lines with equal ones rank
    together. Texts that a spreadsheet would take for a formula begin with an apostrophe.
    """
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for status, rank, entry in _lines(board):
        writer.writerow({"status": status, "rank": _exact(rank), **_cells(entry)})
    return buffer.getvalue()


def _lines(board: Leaderboard) -> Iterator[tuple[str, int | None, Entry]]:
    for table in board.tables:
        for row in table.rows:
            unranked = "limited" if row.entry.status == "limited" else "unranked"
            yield ("ranked" if row.rank is not None else unranked), row.rank, row.entry
        for entry in table.superseded:
            yield "superseded", None, entry
    for entry in board.not_applicable:
        yield "not_applicable", None, entry


def _cells(entry: Entry) -> dict[str, str]:
    main = entry.numbers[0] if entry.numbers else None
    span = None if main is None else main.interval
    adapter = entry.model.adapter
    return {
        "benchmark": _safe(entry.benchmark),
        "metric": "" if main is None else _safe(main.name),
        "direction": "" if main is None else main.direction or "",
        "model": _safe(entry.model.name),
        "weights": entry.model.weights or "",
        "value": "" if main is None else _exact(main.value),
        "low": "" if span is None else _exact(span.low),
        "high": "" if span is None else _exact(span.high),
        "interval": "" if span is None else _safe(span.method),
        "level": "" if span is None else _exact(span.level),
        "n": "" if main is None else _exact(main.n),
        "chance": "" if main is None else _exact(main.chance),
        "trained_parameters": _exact(entry.trained_parameters),
        "visual_tokens_per_image": _exact(entry.visual_tokens_per_image),
        "date": _safe(entry.date or ""),
        "seconds": _exact(entry.seconds),
        "adapter": "" if adapter is None else json.dumps(adapter, sort_keys=True),
        "source": _safe(entry.source),
        "url": _safe(entry.url or ""),
        "samples": _safe(entry.samples or ""),
        "file": _safe(entry.file),
        "reason": _safe(entry.reason or ""),
        "protocol": json.dumps(entry.key, sort_keys=True),
    }


def _exact(number: int | float | None) -> str:
    return "" if number is None else repr(number)


def _safe(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULAS) else text
