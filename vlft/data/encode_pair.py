"""An image-text pair as tensors for contrastive hosts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from vlft.data.images import open_image
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


class PairEncoder:
    """Turns image-text pairs into tensors for a contrastive host.

    Text that is longer than the text tower takes is cut, as these models are trained; the
    tokenizer keeps the end-of-text token, which is where CLIP reads the embedding.

    Args:
        processor: The host's processor.
        max_length: Longest text in tokens; None: what the host's tokenizer says.

    Raises:
        BackboneError: The tokenizer knows no longest text and none is given.
    """

    def __init__(self, processor: Any, *, max_length: int | None = None) -> None:
        known = processor.tokenizer.model_max_length
        if max_length is None and known > _UNKNOWN_LENGTH:
            raise BackboneError(
                "the host's tokenizer does not say how many tokens its text tower takes "
                "(model_max_length); set `data.max_length`"
            )
        self.processor = processor
        self.max_length = known if max_length is None else min(known, max_length)

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
        images = [open_image(one.image, dataset=dataset, record_id=one.id) for one in records]
        encoding = dict(
            self.processor(
                images=images,
                text=[record.text for record in records],
                truncation=True,
                max_length=self.max_length,
                images_kwargs={"return_tensors": "pt"},
            )
        )
        del encoding["attention_mask"]
        input_ids = encoding.pop("input_ids")
        return [
            EncodedPair(
                dataset=dataset,
                record_id=record.id,
                input_ids=torch.tensor(input_ids[row]),
                image_inputs={key: value[row : row + 1] for key, value in encoding.items()},
            )
            for row, record in enumerate(records)
        ]
