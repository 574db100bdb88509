"""How numbers and facts read; the same in Markdown and on the page."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from vlft.leaderboard.entries import Entry, Number, Row, Table

NOTHING = "\N{EN DASH}"

LABELS = {
    "made_by": "measured by",
    "benchmark": "benchmark",
    "benchmark_version": "benchmark version",
    "dataset_revision": "data revision",
    "prompt_format": "prompt format",
    "extraction": "extraction",
    "decoding": "decoding",
    "tie_rule": "tie rule",
    "metric": "metric",
    "direction": "direction",
    "source": "source",
}
"""Fields of a key, in words."""

ORIGINS = {
    "vlft": "measured by vlft",
    "mmeb_report": "MMEB reports",
    "lmms_eval": "lmms-eval",
    "published": "published",
}
"""Origins in words."""

METHODS = {"LORA": "LoRA", "LOHA": "LoHa", "LOKR": "LoKr"}
"""Names of PEFT's methods as their papers spell them, where capitals are not it."""


def label(field: str) -> str:
    """Return a field of a key in words."""
    return LABELS.get(field, field.replace("_", " "))


def value(number: int | float | None) -> str:
    """Return a number with four decimals, or with fewer where it is large."""
    if number is None:
        return NOTHING
    size = abs(number)
    if size < 10:
        return f"{number:.4f}"
    return f"{number:.2f}" if size < 1000 else f"{number:,.1f}"


def interval(number: Number) -> str:
    """Return both ends of an interval."""
    span = number.interval
    return NOTHING if span is None else f"{value(span.low)} \N{EN DASH} {value(span.high)}"


def count(number: int | float | None) -> str:
    """Return a count with thousands set off."""
    if number is None:
        return NOTHING
    return f"{number:,.0f}" if float(number).is_integer() else f"{number:,.1f}"


def magnitude(number: int | float | None) -> str:
    """Return a number of parameters in the unit that reads best."""
    if number is None:
        return NOTHING
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {unit}" if number < 1000 * size else count(number)
    return count(number)


def seconds(number: int | float | None) -> str:
    """Return a time in seconds."""
    if number is None:
        return NOTHING
    return f"{number:.1f}" if number < 10 else f"{number:,.0f}"


def date(entry: Entry) -> str:
    """Return the day of a measurement."""
    return NOTHING if entry.date is None else entry.date[:10]


def moment(entry: Entry) -> str:
    """Return the minute of a measurement, where it is known."""
    if entry.date is None:
        return NOTHING
    if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d.*", entry.date) is None:
        return entry.date
    zone = " UTC" if entry.date.endswith(("+00:00", "Z")) else ""
    return f"{entry.date[:10]} {entry.date[11:16]}{zone}"


def adapter(entry: Entry) -> str:
    """Return the adapter's method and rank."""
    settings = entry.model.adapter
    if settings is None:
        return "none" if entry.origin == "vlft" and entry.model.weights else NOTHING
    name = str(settings.get("peft_type") or settings.get("type") or "adapter")
    start = settings.get("init_lora_weights")
    variants = {"DoRA": settings.get("use_dora"), "rsLoRA": settings.get("use_rslora")}
    variants |= {"PiSSA": isinstance(start, str) and start.startswith("pissa")}
    chosen = [variant for variant, used in variants.items() if used is True]
    rank = settings.get("r")
    words = [*(chosen or [METHODS.get(name, name)]), *([f"r={rank}"] if rank is not None else [])]
    return " ".join(words)


def rank(row: Row) -> str:
    """Return a rank; one that is shared ends with an equals sign."""
    if row.rank is None:
        return NOTHING
    return f"{row.rank}=" if row.tied else str(row.rank)


def same_named(table: Table) -> frozenset[str]:
    """Return the names that several rows of a table have."""
    names = Counter(row.entry.model.name for row in table.rows)
    return frozenset(name for name, times in names.items() if times > 1)


def checksum(entry: Entry) -> str:
    """Return the first digits of the weights' checksum; nothing where there is none."""
    return (entry.model.weights or "")[:8]


def arrow(direction: str | None) -> str:
    """Say which way is better."""
    words = {"higher": "higher is better", "lower": "lower is better"}
    return words.get(direction or "", "direction unknown")


def facts(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return a mapping as pairs of text, nested ones as JSON."""
    return [(name.replace("_", " "), plain(one)) for name, one in values.items()]


def plain(one: Any) -> str:
    """Return a JSON value as text."""
    if one is None:
        return NOTHING
    if isinstance(one, bool):
        return "yes" if one else "no"
    if isinstance(one, int | float):
        return f"{one:,}" if isinstance(one, int) else str(one)
    if isinstance(one, dict):
        return ", ".join(f"{key} {plain(two)}" for key, two in one.items()) or NOTHING
    return one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)


def shown_columns(rows: Sequence[Row]) -> frozenset[str]:
    """Return the optional columns that have something to show in a table."""
    entries = [row.entry for row in rows]
    present = {
        "interval": any(entry.main.interval for entry in entries),
        "n": any(entry.main.n is not None for entry in entries),
        "trained_parameters": any(entry.trained_parameters is not None for entry in entries),
        "visual_tokens_per_image": any(
            entry.visual_tokens_per_image is not None for entry in entries
        ),
        "date": any(entry.date for entry in entries),
        "seconds": any(entry.seconds is not None for entry in entries),
        "adapter": any(adapter(entry) != NOTHING for entry in entries),
        "samples": any(entry.samples for entry in entries),
    }
    return frozenset(name for name, shown in present.items() if shown)
