"""The leaderboard as Markdown, for a README or a forum."""

import html
import re
from collections.abc import Callable, Iterator
from itertools import groupby
from urllib.parse import quote

from vlft.leaderboard import text
from vlft.leaderboard.entries import Entry, Leaderboard, Row, Table
from vlft.leaderboard.ranking import is_generated

SPECIAL = re.compile(r"([\\`*\[\]|~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")
"""What Markdown gives a meaning within a line, on GitHub too; not an underscore inside a word."""

GENERATED_NOTE = (
    "Drawn by vlft itself: these numbers say that training works, and nothing about real images."
)


def render_markdown(board: Leaderboard) -> str:
    """Return a heading per benchmark and a table per ranking key."""
    parts = [
        "# Leaderboard",
        "Only rows of one table are ranked together: they share every field of the protocol. "
        "Equal values share a rank. ≈ marks an interval that overlaps the leader's.",
    ]
    for benchmark, tables in groupby(board.tables, key=lambda table: table.benchmark):
        parts.append(f"## {escape(benchmark)}")
        if is_generated(benchmark):
            parts.append(GENERATED_NOTE)
        for table in tables:
            parts += _table(table)
    if board.not_applicable:
        parts.append("## Not applicable")
        parts.append("\n".join(_not_applicable(entry) for entry in board.not_applicable))
    if board.skipped:
        parts.append("## Files that could not be used")
        parts.append(
            "\n".join(f"- {escape(one.file)}: {escape(one.reason)}" for one in board.skipped)
        )
    return "\n\n".join(parts) + "\n"


def escape(words: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    one_line = " ".join(words.split())
    return SPECIAL.sub(r"\\\1", html.escape(one_line, quote=False))


def link(words: str, target: str) -> str:
    """Return a link to a file beside the page."""
    return f"[{escape(words)}]({quote(target)})"


def _table(table: Table) -> Iterator[str]:
    heading = f"{table.metric}, {text.arrow(str(table.key['direction']))}"
    limited = ", limited" if table.limited else ""
    yield f"### {escape(heading)} ({escape(text.ORIGINS[table.origin])}{limited})"
    hidden = ("benchmark", "metric", "direction", "made_by")
    protocol = [
        f"{escape(text.label(name))} {'**' if name in table.differs else ''}"
        f"{escape(text.plain(value))}{'**' if name in table.differs else ''}"
        for name, value in table.key.items()
        if name not in hidden
    ]
    yield "Protocol: " + "; ".join(protocol) + "."
    if table.differs:
        names = ", ".join(text.label(name) for name in table.differs)
        yield f"Not ranked with the other tables of this benchmark: it differs in {escape(names)}."
    if table.note:
        yield f"{escape(table.note[0].upper() + table.note[1:])}."
    present = text.shown_columns(table.rows)
    twice = text.same_named(table)
    columns = [
        (name, right, cell) for key, name, right, cell in COLUMNS if key is None or key in present
    ]
    lines = [
        "| " + " | ".join(name for name, _, _ in columns) + " |",
        "|" + "|".join("--:" if right else "---" for _, right, _ in columns) + "|",
    ]
    for row in table.rows:
        cells = [cell(row) for _, _, cell in columns]
        if row.entry.model.name in twice and text.checksum(row.entry):
            cells[1] += f" ({text.checksum(row.entry)})"
        lines.append("| " + " | ".join(cells) + " |")
    yield "\n".join(lines)
    if table.superseded:
        old = (
            f"- {escape(entry.model.name)}: {text.value(entry.main.value)} "
            f"({escape(text.date(entry))}, {escape(entry.file)})"
            for entry in table.superseded
        )
        yield "Superseded by a newer result of the same model:\n\n" + "\n".join(old)


def _model(row: Row) -> str:
    entry = row.entry
    reason = f" *limited: {escape(entry.reason or '')}*" if entry.status == "limited" else ""
    return escape(entry.model.name) + reason


def _interval(row: Row) -> str:
    return text.interval(row.entry.main) + (" ≈" if row.near_leader else "")


def _source(row: Row) -> str:
    entry = row.entry
    return escape(entry.source)


def _samples(row: Row) -> str:
    samples = row.entry.samples
    return text.NOTHING if samples is None else link("samples", samples)


def _not_applicable(entry: Entry) -> str:
    return f"- {escape(entry.benchmark)}, {escape(entry.model.name)}: {escape(entry.reason or '')}"


COLUMNS: tuple[tuple[str | None, str, bool, Callable[[Row], str]], ...] = (
    (None, "rank", True, text.rank),
    (None, "model", False, _model),
    (None, "value", True, lambda row: text.value(row.entry.main.value)),
    ("interval", "95 % interval", False, _interval),
    ("n", "n", True, lambda row: text.count(row.entry.main.n)),
    (
        "trained_parameters",
        "trained parameters",
        True,
        lambda row: text.magnitude(row.entry.trained_parameters),
    ),
    (
        "visual_tokens_per_image",
        "visual tokens per image",
        True,
        lambda row: text.count(row.entry.visual_tokens_per_image),
    ),
    ("date", "date", False, lambda row: escape(text.date(row.entry))),
    ("seconds", "seconds", True, lambda row: text.seconds(row.entry.seconds)),
    ("adapter", "adapter", False, lambda row: escape(text.adapter(row.entry))),
    (None, "source", False, _source),
    ("samples", "samples", False, _samples),
)
"""Optional key, heading, whether to the right, and the cell of a row."""
