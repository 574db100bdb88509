"""A checksum over weights: which model it is, whatever it is called."""

from hashlib import sha256

import torch
from torch import nn


def fingerprint(model: nn.Module, *, leave_out: tuple[str, ...] = ()) -> str:
    """Return a checksum over every weight, as it is stored: name, shape, type and bits.

    Sums of the bits of ``BLOCK`` words each are hashed: these tell models apart, and do not guard
    against somebody who wants to deceive. Reads every weight once, where it lies.

    Args:
        model: Any module.
        leave_out: Prefixes of names of weights that do not count.
    """
    digest = sha256()
    weights = [*model.named_parameters(), *model.named_buffers()]
    for name, weight in sorted(weights, key=lambda named: named[0]):
        if name.startswith(leave_out):
            continue
        digest.update(f"{name} {tuple(weight.shape)} {weight.dtype} ".encode())
        stored = weight.detach().contiguous().flatten().view(torch.uint8)
        whole = len(stored) // (4 * BLOCK) * (4 * BLOCK)
        blocks = stored[:whole].view(torch.int32).unflatten(0, (-1, BLOCK))
        digest.update(blocks.sum(dim=1, dtype=torch.int64).cpu().numpy().tobytes())
        digest.update(stored[whole:].cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


BLOCK = 1024
"""Words of 32 bits that are summed."""
