"""Samples to batches: padding, the positions whose logits are needed, and a stand-in image."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Int
from PIL import Image
from torch import Tensor
from torch.nn.functional import pad

from vlft.backbones.processors import tokenizer_of
from vlft.data.beside import image_slots, image_tensors
from vlft.data.budget import HostImages
from vlft.data.encode import IGNORED, TOKEN_INPUTS, EncodedConversation
from vlft.data.encode_pair import EncodedPair
from vlft.data.process import is_processor, process
from vlft.types import Batch

BLANK_SIDE = 28
"""Pixels; small, so that hosts whose token count follows the size give few tokens."""


@dataclass(frozen=True)
class Blank:
    """One gray image as a host encodes it, for batches that have none.

    Attributes:
        input_ids: Its placeholder tokens.
        token_inputs: Further inputs with one value per token.
        image_inputs: Its image tensors.
    """

    input_ids: Int[Tensor, " tokens"]
    token_inputs: dict[str, Tensor]
    image_inputs: dict[str, Tensor]


def blank_image(processor: Any, host: HostImages | None = None) -> Blank:
    """Encode a gray image with a host's processor, in as few tokens as the host allows."""
    image = Image.new("RGB", (BLANK_SIDE, BLANK_SIDE), (127, 127, 127))
    text = processor.image_token
    settings = {} if host is None else host.fewest(processor)
    encoding = process(
        processor, [text], [[image]], add_special_tokens=False, image_settings=settings
    )
    del encoding["attention_mask"]
    input_ids, *_ = encoding.pop("input_ids")
    found = {key: encoding.pop(key)[0] for key in TOKEN_INPUTS if key in encoding}
    return Blank(
        input_ids=torch.tensor(input_ids),
        token_inputs={key: torch.tensor(values) for key, values in found.items()},
        image_inputs=encoding,
    )


def blank_beside(processor: Any, host: HostImages | None = None) -> Blank:
    """Encode a gray image that leaves no token in the sequence."""
    image = Image.new("RGB", (BLANK_SIDE, BLANK_SIDE), (127, 127, 127))
    settings = {} if host is None else host.fewest(processor)
    none = torch.empty(0, dtype=torch.long)
    return Blank(
        none, dict.fromkeys(TOKEN_INPUTS, none), image_tensors(processor, [image], settings)
    )


class Kept(NamedTuple):
    """Where logits are needed, and what they should predict.

    Attributes:
        positions: Position p predicts token p + 1; padded with 0.
        targets: The token that each position predicts; -100 for padding.
    """

    positions: Int[Tensor, "batch kept"]
    targets: Int[Tensor, "batch kept"]


def kept_positions(labels: Int[Tensor, "batch tokens"]) -> Kept:
    """Turn labels into the positions whose logits the loss reads, and their targets."""
    predicted = labels[:, 1:]
    supervised = predicted != IGNORED
    kept = int(supervised.sum(1).max())
    # A stable sort puts the supervised positions of each row first, in their order.
    positions = supervised.int().argsort(dim=1, descending=True, stable=True)[:, :kept]
    targets = predicted.gather(1, positions)
    return Kept(positions.masked_fill(targets == IGNORED, 0), targets)


class ConversationCollator:
    """Pads encoded conversations to a generative batch (``vlft.types.BATCH_KEYS``).

    A batch without any image gets a blank one at the outer end of its first row, hidden from
    attention and without labels. So every process runs its vision tower in every step; otherwise
    ZeRO-3, FSDP and DDP wait forever for the one that does not.

    Where images leave no token in the sequence, a batch also says which belong to whom
    (``image_slots``) and which tokens come before the first answer (``prompt_mask``): of several
    turns, the first question alone. What is made of these tokens holds for the whole sample, so
    later questions would bring the answers before them along.

    Args:
        processor: The host's processor, or tokenizer for text-only hosts.
        host: The host's way with images; None: the blank image has what its processor makes of it.
        beside: The images leave no token in the sequence.
        blank_inputs: Image tensors of the blank image; None: those of its processor.
    """

    def __init__(
        self,
        processor: Any,
        host: HostImages | None = None,
        *,
        beside: bool = False,
        blank_inputs: dict[str, Tensor] | None = None,
    ) -> None:
        tokenizer: Any = tokenizer_of(processor)
        self.pad_token_id = _pad_token_id(tokenizer)
        self.padding_side: Literal["left", "right"] = tokenizer.padding_side
        self.beside = beside
        self.blank: Blank | None = None
        if is_processor(processor):
            blank = (blank_beside if beside else blank_image)(processor, host)
            self.blank = (
                blank if blank_inputs is None else replace(blank, image_inputs=blank_inputs)
            )

    def __call__(self, samples: Sequence[EncodedConversation]) -> Batch:
        """Join samples to a batch.

        Everything that the loss needs is computed here, on the CPU, so that no training step waits
        for the device.
        """
        input_ids = [sample.input_ids for sample in samples]
        token_inputs = {
            key: [sample.token_inputs[key] for sample in samples] for key in samples[0].token_inputs
        }
        image_inputs = [sample.image_inputs for sample in samples if sample.image_inputs]
        if not image_inputs and self.blank is not None:
            image_inputs = [self.blank.image_inputs]
            input_ids[0] = self._outside(self.blank.input_ids, input_ids[0])
            for key, values in token_inputs.items():
                values[0] = self._outside(self.blank.token_inputs[key], values[0])
        length = max(map(len, input_ids))
        seen = [torch.ones_like(sample.input_ids) for sample in samples]
        labels = self._pad([sample.labels for sample in samples], IGNORED, length)
        kept = kept_positions(labels)
        return {
            "input_ids": self._pad(input_ids, self.pad_token_id, length),
            "attention_mask": self._pad(seen, 0, length),
            **{key: self._pad(values, 0, length) for key, values in token_inputs.items()},
            **joined(image_inputs),
            **(self._beside(samples, labels, length) if self.beside else {}),
            "logits_to_keep": kept.positions,
            "targets": kept.targets,
            "labels": labels,
            "record_ids": [sample.record_id for sample in samples],
            "num_images": sum(len(sample.image_sizes) for sample in samples),
            "num_tokens": sum(len(sample.input_ids) for sample in samples),
        }

    def _beside(
        self,
        samples: Sequence[EncodedConversation],
        labels: Int[Tensor, "batch tokens"],
        length: int,
    ) -> dict[str, Tensor]:
        seen = self._pad([torch.ones_like(sample.input_ids) for sample in samples], 0, length)
        answered = (labels != IGNORED).cumsum(dim=1) > 0
        return {
            "image_slots": image_slots([len(sample.image_sizes) for sample in samples]),
            "prompt_mask": seen.bool() & ~answered,
        }

    def _outside(
        self, blank: Int[Tensor, " blank"], row: Int[Tensor, " tokens"]
    ) -> Int[Tensor, " both"]:
        """Put the blank image's tokens on the side where a row is padded."""
        return torch.cat([blank, row] if self.padding_side == "left" else [row, blank])

    def _pad(self, rows: list[Tensor], value: int, length: int) -> Int[Tensor, "batch length"]:
        return _padded(rows, value, length, self.padding_side)


def prompt_inputs(
    processor: Any, encoding: dict[str, Any], *, side: Literal["left", "right"]
) -> dict[str, Tensor]:
    """Join what ``process`` gave for prompts to model inputs.

    Args:
        processor: The host's processor, or tokenizer for text-only hosts.
        encoding: Values per token as lists, and image tensors.
        side: Where short prompts are padded.
    """
    per_token = {
        key: [torch.tensor(row) for row in encoding[key]]
        for key in ("input_ids", *TOKEN_INPUTS)
        if key in encoding
    }
    per_token["attention_mask"] = [torch.ones_like(row) for row in per_token["input_ids"]]
    length = max(map(len, per_token["input_ids"]))
    filling = {"input_ids": _pad_token_id(tokenizer_of(processor))}
    texts = {
        key: _padded(rows, filling.get(key, 0), length, side) for key, rows in per_token.items()
    }
    return {**{key: v for key, v in encoding.items() if isinstance(v, Tensor)}, **texts}


class PairCollator:
    """Pads encoded image-text pairs to a contrastive batch (``vlft.types.BATCH_KEYS``).

    Args:
        processor: The host's processor.
        text_length: Tokens that the encoder has padded every text to, as ``Backbone`` says; the
            host then sees its padding, so there is no attention mask.
    """

    def __init__(self, processor: Any, *, text_length: int | None = None) -> None:
        self.text_length = text_length
        self.pad_token_id = _pad_token_id(processor.tokenizer)
        self.padding_side: Literal["left", "right"] = processor.tokenizer.padding_side

    def texts(self, rows: list[Tensor]) -> dict[str, Int[Tensor, "batch length"]]:
        """Join the token ids of texts to the inputs of a text tower."""
        if self.text_length is not None:
            return {"input_ids": torch.stack(rows)}
        length = max(map(len, rows))
        seen = [torch.ones_like(row) for row in rows]
        return {
            "input_ids": _padded(rows, self.pad_token_id, length, self.padding_side),
            "attention_mask": _padded(seen, 0, length, self.padding_side),
        }

    def __call__(self, samples: Sequence[EncodedPair]) -> Batch:
        """Join pairs to a batch."""
        input_ids = [sample.input_ids for sample in samples]
        return {
            **self.texts(input_ids),
            **joined([sample.image_inputs for sample in samples]),
            "record_ids": [sample.record_id for sample in samples],
            "num_images": len(samples),
            "num_tokens": sum(map(len, input_ids)),
        }


def _pad_token_id(tokenizer: Any) -> int:
    # Padding is hidden from attention and has no labels, so any token will do.
    return tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id


def _padded(
    rows: list[Tensor], value: int, length: int, side: Literal["left", "right"]
) -> Int[Tensor, "batch length"]:
    batch = rows[0].new_full((len(rows), length), value)
    for target, row in zip(batch, rows, strict=True):
        start = length - len(row) if side == "left" else 0
        target[start : start + len(row)] = row
    return batch


def joined(samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Concatenate image tensors along their first axis.

    Hosts that cut images into tiles give a different number per sample; the smaller tensors are
    filled up with zeros, as these hosts' own processors do within a batch.
    """
    if not samples:
        return {}
    return {key: _concatenated([sample[key] for sample in samples]) for key in samples[0]}


def _concatenated(tensors: list[Tensor]) -> Tensor:
    if len({tensor.shape[1:] for tensor in tensors}) == 1:
        return torch.cat(tensors)
    largest = [max(sizes) for sizes in zip(*(tensor.shape[1:] for tensor in tensors), strict=True)]
    filled = []
    for tensor in tensors:
        missing = [size - own for size, own in zip(largest, tensor.shape[1:], strict=True)]
        filled.append(pad(tensor, [part for size in reversed(missing) for part in (0, size)]))
    return torch.cat(filled)
