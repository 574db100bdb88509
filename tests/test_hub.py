"""``vlft.load`` opens runs, their checkpoints and plain checkpoints, and says why it cannot."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

import vlft
from vlft.errors import BackboneError, RunDirectoryError
from vlft.objectives import build_objective
from vlft.recipe.objective import Contrastive, LanguageModeling


def outputs_of(backbone, batch):
    section = (
        Contrastive(type="contrastive")
        if backbone.family == "contrastive"
        else LanguageModeling(type="language_modeling")
    )
    backbone.model.eval()
    with torch.no_grad():
        outputs = build_objective(section).forward(backbone.model, batch)
    return outputs["image_embeds" if backbone.family == "contrastive" else "logits"]


@pytest.fixture
def copied(lora_run, tmp_path):
    """A run that a test may damage."""
    return shutil.copytree(lora_run, tmp_path / "run")


# what cannot be loaded


def test_no_folder():
    with pytest.raises(BackboneError, match=r"'runs/a/b' is no folder; give a run directory"):
        vlft.load("runs/a/b")


def test_name_that_the_hub_does_not_give():
    with pytest.raises(BackboneError, match=r"'hub:user/name@v1' is no folder here, and the Hub"):
        vlft.load("hub:user/name@v1")


def test_folder_that_is_no_run(tmp_path):
    with pytest.raises(BackboneError, match=r"holds neither recipe\.yaml nor a readable config"):
        vlft.load(tmp_path)


def test_unfinished_run(copied):
    (copied / "adapter_config.json").unlink()
    with pytest.raises(RunDirectoryError, match=r"holds no finished model .*--resume"):
        vlft.load(copied)


def test_adapter_that_lacks_a_tensor_or_has_one_too_many(copied):
    path = copied / "adapter_model.safetensors"
    weights = load_file(path)
    first = sorted(weights)[0]
    save_file({name: weights[name] for name in weights if name != first}, path)
    with pytest.raises(RunDirectoryError, match=r"1 tensors missing .*, 0 unexpected"):
        vlft.load(copied)
    save_file({**weights, "base_model.model.extra.lora_A.weight": weights[first].clone()}, path)
    with pytest.raises(RunDirectoryError, match=r"0 tensors missing .*, 1 unexpected \(.*extra"):
        vlft.load(copied)


def test_part_that_does_not_fit(copied):
    parts = {"model.multi_modal_projector.linear_1.weight": torch.zeros(2, 2)}
    save_file(parts, copied / "base" / "parts.safetensors")
    with pytest.raises(RunDirectoryError, match=r"linear_1\.weight \(2, 2\) does not fit"):
        vlft.load(copied)


# what can


def test_checkpoint_is_the_model_of_its_step(lora_run, batches):
    batch = batches["tiny_llava"]
    end, last = vlft.load(lora_run), vlft.load(lora_run / "checkpoint-4")
    torch.testing.assert_close(outputs_of(last, batch), outputs_of(end, batch), rtol=0, atol=0)
    early = outputs_of(vlft.load(lora_run / "checkpoint-2"), batch)
    assert not torch.allclose(early, outputs_of(end, batch), atol=1e-3)


def test_run_may_be_moved(lora_run, copied, batches):
    batch = batches["tiny_llava"]
    torch.testing.assert_close(
        outputs_of(vlft.load(copied), batch), outputs_of(vlft.load(lora_run), batch), rtol=0, atol=0
    )


@pytest.mark.parametrize("name", ["tiny_llava", "tiny_clip", "tiny_llama"])
def test_plain_checkpoint_of_every_host(name, host, batches, tmp_path):
    backbone = host(name)
    backbone.model.save_pretrained(tmp_path)
    backbone.processor.save_pretrained(tmp_path)
    loaded = vlft.load(tmp_path)
    assert (loaded.type, loaded.family) == (backbone.type, backbone.family)
    batch = batches[name]
    torch.testing.assert_close(
        outputs_of(loaded, batch), outputs_of(backbone, batch), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("run", ["lora_run", "clip_run"])
def test_stock_peft_loads_the_exported_adapter(run, request, batches):
    from transformers import AutoModel, AutoModelForImageTextToText

    run_dir = request.getfixturevalue(run)
    loaded = vlft.load(run_dir)
    clip = run == "clip_run"
    plain = (AutoModel if clip else AutoModelForImageTextToText).from_pretrained(run_dir / "base")
    stock = PeftModel.from_pretrained(plain, run_dir)
    batch = batches["tiny_clip" if clip else "tiny_llava"]
    torch.testing.assert_close(
        outputs_of(replace(loaded, model=stock), batch),
        outputs_of(loaded, batch),
        rtol=1e-5,
        atol=1e-5,
    )


def test_exported_adapter_names_no_folder_of_this_machine(train, lora_run, tmp_path):
    again = train(f"init_from={lora_run}", "training.max_steps=1", run_dir=tmp_path / "again")
    for run_dir in (lora_run, again):
        config = json.loads((run_dir / "adapter_config.json").read_text())
        assert not config["base_model_name_or_path"]


# starting from what was loaded (the chains of runs are in tests/training/test_runs.py)


def test_start_from_a_plain_checkpoint_that_the_recipe_does_not_name(
    train, host, batches, tmp_path
):
    backbone = host("tiny_llava")
    backbone.model.save_pretrained(tmp_path / "plain")
    backbone.processor.save_pretrained(tmp_path / "plain")
    run_dir = train(
        f"init_from={tmp_path / 'plain'}", "training.learning_rate=0", "training.max_steps=1",
        run_dir=tmp_path / "run",
    )  # fmt: skip
    shutil.rmtree(tmp_path / "plain")
    batch = batches["tiny_llava"]
    torch.testing.assert_close(
        outputs_of(vlft.load(run_dir), batch), outputs_of(backbone, batch), rtol=1e-5, atol=1e-5
    )


def test_host_that_has_a_checkpoint_is_not_stored_again(train, host, batches, tmp_path):
    backbone = host("tiny_llava")
    backbone.model.save_pretrained(tmp_path / "plain")
    backbone.processor.save_pretrained(tmp_path / "plain")
    named = f"backbone={{type: image_text_to_text, model: {tmp_path / 'plain'}}}"
    first = train(named, run_dir=tmp_path / "first")
    assert not (first / "base").exists()
    second = train(
        named, f"init_from={first}", "training.learning_rate=0", "training.max_steps=1",
        run_dir=tmp_path / "second",
    )  # fmt: skip
    stored = load_file(second / "base" / "parts.safetensors")
    assert {name.rsplit(".", 2)[1] for name in stored} == {
        "q_proj", "k_proj", "v_proj", "o_proj", "out_proj"
    }  # fmt: skip
    batch = batches["tiny_llava"]
    expected = outputs_of(vlft.load(first), batch)
    shutil.rmtree(first)
    torch.testing.assert_close(outputs_of(vlft.load(second), batch), expected, rtol=1e-4, atol=1e-4)


def test_benchmarks_of_a_run_and_of_its_checkpoint(copied, tmp_path):
    from vlft import hub

    path = copied / "recipe.yaml"
    assert hub.evaluation_of(copied).suite is None
    path.write_text(path.read_text().replace("suite: null", "suite: scenes/retrieval"))
    assert hub.evaluation_of(copied).suite == "scenes/retrieval"
    assert hub.evaluation_of(copied / "checkpoint-2").suite == "scenes/retrieval"
    assert hub.evaluation_of(tmp_path) is None
