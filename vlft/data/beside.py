"""Images that go to a model beside its sequence: no token in it, and a limited number."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Int
from PIL.Image import Image
from torch import Tensor

from vlft.data.records import Conversation, Records, count_of_images
from vlft.errors import RecordError
from vlft.types import Message


def num_images(messages: Sequence[Message]) -> int:
    """Return how many images turns name; one that is named twice is shown twice."""
    return sum(isinstance(part, int) for turn in messages for part in turn.content)


def looked_over(records: Records, *, least: int = 1) -> Iterator[Conversation]:
    """Yield records as far as reading them is cheap, to count their images.

    Args:
        records: Conversations.
        least: Where records hold the bytes of their images, no more than so many are read.
    """
    for index in range(len(records)):
        record = records[index]
        assert isinstance(record, Conversation)
        yield record
        if index + 1 >= least and any(ref.data is not None for ref in record.images):
            return


def require_few_images(record: Conversation, *, most: int, dataset: str) -> None:
    """Refuse a record with more images than the model takes; nothing is decoded.

    Raises:
        RecordError: With the number, and what to change.
    """
    found = num_images(record.messages)
    if found > most:
        raise RecordError(
            f"the record has {count_of_images(found)}, and adapter.max_images is {most}: set "
            f"adapter.max_images: {found}, or leave such records out with data.on_bad_record: skip",
            dataset=dataset,
            record_id=record.id,
        )


def without_images(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Return turns with their texts alone."""
    return tuple(
        replace(turn, content=tuple(part for part in turn.content if isinstance(part, str)))
        for turn in messages
    )


def image_tensors(
    processor: Any, images: Sequence[Image], settings: Mapping[str, Any]
) -> dict[str, Tensor]:
    """Return the host's image tensors, images along the first axis; empty without an image.

    Args:
        processor: The host's processor.
        images: Of one sample or several, in order.
        settings: Settings of its image processor that win over its own.

    Raises:
        ValueError: The processor refuses an image.
    """
    if not images:
        return {}
    rows = [[image] for image in images]
    tensors = processor.image_processor(images=rows, return_tensors="pt", **settings)
    unused = processor.unused_input_names  # such as the number of crops
    return {
        name: value
        for name, value in tensors.items()
        if isinstance(value, Tensor) and name not in unused
    }


def image_slots(counts: Sequence[int]) -> Int[Tensor, "batch images"]:
    """Return the number of each sample's images among those of a batch; -1 for none.

    Args:
        counts: How many images each sample has.
    """
    slots = torch.full((len(counts), max(1, *counts)), -1)
    first = 0
    for row, count in zip(slots, counts, strict=True):
        row[:count] = torch.arange(first, first + count)
        first += count
    return slots
