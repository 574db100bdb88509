"""Images with a class each; the columns' names come from the recipe."""

from vlft.data.readers.rows import Rows
from vlft.data.records import Labeled
from vlft.recipe.data import LabeledImages


class LabeledDataset:
    """Rows with an image and the name of its class, or a folder with one folder per class.

    A whole number is taken as a name too (``3`` is the class ``"3"``); data sets that store names
    beside numbers give the names.

    Args:
        section: The recipe's section.

    Raises:
        DataError: The data set cannot be opened, or lacks a column.
    """

    def __init__(self, section: LabeledImages) -> None:
        self.name = section.path
        self._image, self._label = section.image_column, section.label_column
        self._rows = Rows(section, {"image_column": self._image, "label_column": self._label})

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Labeled:
        """Read one row.

        Raises:
            RecordError: The row lacks a field, its label is no name, or its image is none.
        """
        row = self._rows[index]
        image = row.image(row.get(self._image, setting="image_column"), self._image)
        value = row.get(self._label, setting="label_column")
        if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
            raise row.place.wrong(self._label, value, "the name of a class")
        label = str(value).strip()
        return Labeled(row.place.record_id, image, label, row.meta((self._image, self._label)))
