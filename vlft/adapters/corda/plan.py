"""Which layer gets what: ranks, modes and calibrations by tower and site, as a LoRA's config."""

import re
from dataclasses import dataclass

from peft import LoraConfig, PeftConfig
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from vlft.adapters.corda.covariance import LINEAR, shape_of
from vlft.adapters.corda.decompose import Wanted
from vlft.adapters.mutation import scaling
from vlft.adapters.sites import refuse_tied, require_kind
from vlft.errors import AdapterError
from vlft.recipe.adapter import CordaAdapter
from vlft.recipe.adapter.corda import CordaOverride
from vlft.types import Backbone

MERGED = ("c_attn", "qkv", "qkv_proj", "Wqkv")
"""Names of projections whose rows are those of query, key and value, in this order."""

INTERLEAVED = ("query_key_value",)
"""Names of projections whose rows alternate between the three, head by head."""


@dataclass(frozen=True)
class Layer:
    """What a layer gets.

    Attributes:
        wanted: Rank (of each block), mode, scale and blocks.
        calibration: Index in ``CordaAdapter.calibrations``.
    """

    wanted: Wanted
    calibration: int

    @property
    def r(self) -> int:
        """Rank of the LoRA."""
        return self.wanted.r * self.wanted.blocks


def plan(section: CordaAdapter, modules: list[str], backbone: Backbone) -> dict[str, Layer]:
    """Return what each layer gets, in the order of ``modules``.

    Args:
        section: The recipe's ``adapter``.
        modules: Resolved paths.
        backbone: The bare host, also on the meta device.

    Raises:
        SiteError: A module is no linear layer, or its weight is another's too.
        AdapterError: A rank is above the smaller side of a weight, or a merged projection cannot
            be split.
    """
    require_kind(backbone, modules, LINEAR, method="corda")
    refuse_tied(backbone, modules, method="corda")
    _refuse_bypassed(backbone, modules)
    _refuse_idle(backbone, modules, section)
    scale = scaling(section.r, _alpha(section), use_rslora=section.use_rslora)
    return {path: _layer(section, path, backbone, scale) for path in modules}


def corda_config(section: CordaAdapter, modules: list[str], backbone: Backbone) -> PeftConfig:
    """Return the config of a plain LoRA with the planned ranks.

    Raises:
        SiteError: As ``plan``.
        AdapterError: As ``plan``.
    """
    layers = plan(section, modules, backbone)
    alpha = _alpha(section)
    others = {path: layer.r for path, layer in layers.items() if layer.r != section.r}
    return LoraConfig(
        target_modules=modules,
        r=section.r,
        lora_alpha=alpha,  # pyrefly: ignore[bad-argument-type]  # divides by r
        use_rslora=section.use_rslora,
        rank_pattern={_whole(path): r for path, r in others.items()},
        alpha_pattern={_whole(path): alpha * r / section.r for path, r in others.items()},  # pyrefly: ignore[bad-argument-type]  # the same
    )


def _alpha(section: CordaAdapter) -> float:
    return float(section.r) if section.lora_alpha is None else section.lora_alpha


def _whole(path: str) -> str:
    """Return a pattern of PEFT's for this path alone, and for no longer one that ends with it."""
    return f"^{re.escape(path)}"


def _layer(section: CordaAdapter, path: str, backbone: Backbone, scale: float) -> Layer:
    named = [name for name in section.overrides if _holds(backbone, name, path)]
    named.sort(key=lambda name: name not in backbone.towers)  # a site wins over its tower
    r, mode, calibration, said_by = section.r, section.mode, 0, ""
    for name in named:
        own = section.overrides[name]
        if own.r is not None:
            r, said_by = own.r, f"overrides.{name}."
        if own.mode is not None:
            mode = own.mode
        if own.calibration is not None:
            calibration = _index(section, own)
    rows, columns = shape_of(path, backbone.model.get_submodule(path))
    blocks = _blocks(path, rows, columns) if section.merged_qkv == "split" else 1
    most = min(rows // blocks, columns)
    if r > most:
        raise AdapterError(
            f"adapter.{said_by}r: {r} is above the smaller side of {path} ({rows} outputs, "
            f"{columns} inputs): use at most {most} there (adapter.overrides names towers and "
            "sites)"
        )
    if mode == "kpm" and section.calibrations[calibration].data is None:
        raise AdapterError(
            f"adapter.mode: kpm keeps what its calibration data stand for, and for {path} none are "
            "named: give the calibration that applies there its data, or use mode: ipm"
        )
    return Layer(Wanted(r, mode, scale, blocks), calibration)


def _refuse_idle(backbone: Backbone, modules: list[str], section: CordaAdapter) -> None:
    for name in section.overrides:
        if not any(_holds(backbone, name, path) for path in modules):
            raise AdapterError(
                f"adapter.overrides.{name}: no layer that the adapter sits on is there: leave it "
                "out, or add its sites"
            )


def _refuse_bypassed(backbone: Backbone, modules: list[str]) -> None:
    for path in modules:
        if isinstance(backbone.model.get_submodule(path), NonDynamicallyQuantizableLinear):
            raise AdapterError(
                f"adapter: corda cannot sit on {path!r}, whose weight is read by nn.Multihead"
                "Attention without a call: leave it out of the sites"
            )


def _holds(backbone: Backbone, name: str, path: str) -> bool:
    """Whether a tower or site holds a layer."""
    in_site = name in backbone.sites and re.fullmatch(backbone.sites[name], path) is not None
    return in_site or f"{path}.".startswith(backbone.towers.get(name, ("no tower",)))


def _index(section: CordaAdapter, override: CordaOverride) -> int:
    with_own = [one for one in section.overrides.values() if one.calibration is not None]
    return 1 + next(place for place, one in enumerate(with_own) if one is override)


def _blocks(path: str, rows: int, columns: int) -> int:
    name = path.rpartition(".")[2]
    if name not in (*MERGED, *INTERLEAVED):
        return 1
    if name in INTERLEAVED or rows != 3 * columns:
        reason = (
            "its rows alternate between query, key and value"
            if name in INTERLEAVED
            else f"its {rows} outputs are not three times its {columns} inputs"
        )
        raise AdapterError(
            f"adapter.merged_qkv: split cannot take {path} apart, since {reason}: use shared"
        )
    return 3
