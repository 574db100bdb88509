"""Hooks of a host: images leave its inputs, and memory comes into its layers.

    host(input_ids, pixel_values, image_slots)
      pre-hook of the host      takes the images out of the inputs, runs tower and fuser: memory
      pre-hook of each layer    hands the memory to the layer, as one of its arguments
      pre-hook of its attention takes it out again and hands it to the network beside it

The way through the layer's arguments makes gradient checkpointing right: they are what a layer is
run again with. ``generate`` encodes images itself, ahead of the first forward pass; so the host's
is replaced by one that builds the memory first and holds it until the answer is complete.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from vlft.adapters.dehvf.images import build, require_no_placeholders, rows_of, taken_from
from vlft.adapters.dehvf.layers import MemoryMLP, SharedNet
from vlft.adapters.dehvf.passing import Memories, Passing
from vlft.errors import AdapterError

SHARED = "vlft_dehvf"
"""Name of the shared part on the host."""

ARGUMENT = "vlft_dehvf_memories"
"""Argument of a layer that its attention takes out again."""


@dataclass(eq=False)
class Calls:
    """What happens between the host's hooks; nothing outlives the call that it belongs to.

    Attributes:
        now: Memories of the calls that run now, one in each thread.
        handles: Hooks, to take them off again.
    """

    now: Passing = field(default_factory=Passing)
    handles: list[Any] = field(default_factory=list)

    @contextmanager
    def holding(self, memories: Memories) -> Iterator[None]:
        """Let every forward pass of this thread read the same memories."""
        before, self.now.held = self.now.held, memories
        try:
            yield
        finally:
            self.now.held = before


# Hooks are objects and no closures, so that a copied model has hooks of its own.


@dataclass(eq=False)
class HandOver:
    """Adds the memories of the call to a layer's arguments."""

    calls: Calls

    def __call__(self, layer: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, Any]:
        """Run before the layer, and outside of what checkpointing runs again."""
        _refuse_reentrant(layer)
        return args, {**kwargs, ARGUMENT: self.calls.now.memories}


@dataclass(eq=False)
class Take:
    """Takes the memories out of an attention's arguments, for the network beside it."""

    mlp: MemoryMLP

    def __call__(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, Any]:
        """Run before the attention, again when its layer is run again."""
        self.mlp.receive(kwargs.pop(ARGUMENT, {}))
        return args, kwargs


@dataclass(eq=False)
class TakeImages:
    """Takes images out of a host's inputs and makes memories of them."""

    shared: SharedNet
    calls: Calls

    def __call__(self, host: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, Any]:
        """Run before the host's forward pass."""
        if self.shared.disable_adapters:
            _drop_beside(kwargs)
            return args, kwargs
        taken, rows, now = taken_from(kwargs), rows_of(args, kwargs), self.calls.now
        if now.held is None:
            mask = kwargs.get("attention_mask")
            now.memories = build(host, self.shared, taken, rows=rows, mask=mask)
        else:
            if rows is not None:
                now.held = {name: one.rows(rows) for name, one in now.held.items()}
            now.memories = now.held
        return args, kwargs


@dataclass(eq=False)
class Forget:
    """Ends a call, also one that fails."""

    calls: Calls

    def __call__(self, host: nn.Module, args: Any, output: Any) -> None:
        """Run after the host's forward pass."""
        self.calls.now.memories = {}


@dataclass(eq=False)
class Generate:
    """A host's ``generate`` that makes the memories once and holds them until it ends."""

    host: nn.Module
    shared: SharedNet
    calls: Calls
    original: Callable[..., Any]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Generate as the host does."""
        if self.shared.disable_adapters:
            _drop_beside(kwargs)
            return self.original(*args, **kwargs)
        require_no_placeholders(self.host, args, kwargs)
        taken, rows, mask = taken_from(kwargs), rows_of(args, kwargs), kwargs.get("attention_mask")
        with torch.no_grad():
            memories = build(self.host, self.shared, taken, rows=rows, mask=mask, is_prompt=True)
        with self.calls.holding(memories):
            return self.original(*args, **kwargs)


def hook_host(host: Any, shared: SharedNet) -> None:
    """Put the hooks of a whole host on it."""
    calls = Calls()
    host.vlft_dehvf_calls = calls
    host.generate = Generate(host, shared, calls, host.generate)
    calls.handles += [
        host.register_forward_pre_hook(TakeImages(shared, calls), with_kwargs=True, prepend=True),
        host.register_forward_hook(Forget(calls), always_call=True),
    ]


def hook_layer(host: Any, layer: nn.Module, attention: nn.Module, mlp: MemoryMLP) -> None:
    """Put the hooks of one layer on it and its attention."""
    calls = host.vlft_dehvf_calls
    calls.handles += [
        layer.register_forward_pre_hook(HandOver(calls), with_kwargs=True),
        attention.register_forward_pre_hook(Take(mlp), with_kwargs=True),
    ]


def _refuse_reentrant(layer: Any) -> None:
    """Refuse the form of checkpointing that loses the fuser's gradients.

    Raises:
        AdapterError: With what to set instead.
    """
    if layer.training and layer.gradient_checkpointing:
        options = getattr(layer._gradient_checkpointing_func, "keywords", {})
        if options.get("use_reentrant"):
            raise AdapterError(
                "training.gradient_checkpointing: DEHVF needs the non-reentrant form: "
                "set gradient_checkpointing_kwargs to {use_reentrant: false}"
            )


def unhook(host: Any) -> None:
    """Take everything off a host again."""
    for handle in host.vlft_dehvf_calls.handles:
        handle.remove()
    del host.vlft_dehvf_calls, host.generate
    delattr(host, SHARED)


def _drop_beside(kwargs: dict[str, Any]) -> None:
    """Leave images that came beside the sequence out: a host alone could not place them."""
    if kwargs.get("image_slots") is not None:
        taken_from(kwargs)
