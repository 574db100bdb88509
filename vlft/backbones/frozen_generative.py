"""Frozen vision towers of generative hosts, by family: what the projector or merger gets."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d
from transformers.modeling_outputs import BaseModelOutputWithPooling

from vlft.backbones.frozen_tower import (
    FrozenPatches,
    FrozenTiles,
    FrozenTower,
    Images,
    weight_type,
)
from vlft.backbones.image_tokens import IDEFICS, INTERNVL, QWEN_VL, BySetting, BySize


def _llava(model: Any) -> FrozenTower:
    """Read the layers that the projector gets, class token included (the host leaves it out)."""
    tower, chosen = model.model.vision_tower, model.config.vision_feature_layer
    layers = [chosen] if isinstance(chosen, int) else list(chosen)

    def read(images: Images) -> Tensor:
        pixels = images["pixel_values"].to(weight_type(tower))
        states = tower(pixels, output_hidden_states=True).hidden_states
        return torch.stack([states[layer] for layer in layers], dim=1)

    def output(features: Tensor) -> BaseModelOutputWithPooling:
        return _states(tower, dict(zip(layers, features.unbind(dim=1), strict=True)))

    return FrozenTower(tower, {"layers": layers}, read, output)


def _last_states(model: Any) -> FrozenTower:
    """Read the last states (PaliGemma, Gemma 3)."""
    tower = model.model.vision_tower

    def read(images: Images) -> Tensor:
        return tower(images["pixel_values"].to(weight_type(tower))).last_hidden_state

    return FrozenTower(tower, {"states": "last"}, read, _last)


def _internvl(model: Any) -> FrozenTower:
    """Read the layer that the projector gets, of each tile."""
    tower, layer = model.model.vision_tower, model.config.vision_feature_layer

    def read(images: Images) -> Tensor:
        pixels = images["pixel_values"].to(weight_type(tower))
        result = tower(pixels, output_hidden_states=True)
        return result.last_hidden_state if layer == -1 else result.hidden_states[layer]

    def output(features: Tensor) -> BaseModelOutputWithPooling:
        return _last(features) if layer == -1 else _states(tower, {layer: features})

    assert isinstance(INTERNVL.flexible, BySize)
    tokens_of = INTERNVL.flexible.count
    return FrozenTower(
        tower,
        {"layer": layer},
        read,
        output,
        rows_of=lambda processor, size: tokens_of(processor, size) // processor.image_seq_length,
    )


def _idefics(model: Any) -> FrozenTower:
    """Read the last states of each tile (Idefics3, SmolVLM)."""
    tower, side = model.model.vision_model, model.config.vision_config.patch_size

    def read(images: Images) -> Tensor:
        seen = images["pixel_attention_mask"].float()[:, None]
        patches = max_pool2d(seen, side)[:, 0] > 0  # those that hold a pixel of the image
        pixels = images["pixel_values"].to(weight_type(tower))
        return tower(pixel_values=pixels, patch_attention_mask=patches).last_hidden_state

    def stand_in(features: Tensor) -> Tensor:
        # a host takes tiles of zeros for none
        return features.new_ones(1, len(features), 1, side, side)

    assert isinstance(IDEFICS.flexible, BySetting)
    tokens_of = IDEFICS.flexible.count
    return FrozenTiles(
        tower,
        {"states": "last"},
        read,
        _last,
        stand_in=stand_in,
        rows_of=lambda processor, size: tokens_of(processor, size) // processor.image_seq_len,
    )


def _qwen_vl(model: Any) -> FrozenTower:
    """Read what the merger gets, in the order of its tokens; it stands inside of the tower."""
    tower = model.model.visual
    merger, merged = tower.merger, tower.spatial_merge_size**2

    def read(images: Images) -> Tensor:
        pixels = images["pixel_values"].to(weight_type(tower))
        with _Unmerged(merger, merged):
            return tower(pixels, grid_thw=images["image_grid_thw"]).pooler_output

    def output(features: Tensor) -> BaseModelOutputWithPooling:
        return BaseModelOutputWithPooling(pooler_output=merger(features.flatten(0, 1)))

    assert isinstance(QWEN_VL.flexible, BySize)
    return FrozenPatches(
        tower,
        {"merged": merged},
        read,
        output,
        after=("merger.",),
        rows_of=QWEN_VL.flexible.count,
        kept=("image_grid_thw",),
    )


class _Unmerged:
    """Lets a merger return the states that it would merge, side by side [tokens merged width]."""

    def __init__(self, merger: nn.Module, merged: int) -> None:
        self._merger = merger
        self._merged = merged

    def __enter__(self) -> None:
        self._merger.forward = lambda states: states.unflatten(0, (-1, self._merged))

    def __exit__(self, *error: object) -> None:
        del self._merger.forward


def _last(features: Tensor) -> BaseModelOutputWithPooling:
    return BaseModelOutputWithPooling(last_hidden_state=features)


def _states(tower: Any, layers: dict[int, Tensor]) -> BaseModelOutputWithPooling:
    """Return states of some layers, by their places among all."""
    states: list[Any] = [None] * (tower.config.num_hidden_layers + 1)
    for layer, features in layers.items():
        states[layer] = features
    return BaseModelOutputWithPooling(hidden_states=tuple(states))


GENERATIVE: dict[str, Callable[[Any], FrozenTower]] = {
    "llava": _llava,
    "qwen2_vl": _qwen_vl,
    "qwen2_5_vl": _qwen_vl,
    "idefics3": _idefics,
    "smolvlm": _idefics,
    "paligemma": _last_states,
    "gemma3": _last_states,
    "internvl": _internvl,
}
"""By ``model_type``."""
