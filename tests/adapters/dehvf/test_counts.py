"""Trained parameters of the paper's hosts, to the unit (dossier, section 5.1)."""

import json
import subprocess
import sys

import pytest

from vlft.adapters import apply_adapter
from vlft.backbones import build
from vlft.recipe.load import load_recipe
from vlft.recipe.shipped import find_shipped


def count(name, *overrides):
    recipe = load_recipe(find_shipped("recipes", name), list(overrides)).recipe
    host = recipe.backbone.model_copy(update={"vision": None, "language": None})
    backbone = apply_adapter(
        build(host, device="meta"), recipe.adapter, recipe.towers, on_meta=True
    )
    return sum(p.numel() for p in backbone.model.parameters() if p.requires_grad)


@pytest.mark.parametrize(
    ("name", "overrides", "expected"),
    [
        ("clip_l_llama_7b/dehvf_scienceqa", (), 4_492_160),
        ("clip_l_llama_7b/dehvf_coco_captions", (), 4_492_160),
        ("clip_l_llama_13b/dehvf_scienceqa", (), 6_229_440),
        ("clip_l_llama_7b/dehvf_scienceqa", ("adapter.vision_adapter_dim=0",), 3_902_336),
    ],
)
def test_the_dossiers_totals(name, overrides, expected):
    assert count(name, *overrides) == expected


@pytest.mark.parametrize(
    ("name", "width", "memvp"),
    [
        ("clip_l_llama_7b/dehvf_scienceqa", 4096, 3_879_040),
        ("clip_l_llama_13b/dehvf_scienceqa", 5120, 5_487_744),
    ],
)
def test_with_the_top_group_and_tied_maps_it_is_memvp(name, width, memvp):
    """MemVP's published counts (arXiv 2405.05615), with every difference named."""
    ours = count(name, "adapter.query=last_only", "adapter.tie_maps=true")
    projector_output_bias = width  # dropped here
    unused_modality_table = 2 * width  # in MemVP's code, without a gradient
    gain_on_patches = 1024  # ours
    assert ours + projector_output_bias + unused_modality_table - gain_on_patches == memvp


def test_show_counts_the_same():
    done = subprocess.run(
        [sys.executable, "-m", "vlft", "show", "clip_l_llama_7b/dehvf_scienceqa", "--json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["trainable_parameters"] == 4_492_160
