"""Frozen linear weights stored in 4 or 8 bits, through bitsandbytes.

``nf4`` is 4-bit NormalFloat in blocks of 64 weights, whose constants are quantized once more
(QLoRA, arXiv 2305.14314, section 3); ``int8`` is one scale per output row (LLM.int8(), arXiv
2208.07339). A host is built whole first and quantized then, before an adapter is placed, so every
kind of host can be, random weights included, and a run keeps the exact weights of its base.
"""

import logging
import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from vlft.backbones.towers import tower_of
from vlft.errors import BackboneError, MissingExtraError
from vlft.recipe.backbone import Host, Quantization
from vlft.recipe.training import TrainingSection
from vlft.types import Backbone

BLOCK = 64
"""Weights that share one constant (``nf4``)."""
READ = (".patch_embedding", ".resblocks.0.mlp.c_fc")
"""Ends of the paths of layers whose weights keep their type, since a host casts what it is given to
it: SigLIP 2 its patches, open_clip its tokens."""
CONSTANTS = 256
"""Constants of blocks that share one constant of their own (double quantization)."""


def quantize(
    backbone: Backbone,
    section: Host,
    training: TrainingSection,
    *,
    storage: torch.dtype = torch.uint8,
) -> Backbone:
    """Store the linear weights of ``section.quantized_towers`` as ``section.quantization`` says.

    The output head, embeddings and projectors keep their weights. Arithmetic is in the autocast
    type of ``training``, or else in the host's own type.

    Args:
        backbone: A bare host with its weights, on the CPU; its modules are replaced.
        section: The recipe's ``backbone``.
        training: ``bf16`` and ``fp16`` are read.
        storage: Type that packed 4-bit weights are held in. FSDP shards only tensors of one type
            together, so it needs the type of the other weights here; the bits are the same.

    Raises:
        MissingExtraError: bitsandbytes is not installed.
        BackboneError: A tower holds no linear weights.
    """
    if section.quantization == "none":
        return backbone
    _require_bitsandbytes(section.quantization)
    chosen = quantized_linears(backbone, section)
    for path, linear in chosen.items():
        if section.quantization == "nf4":
            replaced = _nf4(linear, _compute_dtype(linear, training), storage)
        else:
            replaced = _int8(linear)
        backbone.model.set_submodule(path, replaced)
    bits = "4bit" if section.quantization == "nf4" else "8bit"
    setattr(backbone.model, f"is_loaded_in_{bits}", True)  # how PEFT knows which layers to place
    return backbone


def quantized_linears(backbone: Backbone, section: Host) -> Mapping[str, nn.Linear]:
    """Return the linear layers that a section asks to quantize, by path.

    Only plain ``nn.Linear`` modules count: what inherits from it (the output projection of
    ``nn.MultiheadAttention``) is read by others without being called. Those of ``READ`` do not.

    Args:
        backbone: A bare host, also on the meta device.
        section: ``quantization`` and ``quantized_towers`` are read.

    Raises:
        BackboneError: A named tower has no such layer.
    """
    if section.quantization == "none":
        return {}
    model = backbone.model
    head = model.get_output_embeddings() if isinstance(model, PreTrainedModel) else None
    found: dict[str, nn.Linear] = {}
    towers = set()
    for path, module in model.named_modules():
        if type(module) is not nn.Linear or module is head or path.endswith(READ):
            continue
        tower = tower_of(backbone, f"{path}.weight")
        if tower in section.quantized_towers:
            found[path] = module
            towers.add(tower)
    empty = [tower for tower in section.quantized_towers if tower not in towers]
    if empty:
        raise BackboneError(
            f"backbone.quantized_towers: {empty[0]!r} has no plain linear layers in this "
            f"{backbone.type} host, so nothing of it can be quantized: leave it out"
        )
    return found


def stored_bytes(linear: nn.Linear, quantization: Quantization) -> int:
    """Return the bytes of a quantized layer's weight with all of its constants, bias apart.

    Args:
        linear: The layer before it is quantized.
        quantization: How it will be stored.
    """
    size = linear.in_features * linear.out_features
    if quantization == "nf4":
        blocks = -(-size // BLOCK)
        codes, offset = 4 * (16 + 256), 4  # levels of weights and of constants; constants' mean
        return -(-size // 2) + blocks + 4 * -(-blocks // CONSTANTS) + codes + offset
    if quantization == "int8":
        return size + 4 * linear.out_features
    return size * linear.weight.element_size()


def is_quantized(model: nn.Module) -> bool:
    """Whether some weights of a model are quantized."""
    return any(type(module).__module__.startswith("bitsandbytes.") for module in model.modules())


def _compute_dtype(linear: nn.Linear, training: TrainingSection) -> torch.dtype:
    if training.bf16:
        return torch.bfloat16
    return torch.float16 if training.fp16 else linear.weight.dtype


def _nf4(linear: nn.Linear, compute_dtype: torch.dtype, storage: torch.dtype) -> nn.Module:
    from bitsandbytes.nn import Linear4bit, Params4bit

    kind: Any = Params4bit  # a Parameter with arguments of its own
    with torch.device("meta"):
        module = Linear4bit(
            linear.in_features,
            linear.out_features,
            bias=linear.bias is not None,
            compute_dtype=compute_dtype,
            compress_statistics=True,
            quant_type="nf4",
            quant_storage=storage,
        )
    weight = kind(
        linear.weight.detach(),
        requires_grad=False,
        compress_statistics=True,
        quant_type="nf4",
        quant_storage=storage,
        module=module,
    )
    module.weight = weight.to(_device()).to("cpu")
    module.quant_state = module.weight.quant_state
    module.bias = linear.bias
    # bitsandbytes packs weights in another order for some CPUs when it first sees a batch that
    # needs no gradient, and has no backward pass for that order: a validation would end training.
    module.support_avx512bf16_for_cpu = False
    return module


def _int8(linear: nn.Linear) -> nn.Module:
    from bitsandbytes.nn import Int8Params, Linear8bitLt

    kind: Any = Int8Params  # a Parameter with arguments of its own
    # Says at every call that inputs are cast to float16, which is the method.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    with torch.device("meta"):
        module = Linear8bitLt(
            linear.in_features,
            linear.out_features,
            bias=linear.bias is not None,
            has_fp16_weights=False,
            threshold=6.0,  # outlier features stay in 16 bits (arXiv 2208.07339, section 3.2)
        )
    weight = kind(linear.weight.detach(), requires_grad=False, has_fp16_weights=False)
    module.weight = weight.to(_device()).to("cpu")
    module.bias = linear.bias
    return module


def _device() -> torch.device:
    """Where quantization is computed: minutes on a CPU for large hosts, seconds on a GPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


def _require_bitsandbytes(quantization: str) -> None:
    try:
        import bitsandbytes  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            "bitsandbytes",
            extra="quantization",
            needed_for=f"backbone.quantization: {quantization}",
        ) from error
