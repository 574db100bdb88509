"""Training as all studies have it: AdamW, one cycle of the learning rate, clipped gradients."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


def descent(
    trained: Sequence[nn.Parameter],
    *,
    rate: float,
    steps: int,
    warmup: float = 0.05,
    decay: float = 0.0,
) -> Callable[[Tensor], None]:
    """Return a function that makes one step down a loss.

    Args:
        trained: What is trained.
        rate: Peak of the learning rate.
        steps: How often the function is called.
        warmup: Share of the steps until the peak.
        decay: Weight decay.
    """
    optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=steps, pct_start=warmup
    )

    def step(loss: Tensor) -> None:
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()

    return step
