"""Put an adapter on a host and decide what is trained."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from peft import PeftModel, get_peft_model
from torch import nn

from vlft.adapters import mutation
from vlft.adapters.base import Adapter, with_fields
from vlft.adapters.corda.method import CORDA
from vlft.adapters.dehvf import DEHVF, SHARED, is_dehvf
from vlft.adapters.full import FULL
from vlft.adapters.lora import LORA, WRAPS
from vlft.adapters.peft_method import PEFT
from vlft.adapters.quantized import refuse_quantized
from vlft.adapters.sites import require_kind, resolve_modules
from vlft.errors import AdapterError, pick
from vlft.recipe.adapter import AdapterSection, FullAdapter
from vlft.recipe.adapter.placed import Placed
from vlft.recipe.towers import FUSER, Towers
from vlft.types import Backbone

ADAPTERS: dict[str, Adapter] = {
    "corda": CORDA, "dehvf": DEHVF, "full": FULL, "lora": LORA, "peft": PEFT,
}  # fmt: skip

SMALL_TOWERS = ("projector", "head")
"""Towers whose full weights travel with the adapter, through PEFT's ``modules_to_save``."""


def apply_adapter(
    backbone: Backbone,
    section: AdapterSection,
    towers: Towers,
    *,
    on_meta: bool = False,
    plain_init: bool = False,
) -> Backbone:
    """Return the backbone with the adapter injected and ``requires_grad`` set on every parameter.

    Args:
        backbone: The host; its model is changed in place (PEFT injects into it).
        section: The recipe's ``adapter``.
        towers: The recipe's ``towers``.
        on_meta: Create adapter weights without storage, for counting.
        plain_init: Start from a plain initialization whatever the section says, because trained
            weights are loaded next.

    Raises:
        AdapterError: Adapter and host do not fit, or adapter and ``towers`` contradict each other.
        SiteError: A site or pattern matches nothing, or nothing that the method can wrap.
    """
    adapter = pick(ADAPTERS, section.type, kind="adapter")
    if backbone.family not in adapter.families:
        raise AdapterError(
            f"adapter.type: {section.type} does not work on a {backbone.family} host "
            f"({backbone.type}); it works on: {', '.join(sorted(adapter.families))}"
        )
    _require_towers(backbone, section, towers)
    _refuse_idle_head(backbone, section, towers)
    if isinstance(section, FullAdapter):
        _train_towers(backbone, {name: _is_full(towers, name, True) for name in backbone.towers})
        return backbone

    trained = [name for name in backbone.towers if _is_full(towers, name, False)]
    modules = resolve_modules(backbone, section)
    if section.type == "lora":
        require_kind(backbone, modules, WRAPS, method="lora")
    refuse_quantized(backbone, modules, section)
    assert adapter.config is not None
    config: Any = adapter.config(section, modules, backbone)
    places = {*config.target_modules}
    _refuse_overlap(backbone, sorted(places), trained)
    if plain_init or on_meta:
        config = mutation.plain(config)
    saved, in_place = _split_towers(backbone, trained)
    if saved:
        config = with_fields(config, modules_to_save=saved)

    for parameter in backbone.model.parameters():
        parameter.requires_grad_(False)
    model = get_peft_model(backbone.model, config, low_cpu_mem_usage=on_meta)
    assert isinstance(model, PeftModel)
    adapted = set(model.targeted_module_names)
    assert adapted == places, f"PEFT adapted other modules: {adapted ^ places}"
    for name, parameter in model.get_base_model().named_parameters():
        if name in in_place:
            parameter.requires_grad_(True)
    return wrapped(backbone, model)


def require_mergeable(section: AdapterSection, *, field: str) -> None:
    """Refuse to merge an adapter of a method that never can be, before its weights are loaded.

    Args:
        section: The adapter of the run that is to be merged.
        field: What asked for it, for the message.

    Raises:
        AdapterError: With the reason, and what to do instead.
    """
    reason = ADAPTERS[section.type].unmergeable
    if reason is not None:
        raise AdapterError(f"{field}: {reason}")


def wrapped(backbone: Backbone, model: PeftModel) -> Backbone:
    """Return a backbone with PEFT's wrapper as its model, and what follows from the method.

    Args:
        backbone: The bare host.
        model: The host with an adapter.
    """
    if not is_dehvf(model):
        return replace(backbone, model=model)
    config: Any = model.peft_config["default"]
    towers = {**backbone.towers, FUSER: (f"{SHARED}.",)}
    return replace(
        backbone, model=model, towers=towers, images="beside", max_images=config.max_images
    )


def _require_towers(backbone: Backbone, section: AdapterSection, towers: Towers) -> None:
    for name in towers:
        if name != FUSER:
            pick(backbone.towers, name, kind=f"tower of a {backbone.type} host")
        elif section.type != "dehvf":
            raise AdapterError(
                f"towers.fuser: only adapter.type: dehvf has a fuser, and this one is "
                f"{section.type}: leave it out"
            )


def _is_full(towers: Towers, name: str, default: bool) -> bool:
    chosen = towers[name].train if name in towers else None
    return default if chosen is None else chosen == "full"


def _train_towers(backbone: Backbone, trained: Mapping[str, bool]) -> None:
    for name, parameter in backbone.model.named_parameters():
        tower = next(t for t, prefixes in backbone.towers.items() if name.startswith(prefixes))
        parameter.requires_grad_(trained[tower])


def _refuse_idle_head(backbone: Backbone, section: AdapterSection, towers: Towers) -> None:
    """Refuse to leave a head that was just drawn as it is."""
    is_new = backbone.local_parts == backbone.towers.get("head")
    has_adapter = isinstance(section, Placed) and "head" in section.sites
    is_trained = has_adapter or _is_full(towers, "head", isinstance(section, FullAdapter))
    if is_new and not is_trained:
        raise AdapterError(
            "towers.head.train: the head is new, since the checkpoint has none for these classes, "
            "and would stay random: add towers: {head: {train: full}}"
        )


def _refuse_overlap(backbone: Backbone, modules: list[str], trained: list[str]) -> None:
    for name in trained:
        inside = [path for path in modules if path.startswith(backbone.towers[name])]
        if inside:
            raise AdapterError(
                f"towers.{name}.train: full, but the adapter also sits there ({inside[0]}): freeze "
                f"the tower or take its sites out of adapter.sites"
            )


def _split_towers(backbone: Backbone, trained: list[str]) -> tuple[list[str], set[str]]:
    """Return modules that go into ``modules_to_save``, and parameters that are trained in place."""
    saved: list[str] = []
    in_place: set[str] = set()
    for name in trained:
        prefixes = backbone.towers[name]
        parameters = [n for n, _ in backbone.model.named_parameters() if n.startswith(prefixes)]
        if name in SMALL_TOWERS:
            roots = [r for r in (p.rstrip(".") for p in prefixes) if _is_module(backbone.model, r)]
            saved += roots
            parameters = [n for n in parameters if not n.startswith(tuple(f"{r}." for r in roots))]
        in_place.update(parameters)
    return saved, in_place


def _is_module(model: nn.Module, path: str) -> bool:
    return any(name == path for name, _ in model.named_modules())
