"""QLoRA runs: trained on a quantized base, loaded elsewhere, resumed, and started from."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import vlft
from vlft.backbones.quantization import is_quantized
from vlft.hub import load

NF4 = "backbone.quantization=nf4"
INT8 = "backbone.quantization=int8"
STEADY = "training.lr_scheduler_type=constant"  # so that a shorter run is the start of a longer
KEEP = (STEADY, "training.save_strategy=steps", "training.save_steps=2")

FRESH = """
import json, sys, torch, vlft
from safetensors.torch import load_file
batch = load_file(sys.argv[2])
out = {}
for run in json.loads(sys.argv[1]):
    with torch.no_grad():
        out[run] = vlft.load(run).model(**batch).logits.flatten()[:64].tolist()
print(json.dumps(out))
"""


@pytest.fixture(scope="module")
def nf4_run(train) -> Path:
    return train(NF4, *KEEP)


@pytest.fixture(scope="module")
def int8_run(train) -> Path:
    return train(INT8)


def logits(model, batch):
    wanted = {k: batch[k] for k in ("input_ids", "attention_mask", "pixel_values")}
    model.eval()
    with torch.no_grad():
        return model(**wanted).logits


def test_runs_load_in_a_fresh_process_with_equal_logits(nf4_run, int8_run, batch, tmp_path: Path):
    wanted = {k: batch[k] for k in ("input_ids", "attention_mask", "pixel_values")}
    save_file(wanted, tmp_path / "batch.safetensors")
    runs = [str(nf4_run), str(int8_run)]
    called = subprocess.run(
        [sys.executable, "-c", FRESH, json.dumps(runs), str(tmp_path / "batch.safetensors")],
        capture_output=True,
        text=True,
        check=True,
    )
    fresh = json.loads(called.stdout.splitlines()[-1])
    for run in runs:
        here = load(run)
        assert is_quantized(here.model)
        expected = logits(here.model, batch).flatten()[:64]
        torch.testing.assert_close(torch.tensor(fresh[run]), expected, rtol=1e-4, atol=1e-5)


def test_the_loaded_run_computes_what_was_trained(train, live, batch):
    run = train(NF4)
    trained = logits(live[-1].model, batch)
    torch.testing.assert_close(logits(load(run).model, batch), trained, rtol=1e-4, atol=1e-5)


def test_the_run_keeps_the_exact_base(nf4_run):
    base = load_file(nf4_run / "base" / "model.safetensors")
    assert all(tensor.dtype == torch.float32 for tensor in base.values())
    assert not is_quantized(load(nf4_run, quantized=False).model)


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(train, nf4_run, tmp_path: Path):
    run = tmp_path / "run"
    train(NF4, *KEEP, "training.max_steps=2", run_dir=run)
    train(NF4, *KEEP, run_dir=run, resume=True)
    expected = load_file(nf4_run / "adapter_model.safetensors")
    for name, tensor in load_file(run / "adapter_model.safetensors").items():
        torch.testing.assert_close(tensor, expected[name], rtol=0.02, atol=1e-3)


def test_a_run_starts_from_a_quantized_one_with_its_exact_base(train, nf4_run, batch):
    """The first adapter is merged into the exact weights, which the second run quantizes anew."""
    second = train(f"init_from={nf4_run}", NF4)
    assert is_quantized(load(second).model)
    merged = load(nf4_run, quantized=False).model.merge_and_unload()
    adapted = load(second, quantized=False).model
    with adapted.disable_adapter():
        torch.testing.assert_close(
            logits(adapted, batch), logits(merged, batch), rtol=1e-3, atol=1e-4
        )


def test_a_projector_is_trained_in_full_beside_a_quantized_language_model(train, batch):
    run = train(NF4, "towers={projector: {train: full}}", "adapter.sites=[language.attention]")
    saved = load_file(run / "adapter_model.safetensors")
    assert any("multi_modal_projector" in name for name in saved)
    assert vlft.load(run).model(**{k: batch[k] for k in ("input_ids", "pixel_values")})
