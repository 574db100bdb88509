"""Layers and activations for CorDA: spectra that decay as those of trained networks do."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

Draw = Callable[..., Tensor]


@pytest.fixture
def draw() -> Draw:
    """Draw numbers in float64, the same in every test."""
    generator = torch.Generator().manual_seed(7)

    def normal(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    return normal


@pytest.fixture
def decaying(draw: Draw) -> Callable[[int, int], Tensor]:
    """Draw tokens whose directions carry from 1 down to 1/100."""

    def tokens(count: int, width: int) -> Tensor:
        rotation = torch.linalg.qr(draw(width, width)).Q
        return draw(count, width) * torch.logspace(0, -2, width, dtype=torch.float64) @ rotation

    return tokens
