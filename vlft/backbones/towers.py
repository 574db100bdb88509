"""Which tower a parameter belongs to, also inside the wrappers of PEFT and DDP."""

from dataclasses import dataclass

from torch import nn

from vlft.types import Backbone

_WRAPPERS = ("module.", "base_model.model.")  # DistributedDataParallel, PeftModel
_INNER = (".modules_to_save.", ".original_module.")  # PEFT's copy of a module, and the original


@dataclass(frozen=True)
class TowerCount:
    """Parameters of one tower.

    Attributes:
        name: Name of the tower.
        total: All parameters, adapters included.
        trainable: Those that require a gradient.
    """

    name: str
    total: int
    trainable: int


def host_name(parameter_name: str) -> str:
    """Return a parameter's name in the host as if nothing were wrapped around it.

    Adapter parameters keep their ending (``...q_proj.lora_A.default.weight``).
    """
    name = parameter_name
    while wrapper := next((w for w in _WRAPPERS if name.startswith(w)), None):
        name = name.removeprefix(wrapper)
    for inner in _INNER:
        outside, found, inside = name.partition(inner)
        if not found:
            continue
        if inner == ".modules_to_save.":
            # What follows is the adapter's name: `projector.modules_to_save.default.weight`.
            inside = inside.partition(".")[2]
        name = f"{outside}.{inside}"
    return name


def tower_of(backbone: Backbone, parameter_name: str) -> str | None:
    """Return the tower that a parameter belongs to, or None when no tower claims it.

    Args:
        backbone: The host, wrapped or not.
        parameter_name: As ``named_parameters`` gives it, wrappers included.
    """
    name = host_name(parameter_name)
    return next(
        (tower for tower, prefixes in backbone.towers.items() if name.startswith(prefixes)), None
    )


def count_towers(backbone: Backbone) -> list[TowerCount]:
    """Return the parameters per tower, in the order that the backbone names its towers."""
    totals = dict.fromkeys(backbone.towers, 0)
    trainable = dict.fromkeys(backbone.towers, 0)
    for name, parameter in backbone.model.named_parameters():
        tower = tower_of(backbone, name)
        if tower is not None:
            totals[tower] += _size(parameter)
            trainable[tower] += _size(parameter) * parameter.requires_grad
    return [TowerCount(name, totals[name], trainable[name]) for name in backbone.towers]


def _size(parameter: nn.Parameter) -> int:
    packed = getattr(parameter, "quant_state", None)  # 4-bit weights of bitsandbytes
    if packed is not None:
        return packed.shape.numel()
    # DeepSpeed's ZeRO-3 leaves an empty tensor and keeps the size of the whole in `ds_numel`.
    return getattr(parameter, "ds_numel", parameter.numel())
