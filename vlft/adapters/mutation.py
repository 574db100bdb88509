"""Adapters whose initialization changes the base (PiSSA): their step-0 factors and the way back.

Such a method starts from ``W = W' + s B0 A0`` and trains ``A`` and ``B`` on the residual ``W'``. With
the step-0 factors at hand two things can be done on an untouched base: restore the residual, to go on
training or to evaluate a checkpoint; and export the difference ``s (B A - B0 A0)`` as a LoRA of rank
``2r``, which stock PEFT loads and which disables to the base.
"""

from pathlib import Path

import torch
from peft import PeftConfig, PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file

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
    save_file(state, target / WEIGHTS, metadata={"format": "pt"})
    plain_config(model.peft_config["default"]).save_pretrained(str(target))


def plain_config(config: PeftConfig) -> PeftConfig:
    """Return the config with an initialization that leaves the base alone."""
    plain = type(config)(**{**config.to_dict(), "init_lora_weights": True})
    plain.inference_mode = False
    return plain


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


def _subtract(layer: LoraLayer) -> None:
    base = layer.get_base_layer()
    weight = base.weight
    if not weight.is_floating_point():
        raise AdapterError("a quantized base cannot be restored to its residual; dequantize first")
    weight -= layer.get_delta_weight("default").to(weight.dtype)
