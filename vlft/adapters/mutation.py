"""Adapters whose initialization changes the base (PiSSA): their step-0 factors and the way back.

Such a method starts from ``W = W' + s B0 A0`` and trains ``A`` and ``B`` on the residual ``W'``.
With the step-0 factors at hand two things can be done on an untouched base: restore the residual,
to go on training or to evaluate a checkpoint; and export the difference ``s (B A - B0 A0)`` as a
LoRA of rank ``2r``, which stock PEFT loads and which disables to the base.
"""

from pathlib import Path

import torch
from peft import (
    LoraConfig,
    PeftConfig,
    PeftModel,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from peft.tuners.lora import Linear as LoraLinear
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file
from torch import Tensor

from vlft.adapters.base import with_fields
from vlft.disk import replace_file
from vlft.errors import AdapterError, RunDirectoryError

FOLDER = "initial_adapter"
WEIGHTS = "adapter_model.safetensors"


def save_initial(model: PeftModel, folder: Path) -> None:
    """Write the step-0 factors of a freshly injected adapter to ``folder/initial_adapter``."""
    target = folder / FOLDER
    target.mkdir(parents=True, exist_ok=True)
    state = {
        name: tensor.detach().cpu().clone().contiguous()
        for name, tensor in get_peft_model_state_dict(model).items()
    }
    replace_file(target / WEIGHTS, lambda path: save_file(state, path, metadata={"format": "pt"}))
    plain(model.peft_config["default"]).save_pretrained(str(target))


def plain(config: PeftConfig) -> PeftConfig:
    """Return the config with an initialization that leaves the base alone."""
    if not isinstance(config, LoraConfig):
        return config
    return with_fields(config, init_lora_weights=True, inference_mode=False)


def restore(model: PeftModel, folder: Path) -> None:
    """Put the model at step 0 again: step-0 factors in, their product out of the base.

    Args:
        model: A model with a plainly initialized LoRA of the same shape on the untouched base.
        folder: Where ``save_initial`` wrote.

    Raises:
        RunDirectoryError: When the step-0 factors are missing.
    """
    path = folder / FOLDER / WEIGHTS
    if not path.is_file():
        raise RunDirectoryError(
            f"{folder} lacks {FOLDER}/{WEIGHTS}: without its step-0 factors this adapter cannot be "
            "placed on the base again; use the exported adapter of the finished run"
        )
    set_peft_model_state_dict(model, load_file(path))
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, LoraLayer):
                _subtract(module)


def export(model: PeftModel, folder: Path, target: Path) -> None:
    """Write what was trained as a LoRA of rank 2r on the untouched base.

    ``B A - B0 A0 = [B | -B0] [A ; A0]``; the scale stays, so ``lora_alpha`` doubles with the rank
    (or grows by sqrt(2) under rsLoRA).

    Args:
        model: The trained model.
        folder: Where ``save_initial`` wrote.
        target: Folder for ``adapter_model.safetensors`` and ``adapter_config.json``.
    """
    initial = load_file(folder / FOLDER / WEIGHTS)
    state = {}
    for name, tensor in get_peft_model_state_dict(model).items():
        trained = tensor.detach().cpu()
        if ".lora_A" in name:
            trained = torch.cat([trained, initial[name]], dim=0)
        elif ".lora_B" in name:
            trained = torch.cat([trained, -initial[name]], dim=1)
        state[name] = trained.contiguous()
    config = model.peft_config["default"]
    assert isinstance(config, LoraConfig)
    exported = with_fields(
        plain(config),
        r=2 * config.r,
        lora_alpha=config.lora_alpha * (2**0.5 if config.use_rslora else 2),
        inference_mode=True,
    )
    target.mkdir(parents=True, exist_ok=True)
    replace_file(target / WEIGHTS, lambda path: save_file(state, path, metadata={"format": "pt"}))
    exported.save_pretrained(str(target))


def _subtract(layer: LoraLayer) -> None:
    assert isinstance(layer, LoraLinear), f"no step-0 factors are known for {type(layer).__name__}"
    weight = layer.get_base_layer().weight
    assert isinstance(weight, Tensor)
    if not weight.dtype.is_floating_point:
        raise AdapterError("a quantized base cannot be restored to its residual; dequantize first")
    weight -= layer.get_delta_weight("default").to(weight.dtype)
