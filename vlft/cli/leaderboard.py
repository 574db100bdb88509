"""``vlft leaderboard``: everybody's results as Markdown, CSV, JSON and one page of HTML."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from vlft.errors import UnknownNameError, unknown

LISTED = 3  # files that a line names


def run(
    places: Sequence[str],
    *,
    out: str = "site",
    published: str = "matching",
    references: str | None = None,
    samples: str = "copy",
) -> None:
    """Write a leaderboard, and tell on stderr what is left out.

    Files that cannot be used are told one by one, and last; files that are no results together.

    Args:
        places: Folders that are searched for results, or single files.
        out: Folder to write.
        published: Published tables to show: of benchmarks that something was measured on
            (``matching``), ``all``, or ``none``.
        references: Folder of published tables; None: those that come with vlft.
        samples: ``copy`` sample files beside the page, ``link`` to where they are, or ``none``.

    Raises:
        UnknownNameError: An option has no such value.
        EvaluationError: A place is not there, or holds no result that can be used.
        RunDirectoryError: The folder cannot be written to, or the disk is full.
    """
    from vlft.leaderboard.samples import How
    from vlft.leaderboard.site import Published, build

    for option, value, kind in (
        ("--published", published, Published),
        ("--samples", samples, How),
    ):
        if value not in get_args(kind):
            raise UnknownNameError(unknown(f"value of {option}", value, get_args(kind)))
    site = build(
        [Path(place) for place in places],
        Path(out),
        published=published,  # pyrefly: ignore[bad-argument-type]  checked above
        references=None if references is None else Path(references),
        samples=samples,  # pyrefly: ignore[bad-argument-type]  checked above
    )
    others: dict[str, list[str]] = {}
    for one in site.skipped:
        if not one.damaged:
            others.setdefault(one.reason, []).append(one.file)
    for reason, files in others.items():
        more = f" and {len(files) - LISTED} more" if len(files) > LISTED else ""
        sys.stderr.write(f"left out: {', '.join(files[:LISTED])}{more}: {reason}\n")
    for one in site.skipped:
        if one.damaged:
            sys.stderr.write(f"cannot be used: {one.file}: {one.reason}\n")
    tables = site.leaderboard.tables
    rows = sum(len(table.rows) for table in tables)
    print(f"rows: {rows}, tables: {len(tables)}, files left out: {len(site.skipped)}")
    print("\n".join(f"written: {path}" for path in site.files))
