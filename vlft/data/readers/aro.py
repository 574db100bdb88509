"""VG-Relation and VG-Attribution of ARO (arXiv 2210.01936): parts of images with two captions.

Official records have ``image_path`` (below ``images/``), ``bbox_x``, ``bbox_y``, ``bbox_w``,
``bbox_h``, ``true_caption``, ``false_caption``, and ``relation_name`` or ``attributes`` (a list of
two texts); the Hub copies hold ``image`` and ``bbox`` (x, y, w, h). Further fields are left alone.
"""

from dataclasses import replace
from math import isfinite
from pathlib import Path

from vlft.data.readers.caption_rows import caption, numbered, on_split, one_image
from vlft.data.readers.image_values import holds_bytes
from vlft.data.readers.rows import FormatRow, Rows
from vlft.data.records import ImageRef, Pair
from vlft.recipe.data.benchmarks import Aro

_SIDES = ("x", "y", "w", "h")
_USED = ("true_caption", "false_caption", "bbox", *(f"bbox_{side}" for side in _SIDES))
_IMAGES = ("image", "images", "image_path")


class AroDataset:
    """Image-text pairs with ``negative`` (the false caption) in their ``meta``.

    A record is called by its place in the file, from 0, as in the official score arrays. ``meta``
    also holds ``relation_name``, or ``attribute_pair``: the two attributes joined by an underscore.

    Args:
        section: The benchmark's section.

    Raises:
        DataError: The data set cannot be opened.
    """

    def __init__(self, section: Aro) -> None:
        self.name = section.path
        self._rows = Rows(on_split(section, "test"), {})
        self._below = "" if section.image_root is not None else "images"

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Pair:
        """Read one case.

        Raises:
            RecordError: The row lacks a field, or its box is empty.
        """
        row = numbered(self._rows[index], index)
        text, negative = caption(row, "true_caption"), caption(row, "false_caption")
        meta = row.meta((*_USED, *_IMAGES)) | {"negative": negative} | _group(row)
        return Pair(row.place.record_id, replace(self._image(row), box=_box(row)), text, meta)

    def _image(self, row: FormatRow) -> ImageRef:
        """Refer to the whole image; stored bytes win over the path that they were read from."""
        if "image_path" not in row.values or holds_bytes(row.values.get("image")):
            return one_image(row, *_IMAGES)
        folder = row.root
        return one_image(
            replace(row, root=None if folder is None else Path(folder, self._below)), "image_path"
        )


def _box(row: FormatRow) -> tuple[float, float, float, float]:
    """Return the edges of a row's box: left, top, right, bottom."""
    fields = {side: f"bbox_{side}" for side in _SIDES}
    values = row.values
    if not any(field in values for field in fields.values()) and "bbox" in values:
        fields = {side: f"bbox.{side}" for side in _SIDES}
        box = row.place.typed(values["bbox"], dict, "bbox")
        values = {f"bbox.{side}": box[side] for side in _SIDES if side in box}
    found = {}
    for side, field in fields.items():
        if field not in values:
            there = ", ".join(map(str, row.values))
            raise row.place.error(f"field `{field}` is missing, expected pixels; there is: {there}")
        value = values[field]
        number = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
        if not number or (side in "wh" and value <= 0):
            raise row.place.wrong(field, value, "pixels" + (" above 0" if side in "wh" else ""))
        found[side] = float(value)
    return (found["x"], found["y"], found["x"] + found["w"], found["y"] + found["h"])


def _group(row: FormatRow) -> dict[str, str]:
    """Return what a case is counted under: its relation, or its pair of attributes."""
    pair, place = row.values.get("attributes"), row.place
    if pair is None:
        named = "relation_name" in row.values
        return {"relation_name": place.need(row.values, "relation_name", str)} if named else {}
    if isinstance(pair, list) and len(pair) == 2 and all(isinstance(one, str) for one in pair):
        return {"attribute_pair": "_".join(pair)}
    if isinstance(row.values.get("relation_name"), str):
        return {}
    raise place.wrong("attributes", pair, "a list of two texts")
