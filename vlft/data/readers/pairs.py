"""Image-text pairs; the columns' names come from the recipe."""

from vlft.data.readers.rows import Rows
from vlft.data.records import Pair
from vlft.recipe.data import Pairs


class PairsDataset:
    """Image-text pairs of rows with an image and a caption.

    Args:
        section: The recipe's section.

    Raises:
        DataError: The data set cannot be opened, or lacks a column.
    """

    def __init__(self, section: Pairs) -> None:
        self.name = section.path
        self._image, self._text = section.image_column, section.text_column
        self._rows = Rows(section, {"image_column": self._image, "text_column": self._text})

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Pair:
        """Read one row.

        Raises:
            RecordError: The row lacks a field, its text is empty, or its image is none.
        """
        row = self._rows[index]
        image = row.image(row.get(self._image, setting="image_column"), self._image)
        text = row.need(self._text, str, setting="text_column").strip()
        if not text:
            raise row.place.wrong(self._text, text, "text that is not empty")
        return Pair(row.place.record_id, image, text, row.meta((self._image, self._text)))
