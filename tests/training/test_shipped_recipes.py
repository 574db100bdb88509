"""Every shipped recipe for a real model runs on the tiny twin of that model, with a user's file."""

import json

import pytest

import vlft
from vlft.backbones import count_towers
from vlft.recipe import load_recipe
from vlft.recipe.shipped import list_shipped

TWINS = {
    "qwen2_5_vl_7b": "tiny_qwen2_5_vl",
    "llava_1_5_7b": "tiny_llava",
    "smolvlm": "tiny_idefics3",  # the layout of SmolVLM-Instruct
}
"""Folder of ``recipes/`` to the host of the same layout."""

RECIPES = [name for name in list_shipped("recipes") if name.split("/")[0] in TWINS]

TRAINED = {name: {"language"} for name in ("lora_sft", "qlora_sft", "full_sft", "corda_sft")}
"""Towers that are trained, by recipe; two hosts train their projector as well."""

PROJECTOR_TOO = {"llava_1_5_7b/lora_sft", "llava_1_5_7b/qlora_sft", "smolvlm/full_sft"}


@pytest.fixture(scope="session")
def my_data(tmp_path_factory):
    """A user's file: conversations with no, one and two images."""
    from vlft.data.scenes.layouts.messages import write
    from vlft.data.scenes.scene import World

    folder = tmp_path_factory.mktemp("mine")
    write(folder, World(seed=1), range(12))
    return folder / "messages.jsonl"


def test_there_is_one_for_every_model():
    assert {name.split("/")[0] for name in RECIPES} == set(TWINS)


@pytest.mark.filterwarnings("ignore::vlft.errors.CalibrationWarning")  # twelve samples
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_runs_on_the_twin(name, my_data, tmp_path):
    from vlft.cli.train import run

    if "qlora" in name:
        pytest.importorskip("bitsandbytes", reason="needs the extra `quantization`")
    folder, kind = name.split("/")
    run_dir = tmp_path / "run"
    overrides = [
        f"data.train.path={my_data}", f"training.output_dir={run_dir}",
        "backbone.model=null", f"backbone.config={TWINS[folder]}",
        "training.max_steps=2", "training.global_batch_size=4",
        "training.per_device_train_batch_size=2", "training.logging_steps=1",
        "training.dataloader_num_workers=0",
    ]  # fmt: skip
    assert run(name, overrides, resume=False) == 0
    steps = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    assert len([line for line in steps if "loss" in line]) == 2
    resolved = load_recipe(run_dir).recipe
    assert resolved.backbone.quantization == ("nf4" if kind == "qlora_sft" else "none")
    assert resolved.adapter.type == kind.removesuffix("_sft").removeprefix("q")
    assert vlft.load(run_dir).processor is not None


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_trains_the_parts_that_it_says(name):
    from vlft.adapters import apply_adapter
    from vlft.backbones import build

    folder, kind = name.split("/")
    twin = ["backbone.model=null", f"backbone.config={TWINS[folder]}", "backbone.quantization=none"]
    recipe = load_recipe(name, twin).recipe
    backbone = build(recipe.backbone, device="meta")
    backbone = apply_adapter(backbone, recipe.adapter, recipe.towers, on_meta=True)
    trained = {tower.name for tower in count_towers(backbone) if tower.trainable}
    assert trained == TRAINED[kind] | ({"projector"} if name in PROJECTOR_TOO else set())
