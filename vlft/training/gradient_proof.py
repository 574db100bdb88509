"""Proof that every part said to be trained is trained, in the first steps of a run."""

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from vlft.adapters.parts import gathered
from vlft.backbones.towers import tower_of
from vlft.errors import NoGradientError
from vlft.training.meter import Meter
from vlft.types import Backbone

STEPS = 10
"""Steps with a non-zero rate within which a gradient must have appeared: with warm-up the first
rate is 0, and LoRA's A has no gradient before B has moved."""

SEES_IMAGES = ("vision", "projector")
"""Towers that can only have a gradient in steps with images."""

SAMPLED = 16
"""Parameters per tower that are compared under DeepSpeed, which has used up the gradients."""


class GradientProof(TrainerCallback):
    """Stops a run in which a trained tower gets no gradient.

    Under DeepSpeed gradients are gone when callbacks run; there a change of the parameters is the
    proof.

    Args:
        backbone: Host with its adapter.
        meter: Tells whether the latest step had images.
    """

    def __init__(self, backbone: Backbone, meter: Meter) -> None:
        self._meter = meter
        self._trained: dict[str, list[nn.Parameter]] = defaultdict(list)
        for name, parameter in backbone.model.named_parameters():
            if parameter.requires_grad:
                self._trained[tower_of(backbone, name) or "other"].append(parameter)
        self._open = dict.fromkeys(self._trained, 0)
        self._before: dict[str, list[Tensor]] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Remember some parameters where gradients cannot be looked at."""
        if args.deepspeed_plugin is not None:
            for tower, parameters in self._trained.items():
                self._before[tower] = _snapshot(parameters[:SAMPLED])

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Look at the gradients of towers that are still unproven."""
        if not self._before:
            moving = self._moving(kwargs["optimizer"])
            self._look({tower: _has_gradient(self._trained[tower]) for tower in moving})

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Under DeepSpeed, look at what has changed."""
        if self._before:
            moving = self._moving(kwargs["optimizer"])
            self._look({tower: self._has_changed(tower) for tower in moving})

    def _moving(self, optimizer: torch.optim.Optimizer) -> list[str]:
        """Unproven towers whose rate is not zero now."""
        groups = optimizer.param_groups
        rates = {group["name"].split(".")[0]: group["lr"] for group in groups}
        return [tower for tower in self._open if rates.get(tower, 0) > 0]

    def _look(self, found: dict[str, bool]) -> None:
        for tower, is_trained in found.items():
            if is_trained:
                del self._open[tower]
            elif tower not in SEES_IMAGES or self._meter.images_in_step:
                self._open[tower] += 1
                if self._open[tower] >= STEPS:
                    count = sum(p.numel() for p in self._trained[tower])
                    raise NoGradientError(
                        f"tower {tower!r}: {count:,} parameters are to be trained, but none had a "
                        f"gradient in {STEPS} steps. The forward pass does not reach them: look at "
                        "adapter.sites, towers and, with gradient checkpointing, its settings"
                    )

    def _has_changed(self, tower: str) -> bool:
        now = _snapshot(self._trained[tower][:SAMPLED])
        return any(not torch.equal(a, b) for a, b in zip(self._before[tower], now, strict=True))


def _snapshot(parameters: list[nn.Parameter]) -> list[Tensor]:
    copies = []
    for parameter in parameters:
        with gathered([parameter]):
            copies.append(parameter.detach().clone())
    return copies


def _has_gradient(parameters: list[nn.Parameter]) -> bool:
    return any(p.grad is not None and bool(p.grad.count_nonzero()) for p in parameters)
