"""``vlft merge``: what is written answers like the run, and loads without vlft."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vlft.adapters import parts
from vlft.cli.merge import run as merge
from vlft.errors import AdapterError, RunDirectoryError, UnknownNameError
from vlft.hub import load

PLAIN = """
import json, sys, torch, transformers
from safetensors.torch import load_file
out = {}
for kind, folder, batch in json.loads(sys.argv[1]):
    model = getattr(transformers, kind).from_pretrained(folder).eval()
    transformers.AutoProcessor.from_pretrained(folder)
    with torch.no_grad():
        found = model(**load_file(batch))
    found = found.logits if "logits" in found else found.image_embeds
    out[folder] = found.float().flatten()[:64].tolist()
print(json.dumps(out))
"""


def outputs(model, batch):
    model.eval()
    with torch.no_grad():
        found = model(**batch)
    return found.logits if "logits" in found else found.image_embeds


@pytest.fixture(scope="module")
def merged(lora_run, clip_run, train, batches, tmp_path_factory) -> dict[str, tuple]:
    """Merged runs: name to (run, folder, plain class, inputs)."""
    folder = tmp_path_factory.mktemp("merged")
    pissa = train("adapter.init_lora_weights=pissa", "towers={projector: {train: full}}")
    corda = "adapter={type: corda, mode: ipm, sites: [projector, language.mlp], r: 4, save: %s}"
    portable, residual = (train(corda % save) for save in ("portable", "residual"))
    runs = {
        "corda": (portable, "AutoModelForImageTextToText", "tiny_llava"),
        "corda residual": (residual, "AutoModelForImageTextToText", "tiny_llava"),
        "lora": (lora_run, "AutoModelForImageTextToText", "tiny_llava"),
        "pissa": (pissa, "AutoModelForImageTextToText", "tiny_llava"),
        "clip": (clip_run, "CLIPModel", "tiny_clip"),
    }
    found = {}
    for name, (run, kind, host) in runs.items():
        merge(str(run), str(folder / name))
        names = ("input_ids", "attention_mask", "pixel_values")
        found[name] = (run, folder / name, kind, {k: batches[host][k] for k in names})
    return found


def test_merged_runs_load_in_a_fresh_process_without_vlft(merged, tmp_path: Path):
    from safetensors.torch import save_file

    asked = []
    for name, (_, folder, kind, batch) in merged.items():
        save_file(batch, tmp_path / f"{name}.safetensors")
        asked.append((kind, str(folder), str(tmp_path / f"{name}.safetensors")))
    called = subprocess.run(
        [sys.executable, "-c", PLAIN, json.dumps(asked)], capture_output=True, text=True, check=True
    )
    found = json.loads(called.stdout.splitlines()[-1])
    for run, folder, _, batch in merged.values():
        expected = outputs(load(run).model, batch).flatten()[:64]
        torch.testing.assert_close(torch.tensor(found[str(folder)]), expected, rtol=1e-3, atol=1e-4)


def test_a_quantized_run_is_merged_into_the_exact_weights(train, batches, tmp_path, capsys):
    run = train("backbone.quantization=nf4")
    merge(str(run), str(tmp_path / "out"))
    assert "trained on nf4 weights" in capsys.readouterr().err
    batch = {k: batches["tiny_llava"][k] for k in ("input_ids", "pixel_values")}
    exact = outputs(load(run, quantized=False).model, batch)
    found = load(tmp_path / "out")
    torch.testing.assert_close(outputs(found.model, batch), exact, rtol=1e-3, atol=1e-4)
    assert all(p.dtype == torch.float32 for p in found.model.parameters())


def test_weights_are_written_in_another_type(lora_run, tmp_path):
    merge(str(lora_run), str(tmp_path / "half"), dtype="bfloat16")
    config = json.loads((tmp_path / "half" / "config.json").read_text())
    assert config["dtype"] == "bfloat16"


def test_rounding_of_a_half_precision_run_is_no_difference(train, tmp_path):
    """The adapter is folded in float32, so a strong one passes in any type."""
    run = train("backbone.dtype=bfloat16", "training.learning_rate=0.1", "training.max_steps=8")
    for dtype in ("auto", "float32"):
        merge(str(run), str(tmp_path / dtype), dtype=dtype)
    config = json.loads((tmp_path / "auto" / "config.json").read_text())
    assert config["dtype"] == "bfloat16"


def test_nothing_is_written_when_the_merged_model_answers_otherwise(
    lora_run, tmp_path, monkeypatch
):
    """The adapter is folded in with one weight damaged; the comparison must see it."""
    folded = parts.merge_adapter

    def damaged(backbone, *, field):
        merged = folded(backbone, field=field)
        with torch.no_grad():
            merged.model.get_output_embeddings().weight.mul_(1.5)
        return merged

    monkeypatch.setattr(parts, "merge_adapter", damaged)
    with pytest.raises(AdapterError, match=r"logits differ from the run's by .* nothing was"):
        merge(str(lora_run), str(tmp_path / "out"))
    assert not list(tmp_path.iterdir())


def test_refusals_name_the_next_step(lora_run, train, tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(RunDirectoryError, match="exists already"):
        merge(str(lora_run), str(tmp_path / "there"))
    with pytest.raises(UnknownNameError, match="Did you mean 'bfloat16'"):
        merge(str(lora_run), str(tmp_path / "out"), dtype="bfloat")
    whole = train("adapter={type: full}")
    with pytest.raises(RunDirectoryError, match="a whole model and no adapter"):
        merge(str(whole), str(tmp_path / "out"))
    with pytest.raises(RunDirectoryError, match="no run of vlft"):
        merge(str(tmp_path), str(tmp_path / "out"))
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_an_adapter_that_cannot_be_merged_is_named(train, tmp_path, monkeypatch):
    """No method that attaches to modules declines today; one that does is refused by its name."""
    run = train("adapter={type: peft, peft_type: IA3, sites: [language.attention], "
                "options: {feedforward_modules: []}}")  # fmt: skip

    def declines(self, *args, **kwargs):
        raise NotImplementedError

    monkeypatch.setattr("peft.tuners.ia3.model.IA3Model.merge_and_unload", declines)
    with pytest.raises(AdapterError, match=r"merge: the adapter of that run \(.*IA3\) cannot be"):
        merge(str(run), str(tmp_path / "out"))
    assert not list(tmp_path.iterdir())
