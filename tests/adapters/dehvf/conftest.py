"""Tiny hosts with a DEHVF adapter whose weights are all different from zero."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from vlft.adapters import apply_adapter
from vlft.backbones import build
from vlft.recipe.adapter import DehvfAdapter
from vlft.recipe.backbone import ImageTextToText
from vlft.types import Backbone

SMALL = {"groups": 2, "r": 8, "num_learned": 4, "width": 8, "mlp_hidden": 16}

HOSTS = (
    "tiny_llava",
    "tiny_qwen2_5_vl",
    "tiny_qwen2_vl",
    "tiny_smolvlm",
    "tiny_idefics3",
    "tiny_paligemma",
    "tiny_gemma3",
)
"""One host for each way to read a tower."""

QUERIES = ("layer_id", "hidden", "static", "last_only")


def logits_of(backbone: Backbone, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    with torch.no_grad():
        return backbone.model(**inputs).logits


def texts(inputs: dict[str, torch.Tensor], *rows: int) -> dict[str, torch.Tensor]:
    """Inputs without images, of some rows."""
    chosen = list(rows) or slice(None)
    return {name: inputs[name][chosen] for name in ("input_ids", "attention_mask")}


def one(
    inputs: dict[str, torch.Tensor], row: int, image: int | None = None
) -> dict[str, torch.Tensor]:
    """One sample alone, without padding."""
    length = int(inputs["attention_mask"][row].sum())
    found = {
        name: inputs[name][row : row + 1, :length]
        for name in ("input_ids", "attention_mask", "prompt_mask")
    }
    if image is not None:
        found["pixel_values"] = inputs["pixel_values"][image : image + 1]
    return found


def section_of(name: str, **options: Any) -> DehvfAdapter:
    pooled = {"num_patches": 16} if "qwen" in name else {}
    return DehvfAdapter(type="dehvf", **{**SMALL, **pooled, **options})


@pytest.fixture(scope="session")
def pristine() -> dict[str, Backbone]:
    made = {}
    for name in HOSTS:
        torch.manual_seed(0)
        made[name] = build(ImageTextToText(type="image_text_to_text", config=name))
        made[name].model.eval()
    return made


@pytest.fixture
def bare(pristine: dict[str, Backbone]) -> Callable[[str], Backbone]:
    """Give a fresh copy of a host."""

    def make(name: str = "tiny_llava") -> Backbone:
        return replace(pristine[name], model=copy.deepcopy(pristine[name].model))

    return make


def shake(backbone: Backbone, seed: int = 0) -> Backbone:
    """Draw every adapter weight anew, so that images change the answers."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in backbone.model.named_parameters():
            if "vlft_dehvf_" in name:
                drawn = torch.randn(parameter.shape, generator=generator)
                parameter.copy_(0.3 * drawn)
    return backbone


@pytest.fixture
def adapted(bare) -> Callable[..., Backbone]:
    """Give a host with an adapter in evaluation mode, by default with weights that matter."""

    def make(name: str = "tiny_llava", *, shaken: bool = True, **options: Any) -> Backbone:
        torch.manual_seed(1)
        backbone = apply_adapter(bare(name), section_of(name, scale=1.0, **options), {})
        backbone.model.eval()
        return shake(backbone) if shaken else backbone

    return make


@pytest.fixture
def inputs() -> dict[str, torch.Tensor]:
    """Three samples of different lengths for LLaVA: image 0, no image, image 1."""
    generator = torch.Generator().manual_seed(5)
    ids = torch.randint(20, 400, (3, 9), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "pixel_values": torch.randn(2, 3, 48, 48, generator=generator),
        "image_slots": torch.tensor([[0], [-1], [1]]),
        "prompt_mask": (mask * (torch.arange(9) < 5)).bool(),
    }
