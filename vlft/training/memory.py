"""What a run holds on every process, counted from its parameters.

Weights, gradients and optimizer states are exact, whether the model is real or on the meta device;
activations are not counted here.
"""

from dataclasses import dataclass

from torch import nn

STATES_PER_PARAMETER = {"adamw_torch": 2, "adamw_torch_fused": 2, "sgd": 0, "adafactor": 0}
"""Tensors of a parameter's size and type that an optimizer keeps."""


@dataclass(frozen=True)
class Memory:
    """Bytes on one process without sharding; None where the optimizer's states are not known.

    Attributes:
        weights: All parameters and buffers.
        gradients: One per trained parameter, in its type.
        optimizer_states: As the optimizer keeps them.
    """

    weights: int
    gradients: int
    optimizer_states: int | None


def count_memory(model: nn.Module, *, optim: str) -> Memory:
    """Count the bytes of a model whose trained parameters have ``requires_grad``.

    Args:
        model: With its adapter, on any device.
        optim: Optimizer name of transformers.
    """
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    weights += sum(b.numel() * b.element_size() for b in model.buffers())
    gradients = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    states = STATES_PER_PARAMETER.get(optim)
    return Memory(weights, gradients, None if states is None else states * gradients)
