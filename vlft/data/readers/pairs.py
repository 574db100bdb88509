"""Image-text pairs: TSV with a header, or JSONL; the columns' names come from the recipe."""

import csv
from pathlib import Path
from typing import Any

from vlft.data.readers.fields import Place, image_root, json_row
from vlft.data.readers.rows import existing_file, lines
from vlft.data.records import ImageRef, Pair
from vlft.errors import DataError, unknown
from vlft.recipe.data import Pairs


class PairsDataset:
    """Image-text pairs of a ``.tsv`` or ``.jsonl`` file.

    TSV is read as open_clip reads it: one row per line, quotes as in CSV.

    Args:
        section: The recipe's section.

    Raises:
        DataError: The file does not exist, has another ending, or lacks a column.
    """

    def __init__(self, section: Pairs) -> None:
        path = existing_file(section.path)
        self.name = section.path
        self._image, self._text = section.image_column, section.text_column
        self._root = image_root(path, section.image_root)
        self._header = _header(path, (self._image, self._text)) if path.suffix == ".tsv" else None
        if path.suffix not in (".tsv", ".jsonl"):
            raise DataError(
                f"{section.path}: found the ending {path.suffix!r}, expected .tsv (with a header) "
                "or .jsonl; rename or convert the file"
            )
        self._rows = lines(path, limit=section.limit, skip=1 if self._header else 0)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Pair:
        """Read one row.

        Raises:
            RecordError: The row lacks a field, or its text is empty.
        """
        if self._header is None:
            record, place = json_row(self._rows, index, dataset=self.name)
        else:
            record, place = self._tsv_row(index, self._header)
        text = place.need(record, self._text, str).strip()
        path = place.need(record, self._image, str).strip()
        for field, value in ((self._text, text), (self._image, path)):
            if not value:
                raise place.wrong(field, value, "text that is not empty")
        meta = {
            key: value
            for key, value in record.items()
            if key not in ("id", self._image, self._text)
        }
        return Pair(place.record_id, ImageRef(path=Path(path), root=self._root), text, meta)

    def _tsv_row(self, index: int, header: list[str]) -> tuple[dict[str, Any], Place]:
        row = self._rows.place(index)
        place = Place(self.name, row, row)
        try:
            values = next(_parsed(self._rows.read(index)))
        except UnicodeDecodeError as error:
            raise place.error(f"not UTF-8 text ({error.reason}); re-encode the file") from error
        if len(values) != len(header):
            raise place.error(
                f"found {len(values)} columns, expected {len(header)} as in the header "
                f"({', '.join(header)}); a tab inside a text needs quotes"
            )
        record = dict(zip(header, values, strict=True))
        return record, Place(self.name, row, record.get("id") or row)


def _parsed(line: bytes) -> Any:
    return csv.reader([line.decode("utf-8-sig")], dialect="excel-tab")


def _header(path: Path, needed: tuple[str, str]) -> list[str]:
    with path.open("rb") as file:
        first = file.readline()
    header = next(_parsed(first), [])
    for field, column in zip(("image_column", "text_column"), needed, strict=True):
        if column not in header:
            raise DataError(f"{path}, line 1: {unknown('column', column, header)}; set `{field}`")
    return header
