"""What a run needs in memory, before it runs, and which one change would make it fit a card.

Weights, gradients and optimizer states are counted exactly, on the meta device. Activations are
what autograd keeps of a forward pass over an example (``activations``). What CUDA and its allocator
take besides is assumed (``RESERVE``).
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import ceil

from torch import nn

from vlft.backbones.quantization import stored_bytes
from vlft.recipe.backbone import Quantization
from vlft.training.activations import Activations
from vlft.training.optimizer_states import NO_GRADIENTS, state_bytes

GIB = 2**30
RESERVE = 3 * GIB // 2
"""CUDA's context, workspaces of its libraries, and fragmentation; assumed, not measured."""
ADAMW = ("adamw_torch", "adamw_torch_fused")
"""Optimizers that an 8-bit one can stand in for."""
CARDS = {24: 24 * GIB, 48: 48 * GIB, 80: 80 * GIB}
"""Cards by the gigabytes on their label."""


@dataclass(frozen=True)
class Plan:
    """How a run is laid out.

    Attributes:
        micro_batch: Samples per process and forward pass.
        share: Samples per process and optimizer step; micro batches divide it.
        accumulates: Whether a step may be made of several micro batches.
        checkpointing: Gradient checkpointing.
        quantization: How the chosen linear weights are stored.
        optim: Optimizer name of transformers.
        zero_stage: DeepSpeed's ZeRO stage; 0 without.
        processes: Processes that ZeRO shards over.
        most_zero: The highest stage that the recipe can be launched on.
    """

    micro_batch: int
    share: int
    accumulates: bool
    checkpointing: bool
    quantization: Quantization
    optim: str
    zero_stage: int = 0
    processes: int = 1
    most_zero: int = 3


@dataclass(frozen=True)
class Forecast:
    """Bytes on one process.

    Attributes:
        weights: By storage type.
        gradients: One per trained parameter, in its type.
        optimizer_states: As the optimizer keeps them; None where that is not known.
        activations: What is kept from forward to backward, by tower, and ``loss``.
        workspace: What the backward pass needs for a while: gradients of the logits in 32 bits, or
            one block's activations when they are recomputed.
    """

    weights: Mapping[str, int]
    gradients: int
    optimizer_states: int | None
    activations: Mapping[str, int]
    workspace: int

    @property
    def total(self) -> int:
        """Everything that is counted; without the reserve."""
        counted = self.gradients + (self.optimizer_states or 0) + self.workspace
        return sum(self.weights.values()) + counted + sum(self.activations.values())

    def fits(self, card: int) -> bool:
        """Whether a card of so many bytes holds it, reserve included."""
        return self.total + RESERVE <= card


@dataclass(frozen=True)
class Forecaster:
    """Everything that a forecast of any plan is computed from.

    Attributes:
        model: On the meta device, with its adapter applied.
        quantizable: The linear layers that quantization would store; empty where it is refused.
        one: Activations of one sample.
        two: Activations of two.
    """

    model: nn.Module
    quantizable: Mapping[str, nn.Linear]
    one: Activations
    two: Activations

    def forecast(self, plan: Plan) -> Forecast:
        """Return the bytes on one process under a plan."""
        trained = [p for p in self.model.parameters() if p.requires_grad]
        states = state_bytes(trained, plan.optim)
        gradients = 0 if plan.optim in NO_GRADIENTS else sum(map(_size, trained))
        weights = count_weights(self.model, self.quantizable, plan.quantization)
        kept = self.one.scaled(self.two, to=plan.micro_batch)
        if plan.checkpointing:
            activations = dict(kept.checkpointed) | {"held": kept.held}
            workspace = max(2 * kept.logits, kept.largest_block)
        else:
            activations, workspace = dict(kept.parts), 2 * kept.logits
        stage, shards = plan.zero_stage, plan.processes
        return Forecast(
            {kind: _part(size, shards, stage >= 3) for kind, size in weights.items()},
            _part(gradients, shards, stage >= 2),
            None if states is None else _part(states, shards, stage >= 1),
            {part: round(size) for part, size in activations.items()},
            round(workspace),
        )

    def that_fits(self, plan: Plan, card: int) -> Plan | None:
        """Return the plan with the one change that makes it fit a card; None where none does.

        Changes are tried in the order of what they cost: first those that leave the result as it
        is, then those that need more processes, then those that change the arithmetic.
        """
        changed = self._changes(plan)
        return next((other for other in changed if self.forecast(other).fits(card)), None)

    def nearest(self, plan: Plan) -> Plan:
        """Return the plan with every change that one process can make."""
        size = 1 if plan.accumulates else plan.micro_batch
        most = replace(plan, micro_batch=size, checkpointing=True)
        if self.quantizable and plan.quantization == "none":
            most = replace(most, quantization="nf4")
        if plan.optim in ADAMW:
            most = replace(most, optim="adamw_bnb_8bit")
        return most

    def _changes(self, plan: Plan) -> Iterator[Plan]:
        if not plan.checkpointing:
            yield replace(plan, checkpointing=True)
        for size in range(plan.micro_batch - 1, 0, -1):
            if plan.accumulates and plan.share % size == 0:
                yield replace(plan, micro_batch=size)
        if plan.zero_stage == 0:
            for stage in (2, 3):
                if stage > plan.most_zero or (stage == 3 and plan.quantization != "none"):
                    continue
                for processes in (2, 4, 8):
                    yield replace(plan, zero_stage=stage, processes=processes)
        if self.quantizable and plan.quantization == "none":
            yield replace(plan, quantization="nf4")
        if plan.optim in ADAMW:
            yield replace(plan, optim="adamw_bnb_8bit")


def count_weights(
    model: nn.Module, quantized: Mapping[str, nn.Linear], quantization: Quantization
) -> dict[str, int]:
    """Return the bytes of parameters and buffers by storage type, constants of blocks included.

    Args:
        model: On any device, its weights not quantized.
        quantized: The layers that ``quantization`` stores.
        quantization: How.
    """
    sizes: Counter[str] = Counter()
    packed = {} if quantization == "none" else {id(m.weight): m for m in quantized.values()}
    for parameter in model.parameters():
        linear = packed.get(id(parameter))
        if linear is None:
            sizes[str(parameter.dtype).removeprefix("torch.")] += _size(parameter)
        else:
            sizes[quantization] += stored_bytes(linear, quantization)
    for buffer in model.buffers():
        sizes[str(buffer.dtype).removeprefix("torch.")] += buffer.numel() * buffer.element_size()
    return dict(sizes)


def describe_change(before: Plan, after: Plan) -> str:
    """Say what differs between two plans, as a user would write it."""
    words: list[tuple[bool, Callable[[], str]]] = [
        (
            before.checkpointing != after.checkpointing,
            lambda: "training.gradient_checkpointing=true",
        ),
        (
            before.micro_batch != after.micro_batch,
            lambda: f"training.per_device_train_batch_size={after.micro_batch}",
        ),
        (
            before.quantization != after.quantization,
            lambda: f"backbone.quantization={after.quantization}",
        ),
        (before.optim != after.optim, lambda: f"training.optim={after.optim}"),
        (
            before.zero_stage != after.zero_stage,
            lambda: f"ZeRO-{after.zero_stage} on {after.processes} processes",
        ),
    ]
    return " + ".join(say() for differs, say in words if differs)


def checkpoint_bytes(model: nn.Module, optim: str) -> int | None:
    """Return the bytes of one checkpoint on disk: what is trained, and the optimizer's states.

    Args:
        model: With its adapter; what is trained has ``requires_grad``.
        optim: Optimizer name of transformers.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    states = state_bytes(trained, optim)
    return None if states is None else states + sum(map(_size, trained))


def _part(size: int, shards: int, is_sharded: bool) -> int:
    return ceil(size / shards) if is_sharded else size


def _size(parameter: nn.Parameter) -> int:
    return parameter.numel() * parameter.element_size()
