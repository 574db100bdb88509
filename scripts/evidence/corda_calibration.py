"""Covariances that the CorDA study decomposes with, and what ASVD scales columns by."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vlft.adapters.corda.covariance import Covariance, gather, summed

SAMPLES = 256
"""Of a calibration; one forward call each, as the normalizer is per call."""


def layers_of(model: Any) -> dict[str, nn.Linear]:
    """Return the linear layers of all blocks by path: all but the head."""
    return {
        path: layer
        for path, layer in model.named_modules()
        if isinstance(layer, nn.Linear) and path.startswith("model.layers.")
    }


@torch.no_grad()
def covariances(
    model: Any, samples: Int[Tensor, "samples tokens"], paths: Sequence[str]
) -> Mapping[str, Covariance]:
    """Return what layers see of samples, which are all of one length: nothing is padded."""
    model.eval()
    with gather(model, paths) as found:
        for sample in samples:
            model(input_ids=sample[None])
    return summed(found)


@torch.no_grad()
def magnitudes(
    model: Any, samples: Int[Tensor, "samples tokens"], paths: Sequence[str]
) -> dict[str, Float[Tensor, " width"]]:
    """Return the mean magnitude of each input of layers."""
    seen: dict[str, Tensor] = {}

    def watch(path: str) -> Any:
        def see(_layer: nn.Module, args: tuple[Tensor, ...]) -> None:
            seen[path] = args[0].flatten(0, -2).abs().mean(0)

        return see

    layers = layers_of(model)
    handles = [layers[path].register_forward_pre_hook(watch(path)) for path in paths]
    model.eval()
    model(input_ids=samples)
    for handle in handles:
        handle.remove()
    return seen
