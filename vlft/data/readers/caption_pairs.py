"""Images with a caption and a wrong one, as SugarCrepe writes them (arXiv 2306.14610).

A record has ``filename`` (or ``image``, ``images``), ``caption`` and ``negative_caption``. The
official files are JSON objects from numbers to records; rows of any container are read as well.
"""

import json
from pathlib import Path
from typing import Any

from vlft.data.readers.caption_rows import caption, numbered, one_image
from vlft.data.readers.fields import Place
from vlft.data.readers.rows import FormatRow, Rows
from vlft.data.records import Pair
from vlft.errors import DataError
from vlft.recipe.data.benchmarks import CaptionPairs

_IMAGES = ("filename", "image", "images")


class CaptionPairsDataset:
    """Image-text pairs with ``negative`` (the wrong caption) in their ``meta``.

    Args:
        section: The benchmark's section.

    Raises:
        DataError: The data set cannot be opened.
    """

    def __init__(self, section: CaptionPairs) -> None:
        self.name = section.path
        found = _records(section)
        self._records = None if found is None else found[: section.limit]
        self._rows = Rows(section, {}) if found is None else None
        root = section.image_root or Path(section.path).parent
        self._root = Path(root).expanduser()

    def __len__(self) -> int:
        return len(self._rows) if self._rows is not None else len(self._records or ())

    def __getitem__(self, index: int) -> Pair:
        """Read one record.

        Raises:
            RecordError: It lacks a field.
        """
        row = self._row(index)
        text, negative = caption(row, "caption"), caption(row, "negative_caption")
        meta = row.meta(("caption", "negative_caption", *_IMAGES)) | {"negative": negative}
        return Pair(row.place.record_id, one_image(row, *_IMAGES), text, meta)

    def _row(self, index: int) -> FormatRow:
        if self._rows is not None:
            row = self._rows[index]
            # Without ids of their own, records are called by their place, as in the official files.
            return row if row.values.get("id") not in (None, "") else numbered(row, index)
        assert self._records is not None, "one of the two is there"
        if not 0 <= index < len(self._records):
            raise IndexError(index)
        key, values = self._records[index]
        place = Place(self.name, key, key)
        return FormatRow(place.typed(values, dict, "record"), place, self._root)


def _records(section: CaptionPairs) -> list[tuple[str, Any]] | None:
    """Return the records of a JSON object by their keys; None: the file is of another form."""
    path = Path(section.path).expanduser()
    if path.suffix.lower() != ".json" or not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise DataError(f"{section.path}: not UTF-8 text; download it again") from error
    except json.JSONDecodeError:
        return None  # lines, or a file that is cut off: told where rows are read
    return list(content.items()) if isinstance(content, dict) else None
