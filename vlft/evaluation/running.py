"""A model while it is asked: its mode, its batches, where its inputs and outputs go."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from vlft.backbones.modes import in_eval_mode

Item = TypeVar("Item")


@contextmanager
def evaluating(model: nn.Module) -> Generator[Any]:
    """Run without gradients and dropout; each module gets its own mode back."""
    with in_eval_mode(model), torch.inference_mode():
        yield model


def batched(items: Sequence[Item], size: int) -> Iterator[list[Item]]:
    """Yield consecutive lists of at most ``size`` items."""
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def placed(encoded: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Move inputs to the model's device, and pixels to its type."""
    weight = next(weight for weight in model.parameters() if weight.is_floating_point())
    return {
        name: value.to(weight.device, weight.dtype if value.is_floating_point() else None)
        for name, value in encoded.items()
    }


def unit_length(parts: Sequence[Tensor]) -> Float[Tensor, "items width"]:
    """Join batches of vectors at unit length, in float32, on the CPU."""
    return normalize(torch.cat(list(parts)).float(), dim=-1).cpu()
