"""Second moments of the inputs of linear layers, gathered by hooks while a model runs.

CorDA (arXiv 2406.05223, section 3.2) weighs a layer's directions by ``C = X X^T`` of what enters it
on calibration data, uncentered. Here an input may have any shape: its last axis is the layer's
width, all others are tokens.

    with gather(model, paths) as found:
        for batch in batches:
            with found.mask(batch["attention_mask"], within=language_prefixes):
                model(**batch)
    covariances = summed(found)
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.distributed as dist
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from vlft.adapters.corda.sharing import Sums
from vlft.errors import AdapterError

Normalizer = Literal["corda", "absmax", "none"]
"""What each call's input is divided by.

``corda``: the magnitude of its largest signed value, as the authors' code does; ``absmax``: its
largest magnitude; ``none``: nothing, so that calls count by their own scale.
"""

LINEAR: tuple[type[nn.Module], ...] = (nn.Linear, Conv1D)
"""Layers that can be decomposed."""


@dataclass(frozen=True, eq=False)
class Covariance:
    """What a layer saw. Layers that saw the same hold the same object.

    Attributes:
        total: Sum of ``x x^T`` over tokens, each call by its own normalizer.
        tokens: Tokens seen, without masked ones.
        calls: Forward calls with at least one token.
        normalizer: How calls were normalized.
    """

    total: Float[Tensor, "width width"]
    tokens: int
    calls: int
    normalizer: Normalizer

    def mean(self) -> Float[Tensor, "width width"]:
        """Return the matrix that weights are decomposed with.

        With ``corda`` the mean over calls, as PEFT has it; otherwise the mean over tokens, which
        does not depend on how samples were batched. The scale leaves the product ``B A`` alone and
        only moves weight between ``A`` and ``B``.
        """
        return self.total / (self.calls if self.normalizer == "corda" else self.tokens)


@dataclass(frozen=True, eq=False)
class Mask:
    """Which tokens of the current batch count.

    Attributes:
        shape: Batch size and length.
        kept: Positions of the tokens that count, in the flattened batch.
        within: Prefixes of the layers that it is meant for.
    """

    shape: torch.Size
    kept: Int[Tensor, " kept"]
    within: tuple[str, ...]

    def fits(self, path: str, tokens: torch.Size) -> bool:
        """Say whether a layer's input, of this shape without its last axis, is of this batch."""
        count = self.shape.numel()
        is_flat = tokens.numel() == count and max(tokens, default=1) == count
        return path.startswith(self.within) and (tokens == self.shape or is_flat)


class Found:
    """What hooks have gathered; ``gather`` makes it.

    Args:
        widths: Input width of every hooked layer, in module order.
        normalizer: See ``Normalizer``.
        dtype: Of products and sums.
        device: Where sums are kept; None is where the layer's input is.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        *,
        normalizer: Normalizer,
        dtype: torch.dtype,
        device: torch.device | None,
    ) -> None:
        self.widths = dict(widths)
        self.normalizer: Normalizer = normalizer
        self.dtype = dtype
        self.device = device
        self.sums = Sums(device)
        self._mask: Mask | None = None

    @contextmanager
    def mask(
        self, mask: Shaped[Tensor, "batch tokens"], *, within: tuple[str, ...] = ("",)
    ) -> Iterator[None]:
        """Leave tokens out of the calls made inside, such as padding.

        A mask is applied to an input whose axes, without the last, are the mask's, or one axis of
        as many tokens as the mask has. Any other input is counted whole: a vision tower's patches,
        the windows of Swin, the few positions whose logits are needed. Where a tower could have
        such a shape by chance, ``within`` keeps the mask out of it.

        Args:
            mask: Nonzero or true where a token counts.
            within: Prefixes of paths; a mask is applied to layers below them only.
        """
        self.sums.settle()
        self._mask = Mask(mask.shape, mask.flatten().nonzero().flatten(), within)
        try:
            yield
        finally:
            self.sums.settle()
            self._mask = None

    @property
    def covariances(self) -> dict[str, Covariance]:
        """What each layer saw, in module order, without those that saw no token.

        Read it when ``gather`` has ended: before, sums may still grow.
        """
        self.sums.settle()
        records = {
            id(group): Covariance(group.moment(), group.tokens, group.calls, self.normalizer)
            for group in set(self.sums.groups.values())
        }
        groups = self.sums.groups
        return {path: records[id(groups[path])] for path in self.widths if path in groups}

    @property
    def unseen(self) -> tuple[str, ...]:
        """Layers that saw no token in this process."""
        self.sums.settle()
        return tuple(path for path in self.widths if path not in self.sums.groups)

    def see(self, path: str, tensor: Float[Tensor, "*tokens width"]) -> None:
        """Add the input of a call of a layer."""
        shape = tensor.shape[:-1]
        mask = self._mask if self._mask is not None and self._mask.fits(path, shape) else None

        def rows() -> Float[Tensor, "kept width"]:
            found = tensor.detach().reshape(-1, tensor.shape[-1])
            if mask is not None:
                found = found.index_select(0, mask.kept.to(found.device))
            return normalized(found, self.normalizer, dtype=self.dtype)

        self.sums.add(path, tensor, is_masked=mask is not None, rows=rows)


@dataclass(eq=False)
class Watch:
    """A forward pre-hook: shows a layer's input to ``found``."""

    found: Found
    path: str

    def __call__(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Run before the layer; its input is the first tensor, by position or by name."""
        tensors = (one for one in (*args, *kwargs.values()) if isinstance(one, Tensor))
        with torch.inference_mode(False), torch.no_grad():  # sums outlive the caller's mode
            self.found.see(self.path, next(tensors))


@contextmanager
def gather(
    model: nn.Module,
    paths: Sequence[str],
    *,
    normalizer: Normalizer = "corda",
    dtype: torch.dtype = torch.float32,
    device: torch.device | None = None,
) -> Iterator[Found]:
    """Watch the inputs of linear layers while the model is called inside.

    Run the model in ``eval`` mode under ``torch.no_grad``. Under ``torch.inference_mode`` results
    are the same, but layers with a common input hold and compute their moments apart.

    Args:
        model: Its layers are hooked, and only for as long as the context lasts.
        paths: The layers, in module order.
        normalizer: See ``Normalizer``.
        dtype: float32, or float64; lower precision would lose small terms of long sums.
        device: Where sums are kept, for instance the CPU; None is where the layer's input is.

    Raises:
        AdapterError: A path is no linear layer; at the end, a layer saw NaN or infinity.
    """
    assert dtype in (torch.float32, torch.float64)
    layers = {path: model.get_submodule(path) for path in paths}
    found = Found(
        {path: shape_of(path, layer)[1] for path, layer in layers.items()},
        normalizer=normalizer,
        dtype=dtype,
        device=device,
    )
    handles = [
        layer.register_forward_pre_hook(Watch(found, path), with_kwargs=True)
        for path, layer in layers.items()
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
        found.sums.settle()
    for path, covariance in found.covariances.items():
        if not covariance.total.diagonal().isfinite().all():
            raise AdapterError(
                f"adapter: {path} saw NaN or infinity in the calibration data; calibrate in "
                "bfloat16 or float32, and look at the data"
            )


def normalized(
    rows: Float[Tensor, "tokens width"], normalizer: Normalizer, *, dtype: torch.dtype
) -> Float[Tensor, "tokens width"]:
    """Return a copy of a call's tokens, divided by the call's normalizer.

    The authors' normalizer is the magnitude of the largest *signed* value. Where that is zero they
    divide by zero; here the largest magnitude takes its place, and an input of zeros stays as it
    is.
    """
    rows = rows.to(dtype, copy=True)
    if normalizer == "none" or not rows.shape[0]:
        return rows
    lowest, highest = rows.aminmax()
    magnitude = torch.maximum(-lowest, highest)
    largest = magnitude if normalizer == "absmax" else highest.abs()
    largest = torch.where(largest == 0, magnitude, largest)
    return rows.div_(torch.where(largest == 0, 1.0, largest))


def groups(covariances: Mapping[str, Covariance]) -> tuple[tuple[str, ...], ...]:
    """Return which layers share a covariance, in module order."""
    found: dict[int, list[str]] = {}
    for path, covariance in covariances.items():
        found.setdefault(id(covariance), []).append(path)
    return tuple(tuple(paths) for paths in found.values())


def processes() -> tuple[int, int]:
    """Return the number of this process, and how many there are."""
    if not (dist.is_available() and dist.is_initialized()):
        return 0, 1
    return dist.get_rank(), dist.get_world_size()


def summed(found: Found) -> dict[str, Covariance]:
    """Return the covariances over all processes; those of this one where there is one only.

    Every process must call it. Layers share a covariance where they do in every process; a layer
    is missing where no process has seen a token of it. Sums of ``found`` may be reused.
    """
    mine = found.covariances
    _, world = processes()
    if world == 1:
        return mine
    places = {path: place for place, shared in enumerate(groups(mine)) for path in shared}
    sent = {path: (places[path], one.tokens, one.calls) for path, one in mine.items()}
    theirs: list[dict[str, tuple[int, int, int]]] = [{} for _ in range(world)]
    dist.all_gather_object(theirs, sent)
    together: dict[tuple[int | None, ...], list[str]] = {}
    for path in found.widths:
        key = tuple(one[path][0] if path in one else None for one in theirs)
        if key.count(None) < len(key):
            together.setdefault(key, []).append(path)
    records = {}
    for paths in together.values():
        first = paths[0]
        seen = [one[first] for one in theirs if first in one]
        total = _reduced(mine.get(first), found, found.widths[first])
        tokens, calls = sum(one[1] for one in seen), sum(one[2] for one in seen)
        records.update(dict.fromkeys(paths, Covariance(total, tokens, calls, found.normalizer)))
    return {path: records[path] for path in found.widths if path in records}


def _reduced(mine: Covariance | None, found: Found, width: int) -> Float[Tensor, "width width"]:
    """Return the sum of one group over processes, wherever the backend can compute it."""
    on = torch.device("cuda") if dist.get_backend() == "nccl" else torch.device("cpu")
    home = found.device or (on if mine is None else mine.total.device)
    if mine is None:
        total = torch.zeros(width, width, dtype=found.dtype, device=on)
    else:
        total = mine.total.to(on, copy=True)
    dist.all_reduce(total)
    return total.to(home)


def shape_of(path: str, layer: nn.Module) -> tuple[int, int]:
    """Return outputs and inputs of a linear layer.

    Raises:
        AdapterError: It is no linear layer.
    """
    if isinstance(layer, nn.Linear):
        return layer.out_features, layer.in_features
    if isinstance(layer, Conv1D):
        return layer.nf, layer.nx
    raise AdapterError(
        f"adapter: corda cannot decompose {path!r} ({type(layer).__name__}); it takes "
        + ", ".join(kind.__name__ for kind in LINEAR)
    )
