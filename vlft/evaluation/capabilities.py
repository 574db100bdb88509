"""What a backbone can do, as the capabilities of ``vlft.types``.

A capability holds a backbone and a batch size and no other state: a model is put into evaluation
mode during a call and gets its own modes back.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from PIL.Image import Image
from torch import Tensor

from vlft.adapters.parts import base_model
from vlft.backbones import class_names
from vlft.data.collate import PairCollator
from vlft.data.encode_pair import TextEncoder
from vlft.evaluation.generative import GenerativeModel
from vlft.evaluation.requests import TEXTS_PER_IMAGE
from vlft.evaluation.running import batched, evaluating, placed, unit_length
from vlft.types import Backbone


@dataclass(frozen=True)
class ContrastiveModel:
    """Maps images and texts to one space.

    Attributes:
        backbone: A contrastive host, bare or with an adapter.
        batch_size: Images or texts per forward pass.
    """

    backbone: Backbone
    batch_size: int = 32

    def embed_images(self, images: Sequence[Image]) -> Float[Tensor, "items width"]:
        """Return unit-length image embeddings, float32, on the CPU."""
        encode = self.backbone.processor.image_processor
        with evaluating(self.backbone.model) as model:
            parts = [
                model.get_image_features(
                    **placed(encode(batch, return_tensors="pt"), model)
                ).pooler_output
                for batch in batched(images, self.batch_size)
            ]
        return unit_length(parts)

    def embed_texts(self, texts: Sequence[str]) -> Float[Tensor, "items width"]:
        """Return unit-length text embeddings, float32, on the CPU; long texts are cut."""
        processor, length = self.backbone.processor, self.backbone.text_length
        collate = PairCollator(processor, text_length=length)
        with evaluating(self.backbone.model) as model:
            positions = model.config.text_config.max_position_embeddings if length is None else None
            encode = TextEncoder(processor.tokenizer, text_length=length, max_length=positions)
            parts = [
                model.get_text_features(**placed(collate.texts(encode(batch)), model)).pooler_output
                for batch in batched(texts, self.batch_size * TEXTS_PER_IMAGE)
            ]
        return unit_length(parts)


@dataclass(frozen=True)
class Classifier:
    """Gives class scores for images.

    Attributes:
        backbone: A vision host, bare or with an adapter.
        batch_size: Images per forward pass.
    """

    backbone: Backbone
    batch_size: int = 32

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the logits."""
        return class_names(base_model(self.backbone.model))

    def classify(self, images: Sequence[Image]) -> Float[Tensor, "items classes"]:
        """Return one logit per class, float32, on the CPU."""
        encode = self.backbone.processor
        with evaluating(self.backbone.model) as model:
            parts = [
                model(**placed(encode(batch, return_tensors="pt"), model)).logits
                for batch in batched(images, self.batch_size)
            ]
        return torch.cat(parts).float().cpu()


Capabilities = GenerativeModel | ContrastiveModel | Classifier

CAPABILITIES: dict[str, Callable[..., Capabilities]] = {
    "generative": GenerativeModel,
    "contrastive": ContrastiveModel,
    "vision": Classifier,
}
"""By the family of the backbone."""


def capabilities_of(backbone: Backbone, *, batch_size: int = 32) -> Capabilities:
    """Return an object with the capabilities of a backbone.

    Args:
        backbone: Any host, bare or with an adapter.
        batch_size: Rows per forward pass; it changes speed and memory only.
    """
    return CAPABILITIES[backbone.family](backbone, batch_size=batch_size)
