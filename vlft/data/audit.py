"""The supervision audit: what the loss will see, checked and shown before training starts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from vlft.backbones.processors import tokenizer_of
from vlft.data.budget import mismatch
from vlft.data.encode import IGNORED, EncodedConversation
from vlft.data.process import image_token_ids
from vlft.data.records import count_of_images
from vlft.errors import SupervisionError
from vlft.types import Batch


@dataclass(frozen=True)
class SampleReport:
    """One sample as the loss sees it.

    Attributes:
        record_id: Id of the record.
        text: The decoded tokens; what is supervised stands in ``[[`` and ``]]``, runs of image
            tokens are written ``<image>x16``.
        num_images: Number of images.
        num_tokens: Number of tokens, image tokens included.
        num_image_tokens: Number of image tokens.
        num_supervised: Number of tokens that the loss sees.
    """

    record_id: str
    text: str
    num_images: int
    num_tokens: int
    num_image_tokens: int
    num_supervised: int

    @property
    def supervised_share(self) -> float:
        """Part of the tokens that the loss sees, between 0 and 1."""
        return self.num_supervised / self.num_tokens


def audit(
    samples: Iterable[EncodedConversation], *, processor: Any, model: Any = None
) -> list[SampleReport]:
    """Check samples, and report what is supervised in them.

    Args:
        samples: Encoded samples, such as the first ones of a data set.
        processor: The host's processor, or tokenizer.
        model: The host; its own count of image features is then compared with the placeholders.
            Without it only the tokens are checked.

    Raises:
        SupervisionError: An image token is supervised, no token is, or placeholders and image
            features differ in number.
    """
    ids = image_token_ids(processor)
    tokenizer = tokenizer_of(processor)
    reports = []
    for sample in samples:
        in_image = torch.isin(sample.input_ids, ids)
        problem = _label_problem(sample.labels, in_image)
        if problem is None and model is not None and sample.image_inputs:
            problem = _feature_problem(sample, model)
        if problem is not None:
            raise SupervisionError(problem, dataset=sample.dataset, record_id=sample.record_id)
        reports.append(
            SampleReport(
                record_id=sample.record_id,
                text=_marked(sample, in_image.tolist(), tokenizer),
                num_images=len(sample.image_sizes),
                num_tokens=len(sample.input_ids),
                num_image_tokens=int(in_image.sum()),
                num_supervised=sample.num_supervised,
            )
        )
    return reports


def check_batch(batch: Batch, *, processor: Any, dataset: str) -> None:
    """Refuse a generative batch whose loss would see the wrong tokens.

    Args:
        batch: A collated batch.
        processor: The host's processor, or tokenizer.
        dataset: Name of the data set, for the message.

    Raises:
        SupervisionError: A row has a supervised image token, or no supervised token.
    """
    ids = image_token_ids(processor)
    for row, labels, record_id in zip(
        batch["input_ids"], batch["labels"], batch["record_ids"], strict=True
    ):
        problem = _label_problem(labels, torch.isin(row, ids))
        if problem is not None:
            raise SupervisionError(problem, dataset=dataset, record_id=record_id)


def render_report(reports: Sequence[SampleReport]) -> str:
    """The report as text, one paragraph per sample."""
    blocks = [
        f"{report.record_id}: {count_of_images(report.num_images)}, {report.num_tokens} tokens "
        f"({report.num_image_tokens} of images), {report.num_supervised} supervised "
        f"({report.supervised_share:.1%})\n{report.text}"
        for report in reports
    ]
    return "\n\n".join(blocks)


def count_image_features(model: Any, image_inputs: dict[str, Tensor]) -> list[int]:
    """Ask a host how many features it makes of each image.

    Args:
        model: A generative host of transformers, or PEFT's wrapper around one.
        image_inputs: What its processor gave for the images.

    Returns:
        Number of features, one for each image (or tile) that the host tells apart.
    """
    inputs = {name: values.to(model.device) for name, values in image_inputs.items()}
    with torch.no_grad():
        features = model.get_image_features(**inputs, return_dict=True).pooler_output
    return [part.shape[:-1].numel() for part in features]


def _label_problem(labels: Int[Tensor, " tokens"], in_image: Tensor) -> str | None:
    supervised = labels != IGNORED
    wrong = int((supervised & in_image).sum())
    if wrong:
        return (
            f"{wrong} image tokens are supervised, expected none; labels must be {IGNORED} on "
            "every image token"
        )
    if not supervised.any():
        return (
            f"none of {len(labels)} tokens is supervised, expected at least one; check that the "
            "assistant's turns have text"
        )
    return None


def _feature_problem(sample: EncodedConversation, model: Any) -> str | None:
    token = model.config.image_token_id
    found = int((sample.input_ids == token).sum())
    expected = sum(count_image_features(model, sample.image_inputs))
    if found == expected:
        return None
    return mismatch(found, expected, token, sample.image_sizes)


def _marked(sample: EncodedConversation, in_image: list[bool], tokenizer: Any) -> str:
    """Decode tokens with supervised runs in [[ ]] and image runs counted."""
    labeled = (sample.labels != IGNORED).tolist()
    parts = []
    kinds = zip(in_image, labeled, sample.input_ids.tolist(), strict=True)
    for (image, supervised), run in groupby(kinds, key=lambda kind: kind[:2]):
        tokens = [token for _, _, token in run]
        if image:
            # Hosts that write rows and tiles between image tokens get one mark for each stretch.
            text = f"{tokenizer.decode(tokens[:1])}x{len(tokens)}"
        else:
            text = tokenizer.decode(tokens)
        parts.append(f"[[{text}]]" if supervised else text)
    return "".join(parts)
