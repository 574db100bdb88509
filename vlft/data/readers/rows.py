"""Rows of a text file by byte offset: a file of any length is indexed once and read row by row."""

import json
import re
from array import array
from pathlib import Path

from vlft.errors import DataError

_BOM = b"\xef\xbb\xbf".decode("latin-1")  # what some editors write before UTF-8 text
_BLANKS = re.compile(r"[ \t\r\n]*")


class Rows:
    """Where the rows of a file are.

    Args:
        path: The file; it must not change while it is in use.
        unit: What a row is called in messages: ``line`` or ``item``.
    """

    def __init__(self, path: Path, *, unit: str) -> None:
        self.path = path
        self.unit = unit
        self._starts = array("q")  # bytes
        self._ends = array("q")  # bytes
        self._numbers = array("q")  # as a reader of the file counts, from 1

    def __len__(self) -> int:
        return len(self._starts)

    def add(self, start: int, end: int, number: int) -> None:
        """Note a row."""
        self._starts.append(start)
        self._ends.append(end)
        self._numbers.append(number)

    def place(self, index: int) -> str:
        """Say where a row is, such as ``line 12``."""
        return f"{self.unit} {self._numbers[index]}"

    def read(self, index: int) -> bytes:
        """Read one row.

        The file is opened for each row, so that nothing is shared between the workers.
        """
        start = self._starts[index]
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(self._ends[index] - start)


def existing_file(path: str) -> Path:
    """Return the path of a file that is there.

    Raises:
        DataError: There is no such file.
    """
    found = Path(path).expanduser()
    if not found.is_file():
        what = "is a folder, expected a file" if found.is_dir() else "does not exist"
        raise DataError(f"data file {path!r} {what} (looked at {found.absolute()}); check `path`")
    return found


def lines(path: Path, *, limit: int | None = None, skip: int = 0) -> Rows:
    """Index the lines of a file; blank ones do not count.

    Args:
        path: The file.
        limit: Index the first so many lines only.
        skip: Leave out so many lines at the start, such as a header.
    """
    rows = Rows(path, unit="line")
    end = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            start, end = end, end + len(line)
            if number > skip and line.strip():
                rows.add(start, end, number)
            if len(rows) == limit:
                break
    return rows


def json_items(path: Path, *, limit: int | None = None) -> Rows:
    """Index the items of a file that holds one JSON list.

    Raises:
        DataError: The file is no JSON list.
    """
    rows = Rows(path, unit="item")
    # One character per byte, so positions in the text are offsets in the file. What JSON is built
    # of is ASCII, so the items' boundaries are found whatever their text says.
    text = path.read_bytes().decode("latin-1")
    position = _after_blanks(text, len(_BOM) if text.startswith(_BOM) else 0)
    if not text.startswith("[", position):
        raise DataError(
            f"{path}: found {text[position : position + 20]!r} at its start, expected a JSON list "
            "of records ([...]); for one record per line use `type: messages`"
        )
    decoder = json.JSONDecoder()
    start = _after_blanks(text, position + 1)
    while not text.startswith("]", start) and len(rows) != limit:
        try:
            _, end = decoder.raw_decode(text, start)
            position = _after_blanks(text, end)
            if not text.startswith((",", "]"), position):
                raise json.JSONDecodeError("expected ',' or ']'", text, position)  # noqa: TRY301
        except json.JSONDecodeError as error:
            raise DataError(
                f"{path}, line {error.lineno}, column {error.colno}: not valid JSON in item "
                f"{len(rows) + 1} ({error.msg}); mend the file"
            ) from error
        rows.add(start, end, len(rows) + 1)
        start = _after_blanks(text, position + 1) if text[position] == "," else position
    return rows


def _after_blanks(text: str, position: int) -> int:
    found = _BLANKS.match(text, position)
    assert found is not None
    return found.end()
