"""Weights of the base that belong to a run: what no checkpoint elsewhere holds, what was trained.

An adapter file holds the adapter. Everything else that a run needs and nobody else has (the
projector of an assembled host, a tower trained in place, a base that an earlier adapter was merged
into) stands in ``base/parts.safetensors`` under the host's own parameter names; a host built from
random weights stands whole in ``base/`` as an ordinary checkpoint.
"""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTuner
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vlft.disk import replace_file
from vlft.errors import AdapterError, RunDirectoryError
from vlft.types import Backbone

BASE = "base"
PARTS = "parts.safetensors"


def base_model(model: nn.Module) -> nn.Module:
    """Return the host itself, without PEFT's wrapper."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def adapter_prefix(model: PeftModel) -> str:
    """Return what the method's parameter names contain (``lora_`` ...)."""
    tuner = model.base_model
    assert isinstance(tuner, BaseTuner)
    return tuner.prefix


def trained_in_place(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the host's own parameters that are trained and that the adapter file does not hold."""
    if not isinstance(model, PeftModel):
        return
    prefix = adapter_prefix(model)
    for name, parameter in model.get_base_model().named_parameters():
        if parameter.requires_grad and prefix not in name and ".modules_to_save." not in name:
            yield name, parameter


def local_parameters(backbone: Backbone) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the parameters that the backbone declares as held nowhere else (all of them for "")."""
    for name, parameter in base_model(backbone.model).named_parameters():
        if backbone.local_parts and name.startswith(backbone.local_parts):
            yield name, parameter


def gathered(parameters: list[nn.Parameter]) -> AbstractContextManager:
    """Return a context in which parameters that ZeRO-3 has split are whole."""
    if any(getattr(p, "ds_id", None) is not None for p in parameters):  # set by DeepSpeed alone
        import deepspeed

        return deepspeed.zero.GatheredParameters(parameters)
    return nullcontext()


def copy_whole(named: Iterable[tuple[str, nn.Parameter]]) -> dict[str, Tensor]:
    """Copy parameters to the CPU, one at a time, whole also under ZeRO-3.

    Every rank must call it, since gathering is collective.
    """
    copies = {}
    for name, parameter in named:
        with gathered([parameter]):
            copies[name] = parameter.detach().cpu().clone().contiguous()
    return copies


def save_parts(parts: dict[str, Tensor], folder: Path) -> None:
    """Write parts to ``folder/base/parts.safetensors``, beside those that stand there already."""
    if parts:
        target = folder / BASE
        target.mkdir(parents=True, exist_ok=True)
        together = read_parts(folder) | parts
        replace_file(
            target / PARTS, lambda path: save_file(together, path, metadata={"format": "pt"})
        )


def read_parts(folder: Path) -> dict[str, Tensor]:
    """Read ``folder/base/parts.safetensors``; empty when there is none."""
    path = folder / BASE / PARTS
    return load_file(path) if path.is_file() else {}


def load_parts(model: nn.Module, folder: Path) -> tuple[str, ...]:
    """Copy saved parts into a model (bare, or wrapped by PEFT); return their names.

    Raises:
        RunDirectoryError: For a part that the host does not have, or that has another shape.
    """
    parts = read_parts(folder)
    host = dict(base_model(model).named_parameters())
    for name, tensor in parts.items():
        if name not in host or host[name].shape != tensor.shape:
            found = tuple(host[name].shape) if name in host else "no such parameter"
            raise RunDirectoryError(
                f"{folder / BASE / PARTS}: {name} {tuple(tensor.shape)} does not fit this host "
                f"({found}); the recipe's backbone is not the one that was trained"
            )
        with torch.no_grad():
            host[name].copy_(tensor)
    return tuple(parts)


def merge_adapter(backbone: Backbone, *, field: str = "init_from") -> Backbone:
    """Fold the adapter into the base and declare the changed weights as local parts.

    Args:
        backbone: With or without an adapter.
        field: What asked for it, for the message.

    Raises:
        AdapterError: The adapter's method cannot be merged.
    """
    if not isinstance(backbone.model, PeftModel):
        return backbone
    marker = adapter_prefix(backbone.model)
    changed = set()
    for name, _ in backbone.model.get_base_model().named_parameters():
        if marker in name:
            changed.add(name.split(f".{marker}", 1)[0] + ".")
        elif ".modules_to_save." in name:
            changed.add(name.split(".modules_to_save.", 1)[0] + ".")
    try:
        merged = backbone.model.merge_and_unload()
    except (NotImplementedError, AttributeError) as error:  # how PEFT's methods decline
        method = backbone.model.peft_config["default"].peft_type
        raise AdapterError(
            f"{field}: the adapter of that run ({method}) cannot be merged into its base; use a "
            "run with a LoRA-like adapter, or the base itself"
        ) from error
    return replace(backbone, model=merged, local_parts=(*backbone.local_parts, *sorted(changed)))
