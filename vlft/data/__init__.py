"""Data: readers give records, encoders make them tensors, collators make batches."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from vlft.data.checked import CheckedRecords, check_all
from vlft.data.readers.llava_json import LlavaJsonDataset
from vlft.data.readers.messages import MessagesDataset
from vlft.data.readers.pairs import PairsDataset
from vlft.data.readers.scienceqa import ScienceQADataset
from vlft.data.records import Records
from vlft.data.scenes.dataset import SceneDataset
from vlft.errors import DataError, pick
from vlft.recipe.data import DatasetSection
from vlft.recipe.data.files import FileDataset

DATASETS: Mapping[str, Callable[[Any], Records]] = {
    "messages": MessagesDataset,
    "llava_json": LlavaJsonDataset,
    "pairs": PairsDataset,
    "scienceqa": ScienceQADataset,
    "scenes": SceneDataset,
}
"""Readers by the ``type`` of a data section."""


def open_dataset(
    section: DatasetSection, *, on_bad_record: Literal["error", "skip"] = "error"
) -> CheckedRecords:
    """Open a data set.

    Args:
        section: What the recipe says.
        on_bad_record: ``error``: a bad record raises when it is read; ``skip``: every record is
            looked at once, images by their header, and bad ones are left out (``skipped``).

    Raises:
        DataError: The data set is missing, empty, or not in the declared format.
    """
    records = pick(DATASETS, section.type, kind="data type")(section)
    if len(records) == 0:
        raise DataError(f"{records.name} has no records; check `path` and `limit`")
    if on_bad_record == "skip" and isinstance(section, FileDataset):
        return check_all(records)
    return CheckedRecords(records, range(len(records)))
