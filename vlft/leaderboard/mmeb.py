"""Entries from reports of MMEB's public leaderboard: the 36 image data sets.

What a report says of its protocol is nothing but that the official programs wrote it, so reports
rank among themselves. One that lacks a data set, or measured a part of one, does not rank.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from vlft.errors import EvaluationError
from vlft.leaderboard.entries import Entry, number_of
from vlft.recipe.extends import read_layers
from vlft.recipe.origins import plain
from vlft.recipe.shipped import find_shipped
from vlft.results import ModelIdentity
from vlft.results.mmeb_averages import Standing, standings_of
from vlft.results.mmeb_report import QUERIES, MmebReport, numbers_of, read_report

BENCHMARK = "mmeb/image"

FACTS = ("model_backbone", "model_size", "embedding_dimension", "max_length_tokens")
"""Metadata that say something of the model; all of them may be missing."""

LISTED = 3  # data sets that a reason names


def is_report(values: Any) -> bool:
    """Whether a JSON file is such a report."""
    return read_report(values) is not None


def entry_of(values: Any, path: Path, shown: str) -> Entry:
    """Return a report's entry.

    Args:
        values: The file's content.
        path: The file; its name stands for the model where the report names none.
        shown: What the leaderboard calls it.

    Raises:
        EvaluationError: The report has no image data set, or a number that is no share.
    """
    report = read_report(values)
    assert report is not None
    try:
        numbers = numbers_of(report, _standings())
    except EvaluationError as error:
        raise EvaluationError(f"{shown}: {error}") from None
    metrics = tuple(number_of(metric) for metric in numbers.metrics)
    reason = _reason(numbers.missing, numbers.resized)
    metadata = report.metadata
    source = metadata.get("data_source") or metadata.get("score_source")
    url = metadata.get("url")
    return Entry(
        origin="mmeb_report",
        status="full" if reason is None else "limited",
        key={
            "made_by": "MMEB report",
            "benchmark": BENCHMARK,
            "data_sets": f"the {len(_standings())} image data sets",
            "metric": metrics[0].name,
            "direction": metrics[0].direction,
        },
        numbers=metrics,
        groups={
            name: tuple(number_of(metric) for metric in group)
            for name, group in numbers.groups.items()
        },
        model=ModelIdentity(name=report.model or path.stem),
        recorded={name: metadata[name] for name in FACTS if metadata.get(name) is not None},
        date=_text(metadata.get("report_generated_date")),
        source="MMEB report" + (f" ({source})" if isinstance(source, str) else ""),
        url=_text(url),
        file=shown,
        reason=reason,
        notes=_others(report),
    )


def _reason(missing: tuple[str, ...], resized: tuple[str, ...]) -> str | None:
    """Say why a report does not rank; None: it does."""
    if missing:
        return f"the report has no numbers of {_some(missing)}"
    if resized:
        return f"other than {QUERIES:,} queries of {_some(resized)}"
    return None


def _some(names: tuple[str, ...]) -> str:
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")


def _others(report: MmebReport) -> tuple[str, ...]:
    """Say what else a report holds."""
    names = [name for name, sets in report.metrics.items() if name != "image" and sets]
    return (f"The report also has {' and '.join(names)} data sets.",) if names else ()


@cache
def _standings() -> Mapping[str, Standing]:
    settings = plain(read_layers(find_shipped("eval", BENCHMARK)))["settings"]
    return standings_of(settings)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None
