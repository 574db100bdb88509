"""An image-text pair as tensors for contrastive hosts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from vlft.data.images import MAX_PIXELS, open_image
from vlft.data.records import Pair
from vlft.errors import BackboneError

_UNKNOWN_LENGTH = 1_000_000  # tokens; transformers writes a larger number where no limit is known


@dataclass(frozen=True)
class EncodedPair:
    """One image-text pair as tensors.

    Attributes:
        dataset: Name of the data set.
        record_id: Id of the record.
        input_ids: Token ids of the text.
        image_inputs: The image tensors, with a first axis of one image.
    """

    dataset: str
    record_id: str
    input_ids: Int[Tensor, " tokens"]
    image_inputs: dict[str, Tensor]


class TextEncoder:
    """Turns texts into token ids for a contrastive host.

    Text that is longer than the text tower takes is cut, as these models are trained; the
    tokenizer keeps the end-of-text token, which is where CLIP reads the embedding.

    Args:
        tokenizer: The host's tokenizer.
        text_length: Tokens that the host has every text padded to; None: not padded here.
        max_length: Longest text in tokens; None: what the host takes.

    Raises:
        BackboneError: Nothing says how long a text may be.
    """

    def __init__(
        self, tokenizer: Any, *, text_length: int | None = None, max_length: int | None = None
    ) -> None:
        known = tokenizer.model_max_length if text_length is None else text_length
        if max_length is None and known > _UNKNOWN_LENGTH:
            raise BackboneError(
                "the host's tokenizer does not say how many tokens its text tower takes "
                "(model_max_length); set `data.max_length`"
            )
        self.tokenizer = tokenizer
        self.text_length = text_length
        self.max_length = known if max_length is None else min(known, max_length)

    def __call__(self, texts: Sequence[str]) -> list[Int[Tensor, " tokens"]]:
        """Tokenize texts; each keeps its own length unless the host wants one length for all."""
        encoding = self.tokenizer(
            list(texts), padding=False, truncation=True, max_length=self.max_length
        )
        rows = [torch.tensor(ids) for ids in encoding["input_ids"]]
        length = self.text_length
        return rows if length is None else [self._filled(row, length) for row in rows]

    def _filled(self, row: Int[Tensor, " tokens"], length: int) -> Int[Tensor, " length"]:
        filling = row.new_full((length - len(row),), self.tokenizer.pad_token_id)
        on_the_left = self.tokenizer.padding_side == "left"
        return torch.cat([filling, row] if on_the_left else [row, filling])


class PairEncoder:
    """Turns image-text pairs into tensors for a contrastive host.

    Args:
        processor: The host's processor.
        text_length: Tokens that the host has every text padded to; None: not padded here.
        max_length: Longest text in tokens; None: what the host takes.
        max_pixels: Refuse a larger image (width times height).

    Raises:
        BackboneError: Nothing says how long a text may be.
    """

    def __init__(
        self,
        processor: Any,
        *,
        text_length: int | None = None,
        max_length: int | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.processor = processor
        self.texts = TextEncoder(
            processor.tokenizer, text_length=text_length, max_length=max_length
        )
        self.max_pixels = max_pixels

    def __call__(self, record: Pair, *, dataset: str) -> EncodedPair:
        """Open the image and tokenize the text.

        Raises:
            RecordError: The image is bad.
        """
        return self.many([record], dataset=dataset)[0]

    def many(self, records: Sequence[Pair], *, dataset: str) -> list[EncodedPair]:
        """Encode records with one call of the processor.

        Raises:
            RecordError: An image is bad.
        """
        images = [
            open_image(one.image, dataset=dataset, record_id=one.id, max_pixels=self.max_pixels)
            for one in records
        ]
        # SigLIP 2's processor as a whole would use other patches than its image processor says.
        pixels = self.processor.image_processor(images, return_tensors="pt")
        texts = self.texts([record.text for record in records])
        return [
            EncodedPair(
                dataset=dataset,
                record_id=record.id,
                input_ids=texts[row],
                image_inputs={key: value[row : row + 1] for key, value in pixels.items()},
            )
            for row, record in enumerate(records)
        ]
