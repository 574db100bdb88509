"""Sums of second moments, one for all layers that had the same inputs.

Query, key and value see one tensor, and so do gate and up: their moment is computed once a call and
held once. Layers share a sum as long as they took part in exactly the same calls; the first call
with only some of them splits it, so that sharing never changes a result.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

TOKENS = 512
"""Tokens that wait for others before they are multiplied: short calls would be slow alone."""

PANEL = 512
"""Rows of a product that are computed at once; what lies left of their square mirrors others."""


@dataclass(eq=False)
class Group:
    """Layers with a common history.

    Attributes:
        members: Their paths.
        total: Sum of ``x x^T`` over tokens, the rest in ``waiting``; the part below the diagonal
            is filled in by ``moment``.
        tokens: Tokens seen.
        calls: Calls seen.
        waiting: Tokens that are not multiplied yet.
    """

    members: set[str]
    total: Float[Tensor, "width width"]
    tokens: int = 0
    calls: int = 0
    waiting: list[Float[Tensor, "_ width"]] = field(default_factory=list)

    def split(self, members: set[str]) -> "Group":
        """Take some members out, with a history of their own from now on."""
        self.members -= members
        return Group(members, self.total.clone(), self.tokens, self.calls, list(self.waiting))

    def add(self, rows: Float[Tensor, "tokens width"]) -> None:
        """Add the tokens of a call."""
        self.tokens += rows.shape[0]
        self.calls += 1
        self.waiting.append(rows)
        if sum(one.shape[0] for one in self.waiting) >= TOKENS:
            self.multiply()

    def multiply(self) -> None:
        """Add to the sum what is waiting."""
        if not self.waiting:
            return
        rows = torch.cat(self.waiting) if len(self.waiting) > 1 else self.waiting[0]
        self.waiting = []
        with _exact(rows.device.type):
            if rows.device != self.total.device:
                self.total += (rows.mT @ rows).to(self.total.device)
                return
            for start in range(0, rows.shape[1], PANEL):
                panel = rows[:, start : start + PANEL]
                self.total[start : start + PANEL, start:].addmm_(panel.mT, rows[:, start:])

    def moment(self) -> Float[Tensor, "width width"]:
        """Return the whole sum; it goes on with later calls."""
        self.multiply()
        for start in range(0, self.total.shape[0], PANEL):
            end = start + PANEL
            self.total[end:, start:end] = self.total[start:end, end:].mT
        return self.total


@dataclass(eq=False)
class Pending:
    """The latest input, until it is known which layers it went into.

    Attributes:
        seen: The input. It is held, so that its memory cannot become another tensor's meanwhile.
        version: Its version counter; None for an inference tensor, which has none.
        is_masked: Whether a mask was applied.
        rows: Its tokens, a copy.
        members: Paths of the layers.
    """

    seen: Tensor
    version: int | None
    is_masked: bool
    rows: Float[Tensor, "tokens width"]
    members: set[str]

    def fits(self, path: str, tensor: Tensor, *, is_masked: bool) -> bool:
        """Say whether a layer's input is this one: the same memory, not written to since."""
        return (
            self.version is not None
            and path not in self.members  # a module that is called twice counts twice
            and is_masked == self.is_masked
            and not tensor.is_inference()
            and tensor._version == self.version
            and _place(tensor) == _place(self.seen)
        )


@dataclass(eq=False)
class Sums:
    """Sums by group of layers.

    Attributes:
        device: Where sums are kept; None is where the tokens are.
        pending: Input that is not added yet.
        groups: The group of each layer that saw a token, by path.
    """

    device: torch.device | None
    pending: Pending | None = None
    groups: dict[str, Group] = field(default_factory=dict)

    def add(
        self,
        path: str,
        tensor: Tensor,
        *,
        is_masked: bool,
        rows: Callable[[], Float[Tensor, "tokens width"]],
    ) -> None:
        """Add the input of a layer.

        Args:
            path: The layer.
            tensor: The input, as it was passed.
            is_masked: Whether ``rows`` applies a mask.
            rows: Copies its tokens; not called when the last input is met again.
        """
        if self.pending is not None and self.pending.fits(path, tensor, is_masked=is_masked):
            self.pending.members.add(path)
            return
        self.settle()
        found = rows()
        if found.shape[0]:
            version = None if tensor.is_inference() else tensor._version
            self.pending = Pending(tensor, version, is_masked, found, {path})

    def settle(self) -> None:
        """Add what is pending to the groups of its layers; split those that it went through."""
        pending, self.pending = self.pending, None
        if pending is None:
            return
        members, rows = pending.members, pending.rows
        for group in self._known(members):
            absent = group.members - members
            if absent:
                self._assign(group.split(absent))
            group.add(rows)
        fresh = {path for path in members if path not in self.groups}
        if fresh:
            width = rows.shape[1]
            total = rows.new_zeros(width, width, device=self.device or rows.device)
            group = Group(fresh, total)
            group.add(rows)
            self._assign(group)

    def _known(self, paths: set[str]) -> list[Group]:
        found = {id(self.groups[path]): self.groups[path] for path in paths if path in self.groups}
        return list(found.values())

    def _assign(self, group: Group) -> None:
        self.groups.update(dict.fromkeys(group.members, group))


def _place(tensor: Tensor) -> tuple[object, ...]:
    """Return where a tensor's values are; equal for two tensors that are both alive: one memory."""
    storage = tensor.untyped_storage()._cdata  # the allocation, which views of a tensor share
    return storage, tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype


@contextmanager
def _exact(device: str) -> Iterator[None]:
    """Compute products of float32 in float32, whatever autocast and TF32 say outside."""
    backends: Any = torch.backends  # it makes some of its attributes at run time
    settings = (backends.cuda.matmul, backends.mkldnn.matmul)
    before = [one.fp32_precision for one in settings]
    for one in settings:
        one.fp32_precision = "ieee"
    try:
        with torch.autocast(device, enabled=False):
            yield
    finally:
        for one, precision in zip(settings, before, strict=True):
            one.fp32_precision = precision
