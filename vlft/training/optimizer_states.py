"""What optimizers keep per trained parameter, in bytes, by transformers' name for them.

Read from the optimizers' sources and held against their real tensors in the tests: torch 2.15
(``torch.optim``), transformers 5.23 (``Adafactor``), bitsandbytes 0.50 (blocks of 256 values with
one 32-bit constant each; tensors under 4096 elements stay in 32 bits).
"""

from collections.abc import Callable, Iterable
from math import prod

from torch import nn

BLOCK = 256
"""Values that share a constant in an 8-bit state."""
SMALLEST = 4096
"""Elements from which a tensor's state is kept in 8 bits."""
STEP = 4
"""torch counts each parameter's steps in a 32-bit tensor of its own."""


def _own_type(states: int) -> Callable[[nn.Parameter], int]:
    """States of the parameter's size and type."""
    return lambda p: states * p.numel() * p.element_size() + STEP


def _in_32_bits(states: int) -> Callable[[nn.Parameter], int]:
    return lambda p: states * p.numel() * 4


def _in_8_bits(states: int) -> Callable[[nn.Parameter], int]:
    def count(p: nn.Parameter) -> int:
        if p.numel() < SMALLEST:
            return states * p.numel() * 4
        return states * (p.numel() + 4 * -(-p.numel() // BLOCK))

    return count


def _factored(p: nn.Parameter) -> int:
    """Adafactor's row and column means (arXiv 1804.04235), and the root mean square."""
    if p.ndim < 2:
        return 4 * p.numel() + 4
    *outer, rows, columns = p.shape
    return 4 * prod(outer) * (rows + columns) + 4


def _nothing(p: nn.Parameter) -> int:
    return 0


STATES: dict[str, Callable[[nn.Parameter], int]] = {
    "adamw_torch": _own_type(2),
    "adamw_torch_fused": _own_type(2),
    "adagrad": _own_type(1),
    "sgd": _nothing,
    "adafactor": _factored,
    "adamw_bnb_8bit": _in_8_bits(2),
    "adamw_8bit": _in_8_bits(2),
    "paged_adamw_8bit": _in_8_bits(2),
    "paged_adamw_32bit": _in_32_bits(2),
    "lion_8bit": _in_8_bits(1),
    "lion_32bit": _in_32_bits(1),
    "paged_lion_8bit": _in_8_bits(1),
    "paged_lion_32bit": _in_32_bits(1),
    "lomo": _nothing,
}
"""Bytes that an optimizer keeps for one parameter; the paged ones may keep them in host memory."""

NO_GRADIENTS = ("lomo", "adalomo")
"""Optimizers that update each parameter in the backward pass and drop its gradient at once."""


def state_bytes(parameters: Iterable[nn.Parameter], optim: str) -> int | None:
    """Return the bytes of an optimizer's states; None where they are not known.

    Args:
        parameters: What is trained, on any device.
        optim: Optimizer name of transformers.
    """
    count = STATES.get(optim)
    return None if count is None else sum(count(parameter) for parameter in parameters)
