"""CorDA on several processes: prepared together, or beforehand where none has whole weights."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

RECIPE = """
seed: 3
backbone: {type: assembled, config: tiny_llava}
adapter:
  type: corda
  mode: ipm
  sites: [vision.attention, projector, language.attention]
  r: 4
  calibration: {samples: 17}
data:
  train: {type: scenes, task: mixture, num_samples: 64, seed: 5}
objective: {type: language_modeling}
training:
  global_batch_size: 8
  max_steps: 5
  learning_rate: 1e-2
  logging_steps: 1
  save_strategy: 'no'
  dataloader_num_workers: 0
"""


@pytest.fixture(scope="module")
def corda_recipe(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("corda") / "recipe.yaml"
    path.write_text(RECIPE)
    return str(path)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache of one's own, so that each launch prepares or reads what this module says."""

    def named(name: str):
        folder = tmp_path_factory.getbasetemp() / name
        patch = pytest.MonkeyPatch()
        patch.setenv("VLFT_CACHE", str(folder))
        return patch

    return named


@pytest.fixture(scope="module")
def one_process(launch, corda_recipe, cache, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("one") / "run"
    patch = cache("one")
    launch(None, corda_recipe, f"training.output_dir={run_dir}")
    patch.undo()
    return run_dir


def products(run_dir) -> dict[str, torch.Tensor]:
    """What the step-0 factors take out of each layer; signs of singular vectors do not count."""
    state = load_file(run_dir / "initial_adapter" / "adapter_model.safetensors")
    return {
        name: state[name.replace("lora_A", "lora_B")] @ state[name]
        for name in state
        if "lora_A" in name
    }


@pytest.mark.distributed
@pytest.mark.slow
def test_two_processes_prepare_what_one_does(
    launch, corda_recipe, cache, one_process, losses, tmp_path
):
    """17 samples are 9 and 8; every layer counts the tokens of all of them."""
    patch = cache("two")
    launch("cpu_ddp", corda_recipe, f"training.output_dir={tmp_path / 'two'}")
    patch.undo()
    notes = [
        json.loads((run / "calibration.json").read_text())["layers"]
        for run in (one_process, tmp_path / "two")
    ]
    for path, note in notes[0].items():
        assert notes[1][path]["calls"] == note["calls"] == 17
        assert notes[1][path]["tokens"] == note["tokens"]
    found, expected = products(tmp_path / "two"), products(one_process)
    assert found.keys() == expected.keys()
    for name, product in expected.items():
        torch.testing.assert_close(found[name], product, rtol=1e-3, atol=1e-4)
    assert losses(tmp_path / "two") == pytest.approx(losses(one_process), rel=1e-3)


@pytest.mark.distributed
@pytest.mark.slow
@pytest.mark.parametrize("best", [False, True], ids=["last", "best"])
def test_zero3_trains_and_exports_what_was_prepared_beforehand(
    best, launch, corda_recipe, cache, one_process, losses, tmp_path
):
    """Factors of real models are split among processes, and so are these."""
    patch = cache("zero")
    where = f"training.output_dir={tmp_path / 'run'}"
    measured = (
        "data.validation={type: scenes, task: mixture, num_samples: 8, seed: 6, split: held_out}",
        "evaluation.metric_for_best=loss", "training.eval_strategy=steps",
        "training.save_strategy=steps", "training.eval_steps=5", "training.save_steps=5",
    )  # fmt: skip
    launch(None, corda_recipe, where, "--prepare-only")
    script = Path(__file__).with_name("split_all.py")
    launch("cpu_zero3", corda_recipe, where, *(measured if best else ()), script=script)
    patch.undo()
    assert losses(tmp_path / "run") == pytest.approx(losses(one_process), rel=1e-3)
    one = load_file(one_process / "adapter_model.safetensors")
    two = load_file(tmp_path / "run" / "adapter_model.safetensors")
    assert one.keys() == two.keys()
    for name, tensor in two.items():
        torch.testing.assert_close(tensor.float(), one[name], rtol=1e-2, atol=5e-3, msg=name)
