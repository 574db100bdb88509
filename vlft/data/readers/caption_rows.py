"""What readers of captions with wrong ones share: numbered rows, a caption, an image."""

from dataclasses import replace
from typing import TypeVar

from vlft.data.readers.rows import FormatRow
from vlft.data.records import ImageRef
from vlft.recipe.data.files import HUB, RowDataset

SectionType = TypeVar("SectionType", bound=RowDataset)


def on_split(section: SectionType, split: str) -> SectionType:
    """Return a section that reads a split of a Hub data set, unless it names another one."""
    if not section.path.startswith(HUB) or section.split is not None:
        return section
    return section.model_copy(update={"split": split})


def numbered(row: FormatRow, index: int) -> FormatRow:
    """Return a row whose record is called by its place in the official order, from 0."""
    return replace(row, place=replace(row.place, record_id=str(index)))


def caption(row: FormatRow, column: str) -> str:
    """Return a caption that must be there, without blanks around it.

    Raises:
        RecordError: The row lacks it, or it is no text or empty.
    """
    text = row.place.need(row.values, column, str).strip()
    if not text:
        raise row.place.wrong(column, text, "a caption")
    return text


def one_image(row: FormatRow, *columns: str) -> ImageRef:
    """Return the image of the first column that is there.

    Raises:
        RecordError: The row has none of the columns, or they hold no image or several.
    """
    column = next((name for name in columns if name in row.values), None)
    if column is None:
        there = ", ".join(map(str, row.values)) or "nothing"
        raise row.place.error(
            f"field `{columns[0]}` is missing, expected an image; there is: {there}"
        )
    images = row.images(row.values[column], column)
    if len(images) != 1:
        raise row.place.error(f"field `{column}`: found {len(images)} images, expected 1")
    return images[0]
