"""Shipped configurations: their sizes are the published ones, counted without memory."""

import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForImageTextToText,
)

from vlft.backbones import config_names, read_config
from vlft.backbones.loading import shipped_model_config
from vlft.errors import BackboneError

AUTO_CLASSES = {
    "clip": AutoModel,
    "causal_lm": AutoModelForCausalLM,
    "image_text_to_text": AutoModelForImageTextToText,
    "assembled": AutoModelForImageTextToText,
    "vision": AutoModelForImageClassification,
}
SHIPPED = [read_config(name) for name in config_names()]
PUBLISHED = [shipped for shipped in SHIPPED if shipped.total_parameters is not None]

CLIP_L14 = 303_179_776  # vision tower at 224 pixels
LLAMA_1 = {"7b": 6_738_415_616, "13b": 13_015_864_320}


def count(shipped):
    with torch.device("meta"):
        model = AUTO_CLASSES[shipped.types[0]].from_config(shipped_model_config(shipped))
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("shipped", PUBLISHED, ids=lambda shipped: shipped.name)
def test_the_total_is_the_published_one(shipped):
    assert count(shipped) == shipped.total_parameters


@pytest.mark.parametrize(("size", "width"), [("7b", 4096), ("13b", 5120)])
def test_the_clip_llama_hosts_are_the_sum_of_their_parts(size, width):
    projector = (1024 + 1) * width + (width + 1) * width
    expected = CLIP_L14 + projector + LLAMA_1[size]
    assert count(read_config(f"clip_l_llama_{size}")) == expected


@pytest.mark.parametrize("name", ["tiny_llava", "tiny_clip", "tiny_llama"])
def test_the_tiny_hosts_are_tiny(name):
    assert 0.5e6 < count(read_config(name)) < 1.5e6


def test_the_hosts_of_the_papers_are_there():
    assert {
        "clip_vit_b32",
        "clip_l_llama_7b",
        "clip_l_llama_13b",
        "llama2_7b",
        "vit_s16",
        "vit_b16",
        "swin_t",
        "qwen2_5_vl_3b",
        "qwen2_5_vl_7b",
        "qwen2_vl_2b",
        "smolvlm",
    } < set(config_names())


@pytest.mark.parametrize("shipped", SHIPPED, ids=lambda shipped: shipped.name)
def test_what_is_no_toy_names_its_source(shipped):
    assert shipped.name.startswith("tiny_") or shipped.source


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(BackboneError, match=r"unknown configuration 'tiny_lava'.*'tiny_llava'"):
        read_config("tiny_lava")
