"""Optimizer groups: one per tower and kind of decay, each with its own peak rate."""

from collections import defaultdict
from typing import Any

from torch import nn

from vlft.backbones.towers import tower_of
from vlft.recipe.towers import Tower, Towers
from vlft.types import Backbone


def parameter_groups(
    backbone: Backbone,
    towers: Towers,
    *,
    learning_rate: float,
    weight_decay: float,
    decayed: set[str],
) -> list[dict[str, Any]]:
    """Return one group per (tower, decayed or not) of the trained parameters.

    Args:
        backbone: Its model's trained parameters are grouped.
        towers: Rates and decays that differ from the defaults.
        learning_rate: Peak rate of towers that give none.
        weight_decay: Decay of towers that give none.
        decayed: Names of parameters that decay at all (no biases, no norms); what a module declares
            as ``undecayed`` does not, in any case.

    Returns:
        Groups with ``name``, ``params``, ``lr`` and ``weight_decay``; the same on every rank.
    """
    declared = undecayed(backbone.model)
    grouped: dict[tuple[str, bool], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in backbone.model.named_parameters():
        if parameter.requires_grad:
            is_scalar = tuple(parameter.shape) in ((), (1,))  # a temperature is left alone
            decays = name in decayed and name not in declared and not is_scalar
            grouped[tower_of(backbone, name) or "other", decays].append(parameter)
    groups = []
    for (tower, decays), parameters in sorted(grouped.items(), key=lambda item: item[0]):
        own = towers.get(tower, Tower())
        decay = weight_decay if own.weight_decay is None else own.weight_decay
        groups.append(
            {
                "name": f"{tower}.{'decayed' if decays else 'undecayed'}",
                "params": parameters,
                "lr": learning_rate if own.learning_rate is None else own.learning_rate,
                "weight_decay": decay if decays else 0.0,
            }
        )
    return groups


def undecayed(model: nn.Module) -> set[str]:
    """Return the parameters that modules declare as gains, biases or tables, by ``undecayed``."""
    return {
        f"{path}.{name}" if path else name
        for path, module in model.named_modules()
        for name in getattr(module, "undecayed", ())
    }
