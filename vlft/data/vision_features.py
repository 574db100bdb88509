"""Features of a frozen vision tower: what a host's training needs of an image.

They are kept below a folder named by the tower's weights and by what is kept, by a hash of the
image's tensors as the host's processor makes them: other weights, another preprocessing or other
groups are other features.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vlft.adapters.dehvf.features import group_states, is_dehvf
from vlft.adapters.parts import base_model
from vlft.backbones.given_features import llava_features
from vlft.errors import DataError
from vlft.types import Backbone

INPUT = "visual_features"
"""Model input that holds features instead of images."""


@dataclass(frozen=True)
class VisionFeatures:
    """What is kept of an image.

    Attributes:
        tower: The module whose weights decide.
        shape: Of one image's features.
        kind: Plain values that tell this kind from others of the same tower.
        read: Image tensors to features, one row per image.
    """

    tower: Any
    shape: tuple[int, ...]
    kind: dict[str, Any]
    read: Callable[[dict[str, Tensor]], Tensor]


def vision_features(backbone: Backbone) -> VisionFeatures:
    """Return what a host's training needs of an image.

    Args:
        backbone: With its adapter.

    Raises:
        DataError: Its tower is trained, or it is not known how to give it features.
    """
    model: Any = base_model(backbone.model)
    if is_dehvf(backbone.model):
        found = VisionFeatures(*group_states(backbone.model))
    elif model.config.model_type == "llava":
        found = VisionFeatures(*llava_features(model))
    else:
        raise DataError(
            "data.cache_vision_features: this host takes images of many sizes, or vlft does not "
            "know where its features go in; it works with LLaVA hosts, and with adapter.type: dehvf"
        )
    if any(parameter.requires_grad for parameter in found.tower.parameters()):
        raise DataError(
            "data.cache_vision_features: the vision tower is trained (towers.vision, sites in it, "
            "or adapter.vision_adapter_dim), so its features change: leave the cache off"
        )
    return found


def blank_features(features: VisionFeatures) -> dict[str, Tensor]:
    """Return the features of no image, for batches that have none."""
    return {INPUT: torch.zeros(1, *features.shape, dtype=torch.float16)}
