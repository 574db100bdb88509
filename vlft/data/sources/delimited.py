"""CSV and TSV with a header, as the csv module reads them: quotes may hold separators and breaks.

Files are indexed by byte offset like the others; a row may span several lines.
"""

import csv
import io
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from vlft.data.sources.offsets import Offsets
from vlft.data.sources.source import Row
from vlft.errors import DataError, RecordError

DIALECTS = {".csv": ("excel", "comma"), ".tsv": ("excel-tab", "tab")}
"""By the file's ending: dialect of the csv module, and the separator's name."""


class DelimitedSource:
    """Rows of a CSV or TSV file; every value is text.

    Args:
        offsets: Where the rows are.
        columns: The header.
    """

    def __init__(self, offsets: Offsets, columns: tuple[str, ...]) -> None:
        self.name = str(offsets.path)
        self.columns: tuple[str, ...] | None = columns
        self._header = columns
        self._offsets = offsets

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, index: int) -> Row:
        """Parse one row.

        Raises:
            RecordError: It is not UTF-8, or has another number of columns than the header.
        """
        place, path = self._offsets.place(index), self._offsets.path
        try:
            text = self._offsets.read(index).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise RecordError(
                f"not UTF-8 text ({error.reason} at byte {error.start}); re-encode the file",
                dataset=self.name,
                record_id=place,
            ) from error
        dialect, separator = DIALECTS[path.suffix.lower()]
        values = _first_row(text, dialect)
        if len(values) != len(self._header):
            raise RecordError(
                f"found {len(values)} columns, expected {len(self._header)} as in the header "
                f"({', '.join(self._header)}); a {separator} inside a text needs quotes",
                dataset=self.name,
                record_id=place,
            )
        return Row(dict(zip(self._header, values, strict=True)), place, path.parent)


def delimited_rows(path: Path, limit: int | None = None) -> DelimitedSource:
    """Index a CSV or TSV file by its ending; blank lines do not count.

    Args:
        path: The file.
        limit: Index the first so many rows only.

    Raises:
        DataError: There is no header, it names a column twice, or a quote is never closed.
    """
    dialect, _ = DIALECTS[path.suffix.lower()]
    csv.field_size_limit(sys.maxsize)  # the module's own limit is less than a base64 image
    rows = Offsets(path, unit="line")
    header: tuple[str, ...] = ()
    with path.open("rb") as file:
        lines = _Lines(file)
        reader = csv.reader(lines, dialect=dialect)
        start, number = 0, 1
        try:
            for values in reader:
                if not header and any(values):
                    header = _header(path, lines.end, dialect)
                elif any(value.strip() for value in values):
                    rows.add(start, lines.end, number)
                if len(rows) == limit:
                    break
                start, number = lines.end, lines.number + 1
        except csv.Error as error:
            raise DataError(f"{path}, line {number}: {error}; mend the file") from error
    if not header:
        raise DataError(f"{path} is empty, expected a header with the names of the columns")
    if len(rows):
        _require_closed_quote(rows, dialect)
    return DelimitedSource(rows, header)


class _Lines:
    """Lines of a file, one character per byte, counted as they are taken."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.number = 0
        self.end = 0  # bytes
        self.last = b""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self.last = next(self._file)
        self.number += 1
        self.end += len(self.last)
        # What CSV is built of is ASCII, so rows are told apart whatever their text says.
        return self.last.decode("latin-1")


def _first_row(text: str, dialect: str, *, strict: bool = False) -> list[str]:
    csv.field_size_limit(sys.maxsize)
    lines = io.StringIO(text, newline="\n")  # as the index takes them
    return next(csv.reader(lines, dialect=dialect, strict=strict), [])


def _header(path: Path, end: int, dialect: str) -> tuple[str, ...]:
    with path.open("rb") as file:
        content = file.read(end)
    try:
        names = _first_row(content.decode("utf-8-sig").lstrip("\r\n"), dialect)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}, line 1: not UTF-8 text ({error.reason} at byte {error.start}); re-encode the "
            "file"
        ) from error
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"{path}, line 1: the header names the column {twice[0]!r} twice")
    return tuple(names)


def _require_closed_quote(rows: Offsets, dialect: str) -> None:
    """Refuse a file whose last row swallowed the rest of it, since its quote is never closed."""
    content = rows.read(len(rows) - 1).decode("latin-1")
    try:
        _first_row(content, dialect, strict=True)
    except csv.Error as error:
        if "unexpected end" in str(error):
            raise DataError(
                f"{rows.path}, {rows.place(len(rows) - 1)}: a quote is opened and never closed; "
                "close it, or double the quotes inside a quoted text"
            ) from error
