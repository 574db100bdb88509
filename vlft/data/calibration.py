"""Samples that an adapter is prepared on: drawn by seed, one per batch, shared among processes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from vlft.adapters.base import Counted
from vlft.data.collate import ConversationCollator
from vlft.data.content import content_key
from vlft.data.mixture import MixedSamples, Samples
from vlft.data.pipeline import collator
from vlft.data.process import image_token_ids
from vlft.data.sample import IGNORED
from vlft.types import Backbone, Batch

Positions = Literal["all", "text", "image", "prompt"]


@dataclass(frozen=True)
class CalibrationSet:
    """This process's share of the drawn samples, encoded whenever it is gone through.

    Attributes:
        samples: What is drawn from.
        indices: The share.
        positions: Which tokens of a conversation count.
        collate: Makes a batch of one sample.
        image_ids: Ids of tokens that stand for images.
        pad_token_id: Of padding behind a text that reaches no output; None: there is none.
    """

    samples: Samples
    indices: tuple[int, ...]
    positions: Positions
    collate: Any
    image_ids: Int[Tensor, " ids"]
    pad_token_id: int | None

    def __iter__(self) -> Iterator[Counted]:
        for index in self.indices:
            batch = _trimmed(self.collate([self.samples[index]]))
            mask = counted(batch, self.positions, self.image_ids, pad_token_id=self.pad_token_id)
            yield Counted(batch, mask)

    def digests(self) -> list[str]:
        """Return a checksum of each sample as the host sees it, with the tokens that count."""
        return [content_key(_tensors(one)) for one in self]


def calibration_set(
    backbone: Backbone,
    samples: Samples,
    *,
    count: int,
    positions: Positions,
    seed: int,
    rank: int = 0,
    world_size: int = 1,
) -> CalibrationSet:
    """Draw samples and return a process's share of them.

    Args:
        backbone: The bare host.
        samples: Encoded for it, not varied.
        count: How many; all, where there are fewer.
        positions: Which tokens of a conversation count.
        seed: Of the draw.
        rank: Number of this process.
        world_size: Processes.
    """
    collate = collator(backbone)
    if isinstance(collate, ConversationCollator):
        collate.blank = None  # no process waits for another here, and a gray image is no data
    is_text = backbone.family == "generative"
    none = torch.empty(0, dtype=torch.long)
    return CalibrationSet(
        samples=samples,
        indices=tuple(sorted(_drawn(samples, count, seed))[rank::world_size]),
        positions=positions,
        collate=collate,
        image_ids=image_token_ids(backbone.processor) if is_text else none,
        pad_token_id=backbone.processor.tokenizer.pad_token_id if backbone.inert_padding else None,
    )


def counted(
    batch: Batch,
    positions: Positions,
    image_ids: Int[Tensor, " ids"],
    *,
    pad_token_id: int | None = None,
) -> Bool[Tensor, "batch tokens"] | None:
    """Return which tokens count; None: all, and there is no padding.

    Args:
        batch: One conversation, or anything with ``positions`` ``all``.
        positions: See ``Calibration.positions``.
        image_ids: Ids of tokens that stand for images.
        pad_token_id: Of padding behind a text that reaches no output.
    """
    if pad_token_id is not None:
        is_text = batch["input_ids"] != pad_token_id
        return is_text.flip(1).cumsum(1).flip(1) > 0  # up to the last token of the text
    if positions == "all":
        return None
    is_image = torch.isin(batch["input_ids"], image_ids)
    if positions == "prompt":
        return batch["labels"] == IGNORED
    return is_image if positions == "image" else ~is_image


def _trimmed(batch: Batch) -> Batch:
    """Leave out the patches that SigLIP 2 fills an image up with; a batch of one needs none."""
    mask = batch.get("pixel_attention_mask")
    if mask is None or mask.ndim != 2:  # of pixels, elsewhere
        return batch
    real = int(mask.sum())
    names = ("pixel_values", "pixel_attention_mask")
    return {**batch, **{name: batch[name][:, :real] for name in names}}


def _drawn(samples: Samples, count: int, seed: int) -> Sequence[int]:
    """Return indices without repetition; of a mixture, each data set by its weight."""
    generator = torch.Generator().manual_seed(seed)
    if not isinstance(samples, MixedSamples):
        return torch.randperm(len(samples), generator=generator)[:count].tolist()
    mix = samples.mix
    weights = torch.cat(
        [
            torch.full((size,), weight / size, dtype=torch.float64)
            for size, weight in zip(mix.sizes, mix.weights, strict=True)
        ]
    )
    most = min(count, int((weights > 0).sum()))
    # the largest of u^(1/w) are a weighted draw without replacement
    keys = torch.rand(len(weights), generator=generator, dtype=torch.float64).log() / weights
    return keys.topk(most).indices.tolist()


def _tensors(one: Counted) -> dict[str, Tensor]:
    shown = {**one.batch, "counted": one.mask}
    return {name: value for name, value in shown.items() if isinstance(value, Tensor)}
