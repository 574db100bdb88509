"""A labeled image as tensors for vision hosts, and batches of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vlft.data.collate import joined
from vlft.data.images import MAX_PIXELS, open_image
from vlft.data.records import Labeled
from vlft.errors import RecordError, unknown
from vlft.types import Batch


@dataclass(frozen=True)
class EncodedLabeled:
    """One image with the row of its class.

    Attributes:
        dataset: Name of the data set.
        record_id: Id of the record.
        image_inputs: The image tensors, with a first axis of one image.
        label: Row of the head that the image belongs to.
    """

    dataset: str
    record_id: str
    image_inputs: dict[str, Tensor]
    label: int


class LabeledEncoder:
    """Turns labeled images into tensors for a vision host.

    Args:
        processor: The host's image processor.
        labels: Names of the host's classes, in the order of its head's rows.
        max_pixels: Refuse a larger image (width times height).
    """

    def __init__(
        self, processor: Any, *, labels: Sequence[str], max_pixels: int = MAX_PIXELS
    ) -> None:
        self.processor = processor
        self.rows = {label: row for row, label in enumerate(labels)}
        self.max_pixels = max_pixels

    def __call__(self, record: Labeled, *, dataset: str) -> EncodedLabeled:
        """Open the image and look its class up.

        Raises:
            RecordError: The image is bad, or the host has no such class.
        """
        return self.many([record], dataset=dataset)[0]

    def many(self, records: Sequence[Labeled], *, dataset: str) -> list[EncodedLabeled]:
        """Encode records with one call of the processor.

        Raises:
            RecordError: An image is bad, or the host has no such class.
        """
        rows = [self._row(record, dataset) for record in records]
        images = [
            open_image(one.image, dataset=dataset, record_id=one.id, max_pixels=self.max_pixels)
            for one in records
        ]
        pixels = self.processor(images, return_tensors="pt")["pixel_values"]
        return [
            EncodedLabeled(dataset, record.id, {"pixel_values": pixels[row : row + 1]}, label)
            for row, (record, label) in enumerate(zip(records, rows, strict=True))
        ]

    def _row(self, record: Labeled, dataset: str) -> int:
        if record.label not in self.rows:
            raise RecordError(
                f"{unknown('class', record.label, self.rows)}; name the classes of the data as "
                "`backbone.labels`",
                dataset=dataset,
                record_id=record.id,
            )
        return self.rows[record.label]


def collate_labeled(samples: Sequence[EncodedLabeled]) -> Batch:
    """Join labeled images to a batch of a vision host (``vlft.types.BATCH_KEYS``).

    ``labels`` holds one row of the head per image, so that the Trainer's count of labels is the
    number of images of an optimizer step.
    """
    return {
        **joined([sample.image_inputs for sample in samples]),
        "labels": torch.tensor([sample.label for sample in samples]),
        "record_ids": [sample.record_id for sample in samples],
        "num_images": len(samples),
        "num_tokens": 0,
    }
