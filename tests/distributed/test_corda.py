"""CorDA on several processes: prepared together, or beforehand where none has whole weights."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

CORDA = (
    "adapter={type: corda, mode: ipm, sites: [vision.attention, projector, language.attention], "
    "r: 4, calibration: {samples: 17}}"
)


@pytest.fixture(scope="module")
def one_process(launch, recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLFT_CACHE", str(folder / "cache"))
        launch(None, recipe("generative"), CORDA, f"training.output_dir={folder / 'run'}")
    return folder / "run"


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    """Each test prepares for itself."""
    monkeypatch.setenv("VLFT_CACHE", str(tmp_path / "cache"))


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
def test_two_processes_prepare_what_one_does(launch, recipe, one_process, losses, tmp_path):
    """17 samples are 9 and 8; every layer counts the tokens of all of them."""
    launch("cpu_ddp", recipe("generative"), CORDA, f"training.output_dir={tmp_path / 'two'}")
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
    best, launch, recipe, one_process, losses, tmp_path
):
    """Factors of real models are split among processes, and so are these."""
    where = f"training.output_dir={tmp_path / 'run'}"
    measured = (
        "data.validation={type: scenes, task: mixture, num_samples: 8, seed: 6, split: held_out}",
        "evaluation.metric_for_best=loss", "training.eval_strategy=steps",
        "training.save_strategy=steps", "training.eval_steps=5", "training.save_steps=5",
    )  # fmt: skip
    launch(None, recipe("generative"), CORDA, where, "--prepare-only")
    script = Path(__file__).with_name("split_all.py")
    launch(
        "cpu_zero3", recipe("generative"), CORDA, where, *(measured if best else ()), script=script
    )
    assert losses(tmp_path / "run") == pytest.approx(losses(one_process), rel=1e-3)
    one = load_file(one_process / "adapter_model.safetensors")
    two = load_file(tmp_path / "run" / "adapter_model.safetensors")
    assert one.keys() == two.keys()
    for name, tensor in two.items():
        torch.testing.assert_close(tensor.float(), one[name], rtol=1e-2, atol=5e-3, msg=name)
