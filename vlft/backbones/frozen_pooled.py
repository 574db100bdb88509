"""Frozen vision towers of contrastive and vision hosts: one vector for each image.

It is what the projection to the common space gets, or the head of a classifier.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.swin.modeling_swin import SwinModelOutput

from vlft.backbones.frozen_tower import FrozenTower, Images, weight_type


def _pooled(model: Any) -> FrozenTower:
    """Read the pooled output (CLIP, SigLIP, SigLIP 2)."""
    tower = model.vision_model

    def read(images: Images) -> Tensor:
        pixels = images["pixel_values"].to(weight_type(tower))
        return tower(**{**images, "pixel_values": pixels}).pooler_output

    return FrozenTower(tower, {"states": "pooled"}, read, _as_pooled)


def _open_clip(model: Any) -> FrozenTower:
    """Read what comes before the projection, which stands inside of open_clip's own ViTs."""
    from open_clip.timm_model import TimmModel
    from open_clip.transformer import VisionTransformer

    visual: Any = model.clip.visual
    has_projection = isinstance(visual, VisionTransformer) and visual.proj is not None
    if has_projection:

        def read_before(images: Images) -> Tensor:
            projection, visual.proj = visual.proj, None
            try:
                return visual(images["pixel_values"].to(weight_type(visual)))
            finally:
                visual.proj = projection

        return FrozenTower(
            visual,
            {"states": "before the projection"},
            read_before,
            lambda features: features @ visual.proj,
            stand_in=_as_images,
            after=("proj",),
        )
    tower = visual.trunk if isinstance(visual, TimmModel) else visual

    def read(images: Images) -> Tensor:
        return tower(images["pixel_values"].to(weight_type(tower)))

    return FrozenTower(
        tower, {"states": "pooled"}, read, lambda features: features, stand_in=_as_images
    )


def _vit(model: Any) -> FrozenTower:
    """Read the class token, which is all that the head sees."""
    tower = model.vit

    def read(images: Images) -> Tensor:
        return tower(images["pixel_values"].to(weight_type(tower))).last_hidden_state[:, 0]

    def output(features: Tensor) -> BaseModelOutputWithPooling:
        return BaseModelOutputWithPooling(last_hidden_state=features[:, None])

    return FrozenTower(tower, {"states": "class token"}, read, output)


def _swin(model: Any) -> FrozenTower:
    """Read the pooled output."""
    tower = model.swin

    def read(images: Images) -> Tensor:
        return tower(images["pixel_values"].to(weight_type(tower))).pooler_output

    def output(features: Tensor) -> SwinModelOutput:
        return SwinModelOutput(pooler_output=features)

    return FrozenTower(tower, {"states": "pooled"}, read, output)


def _clip_classifier(model: Any) -> FrozenTower:
    """Read the mean of the patches; given back, it is the class token and the only patch."""
    tower = model.vision_model

    def read(images: Images) -> Tensor:
        states = tower(images["pixel_values"].to(weight_type(tower))).last_hidden_state
        return states[:, 1:].mean(dim=1)

    def output(features: Tensor) -> BaseModelOutputWithPooling:
        return BaseModelOutputWithPooling(last_hidden_state=features[:, None].expand(-1, 2, -1))

    return FrozenTower(tower, {"states": "mean of the patches"}, read, output)


def _as_images(features: Tensor) -> Tensor:
    return features[..., None, None]


def _as_pooled(features: Tensor) -> BaseModelOutputWithPooling:
    return BaseModelOutputWithPooling(pooler_output=features)


CONTRASTIVE: dict[str, Callable[[Any], FrozenTower]] = {
    "clip": _pooled,
    "siglip": _pooled,
    "siglip2": _pooled,
    "open_clip": _open_clip,
}
"""By ``model_type``."""

VISION: dict[str, Callable[[Any], FrozenTower]] = {
    "vit": _vit,
    "swin": _swin,
    "clip": _clip_classifier,
}
"""By ``model_type``."""
