"""One sample of a chosen size for any host, encoded by the host's own processor.

A forecast needs a batch before there is data: a conversation with so many images and tokens, an
image-text pair, or a labeled image.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from vlft.data import pipeline
from vlft.data.encode import IGNORED, EncodedConversation, image_token_ids
from vlft.data.records import Conversation, ImageRef, Labeled, Pair, Record
from vlft.recipe.data import DataSection
from vlft.types import Backbone, Batch, Message

IMAGE_SIZE = (1024, 768)
"""Width and height of an example image, in pixels; hosts of a fixed size scale it to theirs."""
TEXT_TOKENS = 512
"""Text tokens of a sample when nothing says how long samples are."""


@dataclass(frozen=True)
class Example:
    """A sample to forecast with.

    Attributes:
        batch: Gives a batch of so many copies of it.
        tokens: Its length; for image-text pairs that of the text, 0 without text.
        image_tokens: How many of them stand for images.
        images: Its images.
        answers: Tokens that the loss sees.
    """

    batch: Callable[[int], Batch]
    tokens: int
    image_tokens: int
    images: int
    answers: int


def example(
    backbone: Backbone,
    data: DataSection,
    *,
    tokens: int | None = None,
    images: int = 1,
    image_size: tuple[int, int] = IMAGE_SIZE,
) -> Example:
    """Encode an example.

    Args:
        backbone: The host; its processor encodes.
        data: ``max_length`` and ``image_tokens_per_sample`` hold for the example too.
        tokens: Length of a conversation, image tokens included; None: ``data.max_length``, or
            image tokens and ``TEXT_TOKENS`` more. Half of the text is answers.
        images: Images of a conversation.
        image_size: Their width and height in pixels.

    Raises:
        RecordError: So many images do not fit the host or ``tokens``.
    """
    encode = pipeline.encoder(backbone, data.model_copy(update={"max_length": None}))
    sample: Any = encode(_record(backbone, images, image_size), dataset="forecast")
    collate = pipeline.collator(backbone)
    if not isinstance(sample, EncodedConversation):
        length = len(sample.input_ids) if backbone.family == "contrastive" else 0
        return Example(lambda size: collate([sample] * size), length, 0, 1, 0)
    own = torch.isin(sample.input_ids, image_token_ids(backbone.processor))
    image_tokens = int(own.sum())
    length = tokens or data.max_length or image_tokens + TEXT_TOKENS
    longer = _stretched(sample, length)
    return Example(
        lambda size: collate([longer] * size),
        len(longer.input_ids),
        image_tokens,
        images if sample.image_inputs else 0,
        longer.num_supervised,
    )


def _record(backbone: Backbone, images: int, size: tuple[int, int]) -> Record:
    ref = ImageRef(draw=partial(_picture, size))
    if backbone.family == "contrastive":
        return Pair(id="example", image=ref, text="word " * 256)
    if backbone.family == "vision":
        labels: Any = getattr(backbone.model, "config", None)
        return Labeled(id="example", image=ref, label=next(iter(labels.id2label.values())))
    number = images if "vision" in backbone.towers else 0
    question = Message("user", (*range(number), "What is this?"))
    answer = Message("assistant", ("It is this.",))
    return Conversation(id="example", messages=(question, answer), images=(ref,) * number)


def _picture(size: tuple[int, int]) -> Image.Image:
    return Image.radial_gradient("L").resize(size).convert("RGB")


def _stretched(sample: EncodedConversation, length: int) -> EncodedConversation:
    """Repeat the last answer token up to a length; never shorten."""
    missing = max(0, length - len(sample.input_ids))
    if not missing:
        return sample
    answers = missing // 2
    filler = sample.input_ids[sample.labels != IGNORED][-1:].expand(missing)
    labels = filler.clone()
    labels[: missing - answers] = IGNORED

    def longer(values: Tensor) -> Tensor:
        return torch.cat([values, values[-1:].expand(missing)])

    return replace(
        sample,
        input_ids=torch.cat([sample.input_ids, filler]),
        labels=torch.cat([sample.labels, labels]),
        token_inputs={name: longer(values) for name, values in sample.token_inputs.items()},
    )
