"""What a row source is."""

from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable


class Row(NamedTuple):
    """One row as it is stored.

    Attributes:
        values: Its fields by name: text, numbers, lists, objects, bytes.
        place: Where it stands, such as ``line 12``.
        folder: Folder that image paths in it are relative to; None where there is none.
    """

    values: dict[str, Any]
    place: str
    folder: Path | None


@runtime_checkable
class Source(Protocol):
    """Rows of one container."""

    name: str
    """Names the data set in messages: its path in the recipe."""
    columns: tuple[str, ...] | None
    """Names of the fields where every row has the same ones; None where rows may differ."""

    def __len__(self) -> int:
        """Number of rows."""
        ...

    def __getitem__(self, index: int) -> Row:
        """Read one row.

        Raises:
            RecordError: The row cannot be read.
        """
        ...
