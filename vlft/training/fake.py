"""Run a model for its shapes alone: weights, and all that comes of them, are fake; inputs are real.

Models decide by the values of their inputs (which tokens are images, how large a grid is, which
tiles are padding), never by those of weights. So a forward pass whose weights have shape, type and
autograd but no storage takes the very path of the real one, at any size and on any machine.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_unflatten


class FakeWeights(TorchDispatchMode):
    """Operations with a fake argument give fake results; all others are computed."""

    def __init__(self) -> None:
        super().__init__()
        self.fake = FakeTensorMode(allow_non_fake_inputs=True)

    def model(self, model: nn.Module) -> nn.Module:
        """Give a model on the meta device fake parameters and buffers on the CPU, in place."""
        with self.fake:
            return model.to_empty(device="cpu")

    def __torch_dispatch__(
        self,
        func: Any,
        types: tuple[type, ...],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Compute an operation, or infer the shape of its result."""
        del types
        kwargs = kwargs or {}
        flat, spec = tree_flatten((args, kwargs))
        if not any(isinstance(value, FakeTensor) for value in flat):
            return func(*args, **kwargs)
        if func is torch.ops.aten.index.Tensor:  # a real mask says how many it selects
            args = (args[0], _positions(args[1]))
            flat, spec = tree_flatten((args, kwargs))
        faked = [self._fake_argument(value) for value in flat]
        args, kwargs = tree_unflatten(faked, spec)
        with self.fake:
            return func(*args, **kwargs)

    def _fake_argument(self, value: Any) -> Any:
        real = isinstance(value, Tensor) and not isinstance(value, FakeTensor)
        return self.fake.from_tensor(value) if real else value


def _positions(indices: list[Tensor | None]) -> list[Tensor | None]:
    """Replace boolean masks by the positions that they select."""
    positions: list[Tensor | None] = []
    for index in indices:
        masks = index is not None and index.dtype == torch.bool
        if index is not None and masks and not isinstance(index, FakeTensor):
            positions.extend(index.nonzero(as_tuple=True))
        else:
            positions.append(index)
    return positions
