"""The rows of a section, ready for a format: fields checked by name, images wherever they are."""

import json
from collections.abc import Collection, Mapping
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from vlft.data.readers.fields import Place
from vlft.data.readers.image_values import holds_bytes, image_ref
from vlft.data.records import ImageRef
from vlft.data.sources import Source, open_source
from vlft.data.sources.arrow import ArrowSource
from vlft.errors import DataError, near, unknown
from vlft.recipe.data.files import RowDataset

Value = TypeVar("Value")


@dataclass(frozen=True)
class FormatRow:
    """A row of a data set.

    Attributes:
        values: Its fields as they are stored.
        place: Where it stands, for messages.
        root: Folder that image paths are relative to and may not leave; None: there is none.
    """

    values: Mapping[str, Any]
    place: Place
    root: Path | None

    def get(self, column: str, *, setting: str) -> Any:
        """Return a field that must be there, whatever its value.

        Args:
            column: The field.
            setting: The recipe's field that names it.

        Raises:
            RecordError: The row lacks it.
        """
        if column not in self.values:
            there = ", ".join(map(str, self.values)) or "nothing"
            guess = near(column, map(str, self.values))
            hint = f" (did you mean {guess!r}?)" if guess else ""
            raise self.place.error(
                f"field `{column}` is missing{hint}; there is: {there}; set `{setting}`"
            )
        return self.values[column]

    def need(self, column: str, kind: type[Value], *, setting: str) -> Value:
        """Return a field that must be there with a value of a type.

        Raises:
            RecordError: The row lacks it, or it has another type.
        """
        return self.place.typed(self.get(column, setting=setting), kind, column)

    def turns(self, column: str) -> list[Any]:
        """Return the turns of a conversation, which in CSV stand as JSON text.

        Raises:
            RecordError: The row lacks them, or they are no list.
        """
        if isinstance(self.values.get(column), str):
            return self.place.typed(listed(self.values[column]), list, column)
        return self.place.need(self.values, column, list)

    def image(self, value: object, field: str) -> ImageRef:
        """Refer to an image that a field holds or names.

        Raises:
            RecordError: The value is no image.
        """
        return image_ref(self.place, value, field, root=self.root)

    def images(self, value: object, field: str) -> list[ImageRef]:
        """Refer to the images of a field: one, a list of them, or none (null, or an empty text).

        Raises:
            RecordError: A value is no image.
        """
        if value is None or value == "":
            return []
        value = listed(value)
        if isinstance(value, list):
            return [self.image(one, f"{field}[{i}]") for i, one in enumerate(value)]
        return [self.image(value, field)]

    def meta(self, used: Collection[str]) -> dict[str, Any]:
        """Return the fields that the format does not use, without images that are stored there."""
        return {
            key: value
            for key, value in self.values.items()
            if key != "id" and key not in used and not holds_bytes(value)
        }


def listed(value: Any) -> Any:
    """Read a list that CSV can only hold as JSON text, such as ``["a.png", "b.png"]``."""
    if isinstance(value, str) and value.startswith("["):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value


class Rows:
    """The rows of a section, whatever container they are in.

    Args:
        section: The recipe's section.
        columns: Setting of the recipe to the column it names; each must exist, where every row has
            the same ones.

    Raises:
        DataError: The data set cannot be opened, or lacks a column.
    """

    def __init__(self, section: RowDataset, columns: Mapping[str, str]) -> None:
        self.name = section.path
        self._source: Source = open_source(section)
        given = section.image_root
        self._root = None if given is None else Path(given).expanduser()
        size = len(self._source)
        self._length = size if section.limit is None else min(size, section.limit)
        self.columns = self._source.columns
        for setting, column in columns.items():
            self.require(setting, column)

    def require(self, setting: str, column: str) -> None:
        """Refuse a column that is not there, where every row has the same ones.

        Args:
            setting: The recipe's field that names it.
            column: The column.

        Raises:
            DataError: With the near match and all columns.
        """
        if self.columns is not None and column not in self.columns:
            raise DataError(
                f"{self.name}: {unknown('column', column, self.columns)}; set `{setting}`"
            )

    def only(self, columns: Collection[str]) -> "Rows":
        """Return the same rows for a look at some columns, which reads no others where it can.

        Args:
            columns: The columns; those that hold bytes, such as stored images, are left out too.
        """
        if not isinstance(self._source, ArrowSource):
            return self
        narrow = copy(self)
        narrow._source = self._source.only(columns)
        return narrow

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> FormatRow:
        """Read one row; its ``id`` names it in messages.

        Raises:
            RecordError: The row cannot be read.
        """
        if not 0 <= index < self._length:
            raise IndexError(index)
        values, row, folder = self._source[index]
        named = values.get("id")
        record_id = row if named in (None, "") else str(named)
        return FormatRow(values, Place(self.name, row, record_id), self._root or folder)
