"""Rows of a text file by byte offset: a file of any length is indexed once and read row by row."""

from array import array
from pathlib import Path


class Offsets:
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
