"""Sums of second moments, one for all layers that had the same inputs.

Query, key and value see one tensor, and so do gate and up: their moment is computed once a call and
held once. Layers share a sum as long as they took part in exactly the same calls; the first call
with only some of them splits it, so that sharing never changes a result.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor


@dataclass(eq=False)
class Group:
    """Layers with a common history.

    Attributes:
        members: Their paths.
        total: Sum of the moments.
        tokens: Tokens seen.
        calls: Calls seen.
    """

    members: set[str]
    total: Float[Tensor, "width width"]
    tokens: int
    calls: int


@dataclass(eq=False)
class Pending:
    """The moment of the latest input, until it is known which layers it belongs to.

    Attributes:
        seen: The input. It is held, so that its memory cannot become another tensor's meanwhile.
        version: Its version counter; None for an inference tensor, which has none.
        is_masked: Whether a mask was applied.
        moment: Its second moment.
        tokens: Tokens in it.
        members: Paths of the layers that it went into.
    """

    seen: Tensor
    version: int | None
    is_masked: bool
    moment: Float[Tensor, "width width"]
    tokens: int
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
    """Sums of moments by group of layers.

    Attributes:
        pending: Moment that is not added yet.
        groups: The group of each layer that saw a token, by path.
    """

    pending: Pending | None = None
    groups: dict[str, Group] = field(default_factory=dict)

    def add(
        self,
        path: str,
        tensor: Tensor,
        *,
        is_masked: bool,
        moment: Callable[[], tuple[Float[Tensor, "width width"], int]],
    ) -> None:
        """Add the input of a layer.

        Args:
            path: The layer.
            tensor: The input, as it was passed.
            is_masked: Whether ``moment`` applies a mask.
            moment: Computes moment and number of tokens; not called when the last input is met
                again.
        """
        if self.pending is not None and self.pending.fits(path, tensor, is_masked=is_masked):
            self.pending.members.add(path)
            return
        self.settle()
        version = None if tensor.is_inference() else tensor._version
        found, tokens = moment()
        if tokens:
            self.pending = Pending(tensor, version, is_masked, found, tokens, {path})

    def settle(self) -> None:
        """Add what is pending to the groups of its layers; split groups that it went through."""
        pending, self.pending = self.pending, None
        if pending is None:
            return
        for group in list(self._touched(pending.members)):
            absent = group.members - pending.members
            if absent:
                self._assign(Group(absent, group.total.clone(), group.tokens, group.calls))
                group.members -= absent
            group.total += pending.moment
            group.tokens += pending.tokens
            group.calls += 1
        fresh = {path for path in pending.members if path not in self.groups}
        if fresh:
            is_sole = len(fresh) == len(pending.members)
            total = pending.moment if is_sole else pending.moment.clone()
            self._assign(Group(fresh, total, pending.tokens, 1))

    def _touched(self, paths: set[str]) -> Iterator[Group]:
        found = {id(self.groups[path]): self.groups[path] for path in paths if path in self.groups}
        yield from found.values()

    def _assign(self, group: Group) -> None:
        self.groups.update(dict.fromkeys(group.members, group))


def _place(tensor: Tensor) -> tuple[object, ...]:
    """Return where a tensor's values are; equal for two tensors that are both alive: one memory."""
    storage = tensor.untyped_storage()._cdata  # the allocation, which views of a tensor share
    return storage, tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype
