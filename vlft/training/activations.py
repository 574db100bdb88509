"""What a forward pass keeps for the backward pass, measured on a model without weights.

Autograd says itself what it keeps (``torch.autograd.graph.saved_tensors_hooks``), so nothing has to
be known about a model's layers: attention without its matrix, layers whose frozen weights need no
inputs, casts of autocast, dropout masks and LoRA's branches are all as they will be.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten
from torch.utils.hooks import RemovableHandle
from transformers.modeling_layers import GradientCheckpointingLayer

from vlft.adapters.parts import base_model
from vlft.training.fake import FakeWeights
from vlft.types import Backbone, Batch, Objective

LOSS = "loss"
"""Part of what is kept outside of the model."""


@dataclass(frozen=True)
class Activations:
    """Bytes that are kept from forward to backward, for one micro batch on one process.

    Attributes:
        parts: By tower, and ``loss`` for what the loss keeps; they add up to all that is kept.
        checkpointed: The same when blocks keep only their inputs (gradient checkpointing).
        held: What checkpointed blocks hold besides, in the calls that they will repeat: masks and
            position embeddings, which autograd knows nothing of.
        largest_block: What the largest block keeps; under gradient checkpointing one block's worth
            is held while its backward pass runs.
        logits: The model's largest output in 32 bits; the backward pass of the loss makes another.
    """

    parts: Mapping[str, float]
    checkpointed: Mapping[str, float]
    held: float
    largest_block: float
    logits: float

    def kept(self, *, checkpointing: bool) -> float:
        """All that is kept."""
        if checkpointing:
            return sum(self.checkpointed.values()) + self.held
        return sum(self.parts.values())

    def scaled(self, other: "Activations", *, to: int) -> "Activations":
        """Return those of ``to`` samples, from this of one sample and another of two."""

        def at(one: float, two: float) -> float:
            return one + (two - one) * (to - 1)

        def each(one: Mapping[str, float], two: Mapping[str, float]) -> dict[str, float]:
            return {name: at(one[name], two[name]) for name in one}

        return Activations(
            each(self.parts, other.parts),
            each(self.checkpointed, other.checkpointed),
            at(self.held, other.held),
            at(self.largest_block, other.largest_block),
            at(self.logits, other.logits),
        )


class ActivationMeter:
    """Counts what autograd keeps of a model on the meta device, for any number of batches.

    Args:
        backbone: With its adapter applied; what is trained has ``requires_grad``. Its parameters
            become fake ones.
        objective: The loss.
        autocast: Type of the arithmetic, or None without autocast.
    """

    def __init__(
        self, backbone: Backbone, objective: Objective, *, autocast: torch.dtype | None
    ) -> None:
        self._mode = FakeWeights()
        self._mode.model(backbone.model)
        self._backbone = backbone
        self._objective = objective
        self._autocast = autocast

    def measure(self, batch: Batch) -> Activations:
        """Run forward and loss on real inputs without computing them, and count."""
        with self._mode:
            return saved_activations(
                self._backbone, self._objective, batch, autocast=self._autocast
            )


def saved_activations(
    backbone: Backbone, objective: Objective, batch: Batch, *, autocast: torch.dtype | None
) -> Activations:
    """Run forward and loss, and count the distinct storages that autograd keeps.

    Weights and buffers are not counted. A model that is set to checkpoint its blocks keeps what
    ``checkpointed`` says of one that is not.

    Args:
        backbone: A model on the CPU, or a fake one within its mode.
        objective: The loss.
        batch: Inputs.
        autocast: Type of the arithmetic, or None without autocast.
    """
    model = backbone.model.train()
    kept = Kept(own={_storage(tensor) for tensor in (*model.parameters(), *model.buffers())})
    with (
        kept.watching(backbone),
        torch.autograd.graph.saved_tensors_hooks(kept.pack, _same),
        torch.autocast("cpu", dtype=autocast, enabled=autocast is not None),
    ):
        outputs = objective.forward(model, batch)
        objective.loss(outputs, batch, None)
    logits = max(tensor.numel() for tensor in outputs.values())
    names = (*backbone.towers, LOSS)
    return Activations(
        {name: float(kept.parts[name]) for name in names},
        {name: float(kept.checkpointed[name]) for name in names},
        float(kept.held.total()),
        float(max(kept.blocks.values(), default=0)),
        4.0 * logits,
    )


@dataclass
class Kept:
    """Counts storages as autograd keeps them.

    Attributes:
        own: Storages of weights and buffers.
        parts: Bytes by tower.
        checkpointed: Bytes by tower, of what is kept outside of blocks and of what goes into them.
        held: Bytes by tower, of what else blocks are called with.
        blocks: Bytes by block.
    """

    own: set[int]
    parts: Counter[str] = field(default_factory=Counter)
    checkpointed: Counter[str] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)
    blocks: Counter[str] = field(default_factory=Counter)
    _seen: dict[int, Tensor] = field(default_factory=dict)
    _outside: dict[int, Tensor] = field(default_factory=dict)
    _towers: list[str] = field(default_factory=list)
    _running: list[str] = field(default_factory=list)

    def pack(self, tensor: Tensor) -> Tensor:
        """Count a tensor that autograd keeps."""
        self._count(tensor, self._seen, self.parts)
        if not self._running:
            self._count(tensor, self._outside, self.checkpointed)
        return tensor

    def _count(self, tensor: Tensor, seen: dict[int, Tensor], total: Counter[str]) -> None:
        storage = _storage(tensor)
        if storage in self.own or storage in seen:
            return
        seen[storage] = tensor  # while it is held, no other storage gets its address
        size = tensor.untyped_storage().nbytes()
        total[self._towers[-1] if self._towers else LOSS] += size
        if total is self.parts and self._running:
            self.blocks[self._running[0]] += size

    @contextmanager
    def watching(self, backbone: Backbone) -> Iterator[None]:
        """Follow which tower and which block runs."""
        host = base_model(backbone.model)
        blocks = _checkpointed_blocks(host, backbone.sites)
        handles = []
        for path, module in host.named_modules():
            tower = _tower_of_root(backbone, path)
            if tower is not None:
                handles += _follow(module, self._towers, tower)
            if path in blocks:
                handles.append(module.register_forward_pre_hook(self._enter, with_kwargs=True))
                handles += _follow(module, self._running, path)
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, module: nn.Module, inputs: Any, options: Any) -> None:
        """Count what a checkpointed block would keep."""
        if self._running:  # a block within a block is not checkpointed on its own
            return
        for values, total in ((inputs, self.checkpointed), (options, self.held)):
            for value in tree_flatten(values)[0]:
                if isinstance(value, Tensor):
                    self._count(value, self._outside, total)


def _follow(module: nn.Module, stack: list[str], name: str) -> list[RemovableHandle]:
    def enter(module: nn.Module, inputs: object) -> None:
        stack.append(name)

    def leave(module: nn.Module, inputs: object, output: object) -> None:
        stack.pop()

    return [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]


def _tower_of_root(backbone: Backbone, path: str) -> str | None:
    """Return the tower that a module is the root of."""
    for tower, prefixes in backbone.towers.items():
        if any(path == prefix.rstrip(".") for prefix in prefixes):
            return tower
    return None


def _checkpointed_blocks(host: nn.Module, sites: Mapping[str, str]) -> set[str]:
    """Return the blocks that gradient checkpointing recomputes, by path.

    transformers marks them by their class; in other libraries they are the host's blocks.
    """
    named = dict(host.named_modules())
    marked = {path for path, m in named.items() if isinstance(m, GradientCheckpointingLayer)}
    patterns = [pattern for site, pattern in sites.items() if site.endswith(".block")]
    return marked or {p for p in named if any(re.fullmatch(pattern, p) for pattern in patterns)}


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _same(tensor: Tensor) -> Tensor:
    return tensor
