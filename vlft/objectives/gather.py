"""All ranks' rows in one tensor, with the gradient that makes two ranks equal one."""

from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor


class _Gather(torch.autograd.Function):
    """Concatenate over ranks; backward sums what every rank's loss says about our rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.size = rows.shape[0]
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)  # gloo has no reduce_scatter
        start = dist.get_rank() * ctx.size
        return total[start : start + ctx.size]


def gather_rows(rows: Float[Tensor, "rows width"]) -> Float[Tensor, "all_rows width"]:
    """Return the rows of all ranks in rank order; every rank must bring the same number.

    Each rank's loss depends on the rows of all. The gradient for local rows is therefore the sum
    of what all ranks' losses say about them; data parallelism then averages over ranks, which gives
    the gradient of the mean of the ranks' losses, as on one rank with the joined batch. In a single
    process the rows come back as they are.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return rows
    return _Gather.apply(rows)


def first_row(rows: Tensor) -> int:
    """Return the index that this rank's first row has among all gathered rows."""
    if not (dist.is_available() and dist.is_initialized()):
        return 0
    return dist.get_rank() * rows.shape[0]
