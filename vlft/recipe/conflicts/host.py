"""Precision, quantization, places and towers that exclude each other."""

from collections.abc import Iterator

from vlft.errors import near
from vlft.recipe.adapter import DehvfAdapter, FullAdapter, LoraAdapter, PeftAdapter
from vlft.recipe.adapter.placed import Placed
from vlft.recipe.conflicts.conflict import Conflict, refuse_unknown
from vlft.recipe.schema import Recipe
from vlft.recipe.towers import FUSER, PartName, Tower
from vlft.recipe.upstream import peft_types


def precision(recipe: Recipe) -> Iterator[Conflict]:
    """Refuse types of weights, arithmetic and attention that do not go together."""
    dtype, training = recipe.backbone.dtype, recipe.training
    if dtype == "bfloat16" and training.fp16:
        yield Conflict("training.fp16", "weights are bfloat16: use bf16: true instead of fp16")
    if dtype == "float16" and training.bf16:
        yield Conflict("training.bf16", "weights are float16: use backbone.dtype: bfloat16 with it")
    if dtype == "float16" and isinstance(recipe.adapter, FullAdapter):
        yield Conflict(
            "backbone.dtype",
            "float16 weights lose small updates when they are trained: use float32 (with "
            "training.fp16: true), or an adapter",
        )
    half = dtype in ("bfloat16", "float16", "auto") or training.bf16 or training.fp16
    if recipe.backbone.attn_implementation == "flash_attention_2" and not half:
        yield Conflict(
            "backbone.attn_implementation",
            "it computes in half precision only: add training.bf16: true, or use sdpa",
        )


QUANTIZABLE = (
    "ADALORA", "HIRA", "IA3", "LORA", "OFT", "PVERA", "RANDLORA", "ROAD", "VERA",
)  # fmt: skip
"""PEFT methods that compute with quantized base layers (each is tested)."""


def quantized_storage(recipe: Recipe) -> Iterator[Conflict]:
    """Refuse to train quantized weights, and adapters that cannot sit on them."""
    host, adapter = recipe.backbone, recipe.adapter
    if host.quantization == "none":
        return
    possible = [name for name in host.tower_names if name not in ("projector", "head")]
    if not host.quantized_towers:
        yield Conflict(
            "backbone.quantized_towers",
            f"nothing is named: use some of {', '.join(possible)}, or quantization: none",
        )
    for name in host.quantized_towers:
        if name not in possible:
            yield Conflict(
                "backbone.quantized_towers",
                f"{name!r} cannot be quantized in host type {host.type} (projectors and heads stay "
                f"exact): use some of {', '.join(possible)}",
            )
        elif recipe.towers.get(name, Tower()).train == "full":
            yield Conflict(
                f"towers.{name}.train",
                f"its weights are stored as {host.quantization} and cannot be trained: take it out "
                "of backbone.quantized_towers, or place an adapter there instead",
            )
    if isinstance(adapter, FullAdapter):
        yield Conflict(
            "backbone.quantization",
            "full fine-tuning trains and saves the weights themselves: use quantization: none, or "
            "adapter type: lora (with towers to train some of them in full)",
        )
    if not isinstance(adapter, Placed):
        return
    if isinstance(adapter, DehvfAdapter):  # stands beside the layers and computes with none
        return
    inside = [site for site in adapter.sites if site.partition(".")[0] in host.quantized_towers]
    if not inside:
        return
    if isinstance(adapter, LoraAdapter) and adapter.init_lora_weights == "pissa":
        yield Conflict(
            "adapter.init_lora_weights",
            f"PiSSA takes principal components out of the weights, which are stored as "
            f"{host.quantization} at {inside[0]!r}: use init_lora_weights: default",
        )
    if isinstance(adapter, LoraAdapter) and adapter.use_dora and host.quantization == "int8":
        yield Conflict(
            "adapter.use_dora",
            "PEFT's DoRA loses the scales of int8 layers: use backbone.quantization: nf4, or "
            "use_dora: false",
        )
    method = adapter.peft_type.upper() if isinstance(adapter, PeftAdapter) else "LORA"
    if method not in QUANTIZABLE:
        yield Conflict(
            "adapter.peft_type",
            f"it cannot compute with weights stored as {host.quantization} at {inside[0]!r}: use "
            f"quantization: none, or one of {', '.join(QUANTIZABLE)}",
        )


def adapter_names(recipe: Recipe) -> Iterator[Conflict]:
    """Refuse a method that PEFT does not have."""
    if isinstance(recipe.adapter, PeftAdapter):
        yield from refuse_unknown("adapter.peft_type", recipe.adapter.peft_type, peft_types())


def adapter_places(recipe: Recipe) -> Iterator[Conflict]:
    """Refuse sites that the host has no tower for, or that lie in a fully trained one."""
    towers = recipe.backbone.tower_names
    if not isinstance(recipe.adapter, Placed):
        return
    if isinstance(recipe.adapter, DehvfAdapter) and "language" not in towers:
        return  # refused as a whole
    for site in recipe.adapter.sites:
        tower, _, place = site.partition(".")
        if tower not in towers:
            guess = near(tower, towers)
            hint = f" Did you mean {f'{guess}.{place}'.rstrip('.')!r}?" if guess else ""
            yield Conflict(
                "adapter.sites",
                f"{site!r} is in no tower of host type {recipe.backbone.type}.{hint} "
                f"Its towers: {', '.join(towers)}",
            )
        elif recipe.towers.get(tower, Tower()).train == "full":
            yield Conflict(
                f"towers.{tower}.train",
                f"all its weights are trained, and the adapter sits at {site!r} as well: freeze "
                "the tower, or take the site out",
            )


def trained_towers(recipe: Recipe) -> Iterator[Conflict]:
    """Refuse towers that do not exist, and settings of towers in which nothing is trained."""
    names = recipe.backbone.tower_names
    yield from _fuser(recipe)
    for name in recipe.towers:
        if name not in (*names, FUSER):
            yield Conflict(
                f"towers.{name}",
                f"host type {recipe.backbone.type} has no such tower. "
                f"Its towers: {', '.join(names)}",
            )
    is_full = isinstance(recipe.adapter, FullAdapter)
    if is_full and all(_frozen(recipe, name) for name in names):
        yield Conflict(
            "adapter.type",
            "full trains whole towers, and all of them are frozen: set one to train: full, or "
            "place an adapter (type: lora)",
        )
    for name, tower in recipe.towers.items():
        if name not in names or not _untouched(recipe, name):
            continue
        for field in ("learning_rate", "weight_decay"):
            if getattr(tower, field) is not None:
                yield Conflict(f"towers.{name}.{field}", _what_to_train(recipe, name, field))


def _what_to_train(recipe: Recipe, name: PartName, field: str) -> str:
    """Say what a setting of a tower in which nothing is trained should be instead."""
    if not isinstance(recipe.adapter, DehvfAdapter):
        return (
            "nothing in this tower is trained: set train: full, place the adapter there, or leave "
            "it out"
        )
    if name == "language":
        return f"what dehvf trains for these layers is its fuser: write towers.fuser.{field}"
    if name == "projector":
        return (
            "with dehvf images do not pass the projector, so nothing in it can be trained: leave "
            f"it out (the adapter's own is towers.fuser.{field})"
        )
    return (
        "nothing in this tower is trained: set adapter.vision_adapter_dim above 0, or train: full, "
        "or leave it out"
    )


def _fuser(recipe: Recipe) -> Iterator[Conflict]:
    """Refuse settings of a fuser that does not exist, and to freeze it."""
    if FUSER not in recipe.towers:
        return
    if not isinstance(recipe.adapter, DehvfAdapter):
        yield Conflict(
            "towers.fuser",
            f"only adapter.type: dehvf has a fuser, and adapter.type is {recipe.adapter.type}: "
            "leave it out",
        )
    elif recipe.towers[FUSER].train is not None:
        yield Conflict(
            "towers.fuser.train",
            "the fuser is the adapter's own and always trained: leave `train` out",
        )


def _frozen(recipe: Recipe, name: PartName) -> bool:
    """Whether a tower's own weights are frozen."""
    train = recipe.towers.get(name, Tower()).train
    return train == "frozen" or (train is None and not isinstance(recipe.adapter, FullAdapter))


def _untouched(recipe: Recipe, name: PartName) -> bool:
    """Whether a tower is frozen and surely without an adapter (a pattern may match anywhere)."""
    if not _frozen(recipe, name):
        return False
    adapter = recipe.adapter
    if isinstance(adapter, DehvfAdapter):  # beside the language layers stands the fuser's memory
        return name != "vision" or not adapter.vision_adapter_dim
    if not isinstance(adapter, Placed):
        return True
    return not adapter.target_modules and all(s.split(".")[0] != name for s in adapter.sites)
