"""A conversation on its way to tensors, and as tensors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from jaxtyping import Int
from PIL import Image
from torch import Tensor

from vlft.data.chat import Rendered
from vlft.data.records import Conversation

IGNORED = -100
"""The label of a token that the loss does not see."""

TOKEN_INPUTS = ("token_type_ids", "mm_token_type_ids")
"""Model inputs with one value per token; every other tensor of a processor belongs to images."""

STEP = 0.84
"""One step of shrinking: side times 0.84, area times 0.7."""


@dataclass(frozen=True)
class EncodedConversation:
    """One sample as tensors.

    Attributes:
        dataset: Name of the data set.
        record_id: Id of the record.
        input_ids: Token ids, image placeholders included.
        labels: Token ids where supervised, -100 elsewhere; -100 at position 0.
        token_inputs: Further inputs with one value per token.
        image_inputs: The image tensors, images along the first axis.
        image_sizes: Width and height of each image as the processor got it, in pixels.
    """

    dataset: str
    record_id: str
    input_ids: Int[Tensor, " tokens"]
    labels: Int[Tensor, " tokens"]
    token_inputs: dict[str, Tensor]
    image_inputs: dict[str, Tensor]
    image_sizes: tuple[tuple[int, int], ...] = ()

    @property
    def num_supervised(self) -> int:
        """Number of tokens that the loss sees."""
        return int((self.labels != IGNORED).sum())


class Ready(NamedTuple):
    """A record with its images open and its text rendered, before the processor."""

    record: Conversation
    dataset: str
    rendered: Rendered
    images: list[Image.Image]
    settings: Mapping[str, Any] = MappingProxyType({})


def images_in_order(record: Conversation) -> list[int]:
    """Indices of the images in the order in which the turns name them."""
    return [part for turn in record.messages for part in turn.content if isinstance(part, int)]


def scaled(ready: Ready, steps: int) -> Ready:
    """Scale the images of a record down by so many steps."""
    factor = STEP**steps
    images = [
        image.resize((max(1, round(image.width * factor)), max(1, round(image.height * factor))))
        for image in ready.images
    ]
    return ready._replace(images=images)


def listed(images: Sequence[Image.Image]) -> str:
    """Sizes in pixels, for messages."""
    return ", ".join(f"{image.width} x {image.height}" for image in images)


def resized(ready: Ready, sizes: Sequence[tuple[int, int]]) -> Ready:
    """Scale the images of a record to sizes in pixels; what has its size is left alone."""
    images = [
        image if image.size == size else image.resize(size)
        for image, size in zip(ready.images, sizes, strict=True)
    ]
    return ready._replace(images=images)


def cut(
    sample: EncodedConversation, length: int, *, image_tokens: Int[Tensor, " ids"]
) -> EncodedConversation | None:
    """Cut text from the end.

    Args:
        sample: Longer than ``length``.
        length: Tokens that stay.
        image_tokens: Ids of tokens that stand for images.

    Returns:
        None where an image token or every supervised token would be lost.
    """
    images_lost = torch.isin(sample.input_ids[length:], image_tokens).any()
    if images_lost or not (sample.labels[:length] != IGNORED).any():
        return None
    return replace(
        sample,
        input_ids=sample.input_ids[:length],
        labels=sample.labels[:length],
        token_inputs={key: values[:length] for key, values in sample.token_inputs.items()},
    )
