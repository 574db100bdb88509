"""What DEHVF reads of an image, apart from the forward pass: for a cache."""

from collections.abc import Callable
from typing import Any, TypeGuard

import torch
from peft import PeftModel
from torch import Tensor, nn

from vlft.adapters.dehvf.config import NAME
from vlft.adapters.dehvf.images import vision_states


def is_dehvf(model: nn.Module) -> TypeGuard[PeftModel]:
    """Whether a model has a DEHVF adapter."""
    return isinstance(model, PeftModel) and model.peft_config["default"].peft_type == NAME


def group_states(
    model: PeftModel,
) -> tuple[nn.Module, dict[str, Any], Callable[[dict[str, Tensor]], Tensor]]:
    """Return the tower, the kind of an image's states, and how to read them.

    The summary of each group stands before its patches, as ``visual_features`` holds them.
    """
    host: Any = model.get_base_model()
    config: Any = model.peft_config["default"]
    tower = host.get_submodule(config.vision_tower)

    def read(images: dict[str, Tensor]) -> Tensor:
        states = vision_states(host, config, images, torch.float32)
        return torch.cat([states.summaries[:, :, None], states.patches], dim=2)

    return tower, {"groups": config.used_groups, "patches": config.num_patches}, read
