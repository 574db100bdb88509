"""Data: readers give records, encoders make them tensors, collators make batches."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from vlft.data.checked import CheckedRecords, check_all
from vlft.data.images import MAX_PIXELS
from vlft.data.mixture import MixedRecords
from vlft.data.readers.aro import AroDataset
from vlft.data.readers.aro_order import AroOrderDataset
from vlft.data.readers.caption_pairs import CaptionPairsDataset
from vlft.data.readers.captions import CaptionsDataset
from vlft.data.readers.karpathy import KarpathyDataset
from vlft.data.readers.labeled import LabeledDataset
from vlft.data.readers.messages import MessagesDataset
from vlft.data.readers.mmeb import MmebDataset
from vlft.data.readers.mmra import MmraDataset
from vlft.data.readers.pairs import PairsDataset
from vlft.data.readers.question_answer import QuestionAnswerDataset
from vlft.data.readers.scienceqa import ScienceQADataset
from vlft.data.readers.sharegpt import ShareGptDataset, llava_json
from vlft.data.records import Records
from vlft.data.scenes.dataset import SceneDataset
from vlft.errors import DataError, pick
from vlft.recipe.data import DatasetSection, Mixture
from vlft.recipe.data.benchmarks import BenchmarkData
from vlft.recipe.data.files import FileDataset

DATASETS: Mapping[str, Callable[[Any], Records]] = {
    "messages": MessagesDataset,
    "sharegpt": ShareGptDataset,
    "llava_json": llava_json,
    "question_answer": QuestionAnswerDataset,
    "captions": CaptionsDataset,
    "pairs": PairsDataset,
    "classification": LabeledDataset,
    "scienceqa": ScienceQADataset,
    "scenes": SceneDataset,
    "aro": AroDataset,
    "aro_order": AroOrderDataset,
    "caption_pairs": CaptionPairsDataset,
    "karpathy": KarpathyDataset,
    "mmeb": MmebDataset,
    "mmra": MmraDataset,
}
"""Readers by the ``type`` of a data section."""


def open_dataset(
    section: BenchmarkData | DatasetSection,
    *,
    on_bad_record: Literal["error", "skip"] = "error",
    max_image_pixels: int = MAX_PIXELS,
) -> CheckedRecords:
    """Open a data set.

    Args:
        section: What the recipe or benchmark says.
        on_bad_record: ``error``: a bad record raises when it is read; ``skip``: every record is
            looked at once, images by their header, and bad ones are left out (``skipped``).
        max_image_pixels: With ``skip``, a larger image makes its record a bad one.

    Raises:
        DataError: The data set is missing, empty, or not in the declared format.
    """
    if isinstance(section, Mixture):
        members = [
            open_dataset(one, on_bad_record=on_bad_record, max_image_pixels=max_image_pixels)
            for one in section.datasets
        ]
        skipped = tuple(error for member in members for error in member.skipped)
        mixed = MixedRecords(members)
        return CheckedRecords(mixed, range(len(mixed)), skipped)
    records = pick(DATASETS, section.type, kind="data type")(section)
    if len(records) == 0:
        raise DataError(f"{records.name} has no records; check `path` and `limit`")
    if on_bad_record == "skip" and isinstance(section, FileDataset):
        return check_all(records, max_pixels=max_image_pixels)
    return CheckedRecords(records, range(len(records)))
