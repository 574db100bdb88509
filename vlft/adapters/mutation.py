"""Adapters whose start changes the base (PiSSA, CorDA): their step-0 factors and the way back.

Such a method starts from ``W = W' + s B0 A0`` and trains ``A`` and ``B`` on the residual ``W'``.
With the step-0 factors at hand two things can be done on an untouched base: take them out of it, to
begin or go on with training or to evaluate a checkpoint; and export the difference
``s (B A - B0 A0)`` as a LoRA of rank ``2r``, which stock PEFT loads and which disables to the base.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model_state_dict
from peft.utils.other import get_pattern_key
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from vlft.adapters.base import Pair, Start, with_fields
from vlft.disk import replace_file
from vlft.errors import AdapterError, RunDirectoryError

FOLDER = "initial_adapter"
WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."
"""What PEFT puts before the paths of a host."""


@torch.no_grad()
def residual(weight: Float[Tensor, "rows columns"], pair: Pair) -> Float[Tensor, "rows columns"]:
    """Return ``W - s B A`` of the factors as they are stored, computed in float64, rounded once.

    Args:
        weight: Outputs by inputs; its dtype and device are kept.
        pair: The factors.
    """
    exact = weight.to(torch.float64, copy=True)
    a, b = (factor.to(exact) for factor in (pair.a, pair.b))
    return exact.addmm_(b, a, alpha=-pair.scale).to(weight.dtype)


def weight_of(layer: nn.Module) -> Float[Tensor, "rows columns"]:
    """Return a linear layer's weight as outputs by inputs; a view of the parameter.

    Raises:
        AdapterError: It is quantized.
    """
    weight = layer.weight
    assert isinstance(weight, Tensor)
    if not weight.is_floating_point():
        raise AdapterError(
            "adapter: a quantized weight cannot be decomposed, nor made a residual; prepare the "
            "adapter on the unquantized model and quantize its residual"
        )
    weight = weight.detach()
    return weight.mT if isinstance(layer, Conv1D) else weight


@torch.no_grad()
def take_out(model: nn.Module, start: Start) -> None:
    """Turn the weights of an untouched host into residuals.

    Args:
        model: The bare host, not quantized; changed in place.
        start: The step-0 factors.

    Raises:
        RunDirectoryError: The factors do not fit the host.
    """
    layers = dict(model.named_modules())
    for path, pair in start.items():
        layer = layers.get(path)
        if layer is None:
            raise RunDirectoryError(f"the step-0 factors name {path}, which this host lacks")
        weight = weight_of(layer)
        fitting = (pair.b.shape[0], pair.a.shape[1])
        if weight.shape != fitting:
            raise RunDirectoryError(
                f"the step-0 factors of {path} are for a weight of {fitting[0]} by {fitting[1]}, "
                f"and this host's has {weight.shape[0]} by {weight.shape[1]}; they were made for "
                "another model"
            )
        weight.copy_(residual(weight, pair))


@torch.no_grad()
def put_in(model: PeftModel, start: Start) -> None:
    """Let a plainly initialized LoRA start from given factors.

    Args:
        model: On residual weights; changed in place.
        start: The step-0 factors; layers that it does not name stay as they are.
    """
    for path, pair in start.items():
        for part, factor in (("lora_A", pair.a), ("lora_B", pair.b)):
            model.get_parameter(f"{PREFIX}{path}.{part}.default.weight").copy_(factor)


def save_initial(model: PeftModel, folder: Path) -> None:
    """Write the step-0 factors of a freshly started adapter to ``folder/initial_adapter``."""
    target = folder / FOLDER
    target.mkdir(parents=True, exist_ok=True)
    state = {
        name: tensor.detach().cpu().clone().contiguous()
        for name, tensor in get_peft_model_state_dict(model).items()
    }
    replace_file(target / WEIGHTS, lambda path: save_file(state, path, metadata={"format": "pt"}))
    plain(model.peft_config["default"]).save_pretrained(str(target))


def read_initial(folder: Path) -> Start:
    """Read what ``save_initial`` wrote.

    Raises:
        RunDirectoryError: The step-0 factors are missing.
    """
    path = folder / FOLDER / WEIGHTS
    if not path.is_file():
        raise RunDirectoryError(
            f"{folder} lacks {FOLDER}/{WEIGHTS}: without its step-0 factors this adapter cannot be "
            "placed on the base again; use the exported adapter of the finished run"
        )
    config = LoraConfig.from_pretrained(str(folder / FOLDER))
    assert isinstance(config, LoraConfig)
    state = load_file(path)
    a, b = ".lora_A.weight", ".lora_B.weight"
    paths = [name.removeprefix(PREFIX).removesuffix(a) for name in state if name.endswith(a)]
    return {
        path: Pair(state[f"{PREFIX}{path}{a}"], state[f"{PREFIX}{path}{b}"], scale_of(config, path))
        for path in paths
    }


def scaling(r: int, alpha: float, *, use_rslora: bool = False) -> float:
    """Return LoRA's scale, or rank-stabilized LoRA's."""
    return alpha / (r**0.5 if use_rslora else r)


def scale_of(config: LoraConfig, path: str) -> float:
    """Return what a LoRA multiplies ``B A`` by at a layer."""
    ranks, alphas = (config.rank_pattern or {}), (config.alpha_pattern or {})
    r = ranks.get(get_pattern_key([*ranks], path), config.r)
    alpha = alphas.get(get_pattern_key([*alphas], path), config.lora_alpha)
    return scaling(r, float(alpha), use_rslora=config.use_rslora)


def plain(config: PeftConfig) -> PeftConfig:
    """Return the config with an initialization that leaves the base alone."""
    if not isinstance(config, LoraConfig):
        return config
    return with_fields(config, init_lora_weights=True, inference_mode=False)


def export(config: PeftConfig, folder: Path, target: Path) -> None:
    """Turn trained factors in a folder into a LoRA of rank 2r on the untouched base.

    ``B A - B0 A0 = [B | -B0] [A ; A0]``; the scale stays, so ``lora_alpha`` doubles with the rank
    (or grows by sqrt(2) under rsLoRA). The factors are read from the file, which is whole also
    where the model in memory is split among processes (ZeRO-3).

    Args:
        config: Of the trained adapter.
        folder: Where ``save_initial`` wrote.
        target: Folder with the trained ``adapter_model.safetensors``, which is replaced, and
            ``adapter_config.json`` with it.
    """
    assert isinstance(config, LoraConfig)
    initial = load_file(folder / FOLDER / WEIGHTS)
    state = {}
    for name, trained in load_file(target / WEIGHTS).items():
        start = initial[name]
        assert trained.shape == start.shape, f"{name}: {trained.shape}, not {start.shape}"
        if ".lora_A" in name:
            state[name] = torch.cat([trained.to(start), start], dim=0)
        elif ".lora_B" in name:
            state[name] = torch.cat([trained.to(start), -start], dim=1)
        else:
            state[name] = trained
    growth = 2**0.5 if config.use_rslora else 2
    exported = with_fields(
        plain(config),
        r=2 * config.r,
        lora_alpha=config.lora_alpha * growth,
        rank_pattern={name: 2 * r for name, r in (config.rank_pattern or {}).items()},
        alpha_pattern={name: growth * a for name, a in (config.alpha_pattern or {}).items()},
        inference_mode=True,
    )
    replace_file(target / WEIGHTS, lambda path: save_file(state, path, metadata={"format": "pt"}))
    exported.save_pretrained(str(target))
