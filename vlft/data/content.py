"""A checksum over tensors: which content it is, wherever it came from."""

from collections.abc import Mapping
from hashlib import sha256

import torch
from torch import Tensor


def content_key(tensors: Mapping[str, Tensor]) -> str:
    """Return a checksum over tensors on the CPU: names, shapes, types and bits."""
    digest = sha256()
    for name, tensor in sorted(tensors.items(), key=lambda named: named[0]):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype} ".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
