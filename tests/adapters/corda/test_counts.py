"""Trained parameters against the paper's count, by formula and by the command line."""

import json
import subprocess
import sys

import pytest
from torch import nn

from vlft.adapters import apply_adapter
from vlft.backbones import build
from vlft.recipe import load_recipe
from vlft.recipe.shipped import find_shipped


def trained(name: str, *overrides: str) -> nn.Module:
    recipe = load_recipe(find_shipped("recipes", name), list(overrides)).recipe
    host = build(recipe.backbone, device="meta")
    return apply_adapter(host, recipe.adapter, recipe.towers, on_meta=True).model


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


LLAMA = (
    "backbone.model=null", "backbone.processor=null", "backbone.config=llama2_7b",
)  # fmt: skip


@pytest.mark.parametrize("mode", ["ipm", "kpm"])
def test_llama_2_7b_has_the_papers_320_million(mode):
    """128 x 32 layers x (4 x 8192 + 3 x 15104), arXiv 2406.05223, section 4."""
    expected = 128 * 32 * (4 * (4096 + 4096) + 3 * (4096 + 11008))
    assert count(trained(f"llama2_7b/corda_{mode}", *LLAMA)) == expected == 319_815_680


def test_show_counts_the_same_without_a_network():
    done = subprocess.run(
        [sys.executable, "-m", "vlft", "show", "recipes/llama2_7b/corda_ipm.yaml", "--json"],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert json.loads(done.stdout)["trainable_parameters"] == 319_815_680


def test_a_split_qkv_has_a_rank_for_each_of_the_three():
    """24 blocks of Qwen2.5-VL's tower: r (d + 3 d) shared, 3 r (d + 3 d) split."""
    twin = ("backbone.model=null", "backbone.config=tiny_qwen2_5_vl")
    pattern = r"adapter.target_modules=.*visual\.blocks\..*\.attn\.qkv"
    common = (*twin, "adapter.sites=[]", pattern, "adapter.r=2", "adapter.lora_alpha=2")
    shared = count(trained("qwen2_5_vl_7b/corda_sft", *common))
    split = count(trained("qwen2_5_vl_7b/corda_sft", *common, "adapter.merged_qkv=split"))
    assert split == 3 * shared
