"""Features of a frozen vision tower in the place of images, before the first step."""

from collections.abc import Callable
from typing import Any

import torch
from accelerate import PartialState
from torch import Tensor

from vlft.data.cached_samples import cached
from vlft.data.fill_features import Processes
from vlft.data.vision_features import vision_features
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

    Every process computes its share of what is missing, and waits for the others.

    Args:
        backbone: With its adapter; the host is made to take features.
        train: Samples to train on.
        validation: Held-out samples, or None.
        device: Where the tower runs.
        say: Prints on the main process.
    """
    features = vision_features(backbone, device)
    state = PartialState()
    processes = Processes(state.process_index, state.num_processes, state.wait_for_everyone)
    found = [
        None if samples is None else cached(samples, features, say=say, processes=processes)
        for samples in (train, validation)
    ]
    return found[0], found[1], features.blank
