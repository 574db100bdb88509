"""Features of a frozen vision tower in the place of images, before the first step."""

from collections.abc import Callable
from typing import Any

import torch
from accelerate import PartialState
from torch import Tensor

from vlft.adapters.parts import base_model
from vlft.backbones.given_features import take_features
from vlft.data.cached_samples import cached
from vlft.data.vision_features import blank_features, vision_features
from vlft.types import Backbone


def cached_features(
    backbone: Backbone,
    train: Any,
    validation: Any,
    *,
    device: torch.device,
    say: Callable[[str], None],
) -> tuple[Any, Any, dict[str, Tensor]]:
    """Return the data sets with features, and those of the blank image.

    The main process computes what is missing, the others read it then.

    Args:
        backbone: With its adapter; a host of tokens is made to take features.
        train: Samples to train on.
        validation: Held-out samples, or None.
        device: Where the tower runs.
        say: Prints on the main process.
    """
    if backbone.images == "tokens":
        take_features(base_model(backbone.model))
    features = vision_features(backbone)
    features.tower.to(device)
    state = PartialState()
    with state.main_process_first():
        found = [
            None
            if samples is None
            else cached(samples, features, device=device, say=say, computes=state.is_main_process)
            for samples in (train, validation)
        ]
    return found[0], found[1], blank_features(features)
