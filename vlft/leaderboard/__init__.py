"""Everybody's result files as a leaderboard: Markdown, CSV, JSON, and one page of HTML.

    readers    folders to entries: our results, MMEB's reports, lmms-eval's files; published tables
    ranking    entries to tables: what ranks with what, ties, what is out of date
    render_*   tables to text
    site       the whole way

Pure functions but for reading and writing files; nothing here needs torch.
"""

from vlft.leaderboard.entries import Entry, Leaderboard, Number, Row, Skipped, Span, Table
from vlft.leaderboard.site import Site, build, leaderboard

__all__ = [
    "Entry",
    "Leaderboard",
    "Number",
    "Row",
    "Site",
    "Skipped",
    "Span",
    "Table",
    "build",
    "leaderboard",
]
