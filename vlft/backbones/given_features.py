"""LLaVA hosts that take the features of their vision tower instead of images."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutputWithPooling

from vlft.errors import BackboneError

INPUT = "visual_features"
"""Model input [images tokens width] that holds them."""


def llava_tower(model: Any) -> nn.Module:
    """Return the vision tower of a LLaVA."""
    return model.model.vision_tower


def llava_features(
    model: Any,
) -> tuple[nn.Module, tuple[int, ...], dict[str, Any], Callable[[dict[str, Tensor]], Tensor]]:
    """Return a LLaVA's tower, the shape of an image's features, their kind, and how to read them.

    They are what the projector gets: the states of one layer of the tower.

    Raises:
        BackboneError: The projector gets several layers.
    """
    config, tower = model.config, llava_tower(model)
    layer, strategy = config.vision_feature_layer, config.vision_feature_select_strategy
    if not isinstance(layer, int):
        raise BackboneError(
            f"vision_feature_layer is {layer}: features of several layers are not cached"
        )
    sizes = config.vision_config
    tokens = (sizes.image_size // sizes.patch_size) ** 2
    has_class_token = sizes.model_type == "clip_vision_model"
    dropped = int(strategy == "default")
    shape = (tokens + has_class_token - dropped, sizes.hidden_size)

    def read(images: dict[str, Tensor]) -> Tensor:
        pixels = images["pixel_values"].to(model.dtype)
        states = tower(pixels, output_hidden_states=True).hidden_states[layer]
        return states[:, dropped:]

    return tower, shape, {"layer": layer, "strategy": strategy}, read


def take_features(model: Any) -> Any:
    """Let a LLaVA take ``visual_features`` instead of ``pixel_values``; return the hook's handle.

    Args:
        model: The bare host.
    """
    return model.register_forward_pre_hook(Projected(), with_kwargs=True)


class Projected:
    """Projects features and hands them to the host as those of its own tower."""

    def __call__(self, host: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, Any]:
        """Run before the host's forward pass."""
        features = kwargs.pop(INPUT, None)
        if features is not None:
            projector = host.model.multi_modal_projector
            kind = next(projector.parameters()).dtype
            projected = projector(features.to(kind))
            rows: Any = list(projected.unbind())  # what the host's own encoding gives
            kwargs["mm_encoder_outputs"] = {"image": BaseModelOutputWithPooling(pooler_output=rows)}
        return args, kwargs
