"""Runs with CorDA: what they start from, what they leave behind, and where that loads."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForImageTextToText, set_seed

import vlft
from vlft.backbones.quantization import is_quantized
from vlft.cli.train import prepare_only, run
from vlft.cli.train_prepare import prepared
from vlft.errors import AdapterError, CalibrationWarning, DataError
from vlft.hub import load, starting_host
from vlft.recipe import load_recipe
from vlft.recipe.launch import Launch
from vlft.training import fit

SITES = "sites: [vision.attention, projector, language.attention, language.mlp]"
IPM = f"adapter={{type: corda, mode: ipm, r: 4, {SITES}, calibration: {{samples: 16}}}}"
RESIDUAL = IPM.replace("r: 4", "r: 4, save: residual")
FAST = "training.learning_rate=1e-2"
KEEP = ("training.save_strategy=steps", "training.save_steps=2")
STEADY = "training.lr_scheduler_type=constant"  # so that a shorter run is the start of a longer
NF4 = "backbone.quantization=nf4"

FRESH = """
import sys, torch, vlft
from safetensors.torch import load_file, save_file
model = vlft.load(sys.argv[1]).model
with torch.no_grad():
    save_file({"logits": model(**load_file(sys.argv[2])).logits}, sys.argv[3])
"""


@pytest.fixture(scope="module", autouse=True)
def empty_cache(tmp_path_factory) -> Iterator[Path]:
    """Prepare anew: what an earlier version has kept proves nothing."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLFT_CACHE", str(folder))
        yield folder


class Done(NamedTuple):
    """A run, and the model as it was in memory at its end."""

    run_dir: Path
    model: nn.Module


@pytest.fixture(scope="module")
def done(train) -> Callable[..., Done]:
    """Train with overrides once; runs are not written to."""
    known: dict[tuple[str, ...], Done] = {}

    def trained(*overrides: str) -> Done:
        if overrides not in known:
            caught: list[nn.Module] = []
            original = fit.fit

            def spy(**kwargs):
                caught.append(kwargs["backbone"].model)
                return original(**kwargs)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(fit, "fit", spy)
                known[overrides] = Done(train(*overrides), caught[0])
        return known[overrides]

    return trained


@pytest.fixture(scope="module")
def batch(batches):
    return batches["tiny_llava"]


@pytest.fixture(scope="module")
def portable(done) -> Done:
    return done(IPM, FAST, *KEEP)


@pytest.fixture(scope="module")
def residual(done) -> Done:
    return done(RESIDUAL, FAST, *KEEP)


@pytest.fixture(scope="module")
def quantized(done) -> Done:
    return done(RESIDUAL, NF4, FAST, STEADY, *KEEP)


def inputs_of(batch):
    return {key: batch[key] for key in ("input_ids", "attention_mask", "pixel_values")}


def logits(model, batch):
    model.eval()
    with torch.no_grad():
        return model(**inputs_of(batch)).logits


def assert_close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-5)


def test_the_portable_run_loads_on_the_untouched_base_with_stock_peft(portable, batch):
    trained = logits(portable.model, batch)
    base = AutoModelForImageTextToText.from_pretrained(portable.run_dir / "base")
    untouched = logits(base, batch)
    model = PeftModel.from_pretrained(base, str(portable.run_dir))
    assert model.peft_config["default"].r == 8
    assert_close(logits(model, batch), trained)
    assert not torch.allclose(trained, untouched, atol=1e-2)
    with model.disable_adapter():
        assert torch.equal(logits(model, batch), untouched)


def test_no_step_taken_is_no_change_at_all(done, batch):
    loaded = load(done(IPM, "training.learning_rate=0", "training.max_steps=1").run_dir).model
    changed = logits(loaded, batch)
    with loaded.disable_adapter():
        assert_close(changed, logits(loaded, batch))


@pytest.mark.parametrize("save", ["portable", "residual"])
def test_a_fresh_process_computes_what_was_trained(save, batch, tmp_path, request):
    run_dir, model = request.getfixturevalue(save)
    save_file({k: v.contiguous() for k, v in inputs_of(batch).items()}, tmp_path / "batch")
    called = [sys.executable, "-c", FRESH, str(run_dir)]
    subprocess.run([*called, str(tmp_path / "batch"), str(tmp_path / "found")], check=True)
    assert_close(load_file(tmp_path / "found")["logits"], logits(model, batch))


def test_the_residual_run_is_a_lora_of_its_rank_on_its_own_base(residual, batch):
    run_dir, live = residual
    assert json.loads((run_dir / "adapter_config.json").read_text())["r"] == 4
    assert not (run_dir / "initial_adapter").exists()
    base = AutoModelForImageTextToText.from_pretrained(run_dir / "base")
    model = PeftModel.from_pretrained(base, str(run_dir))
    assert_close(logits(model, batch), logits(live, batch))


def test_both_ways_of_saving_end_in_the_same_model(portable, residual, batch):
    assert_close(
        logits(load(portable.run_dir).model, batch), logits(load(residual.run_dir).model, batch)
    )


@pytest.mark.parametrize("save", ["portable", "residual", "quantized"])
def test_a_checkpoint_is_the_model_of_its_step(save, batch, request):
    run_dir, model = request.getfixturevalue(save)
    assert_close(logits(vlft.load(run_dir / "checkpoint-4").model, batch), logits(model, batch))


def test_the_residual_is_quantized_and_loads_as_it_was_trained(quantized, batch):
    found = load(quantized.run_dir).model
    assert is_quantized(found)
    expected = logits(quantized.model, batch)
    torch.testing.assert_close(logits(found, batch), expected, rtol=1e-4, atol=1e-5)


def test_a_quantized_residual_run_resumes(quantized, train, tmp_path):
    run_dir, whole = tmp_path / "run", (RESIDUAL, NF4, FAST, STEADY, *KEEP)
    train(*whole, "training.max_steps=2", run_dir=run_dir)
    train(*whole, run_dir=run_dir, resume=True)
    expected = load_file(quantized.run_dir / "adapter_model.safetensors")
    for name, tensor in load_file(run_dir / "adapter_model.safetensors").items():
        torch.testing.assert_close(tensor, expected[name], rtol=0.02, atol=1e-3)


def test_ranks_of_sites_are_exported_with_their_scale(done, batch):
    ranks = "overrides: {language.mlp: {r: 2}, projector: {r: 8, mode: ipm}}"
    run_dir, model = done(IPM.replace("r: 4", f"r: 4, lora_alpha: 8, {ranks}"), FAST)
    saved = load_file(run_dir / "adapter_model.safetensors")
    shapes = {name: tensor.shape[0] for name, tensor in saved.items() if "lora_A" in name}
    assert {rank for name, rank in shapes.items() if ".mlp.gate" in name} == {4}
    assert {rank for name, rank in shapes.items() if "projector" in name} == {16}
    assert {rank for name, rank in shapes.items() if "self_attn" in name} == {8}
    assert_close(logits(load(run_dir).model, batch), logits(model, batch))


OPTIONS = {
    "rslora": "use_rslora: true, lora_alpha: 8",
    "balanced": "balance: true, normalizer: none, covariance_dtype: float64",
    "absmax": "normalizer: absmax, lora_alpha: 8",
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_options_export_what_was_trained(options, done, batch):
    run_dir, model = done(IPM.replace("r: 4", f"r: 4, {options}"), FAST)
    base = AutoModelForImageTextToText.from_pretrained(run_dir / "base")
    assert_close(logits(PeftModel.from_pretrained(base, str(run_dir)), batch), logits(model, batch))


def test_ranks_of_sites_load_with_stock_peft(done, batch):
    ranks = "overrides: {language.mlp: {r: 2}, projector: {r: 8}}"
    run_dir, model = done(IPM.replace("r: 4", f"r: 4, lora_alpha: 8, {ranks}"), FAST)
    base = AutoModelForImageTextToText.from_pretrained(run_dir / "base")
    assert_close(logits(PeftModel.from_pretrained(base, str(run_dir)), batch), logits(model, batch))


# preparing beforehand


def test_a_prepared_recipe_trains_as_if_prepared_then(portable, train, capsys):
    again = train(IPM, FAST, *KEEP)
    assert "as prepared before" in capsys.readouterr().out
    expected = load_file(portable.run_dir / "adapter_model.safetensors")
    for name, tensor in load_file(again / "adapter_model.safetensors").items():
        assert torch.equal(expected[name], tensor), name


def test_prepare_only_keeps_the_result_and_makes_no_run(tiny_recipe, tmp_path, capsys):
    run_dir = tmp_path / "run"
    asked = [IPM, "adapter.sites=[projector]", f"training.output_dir={run_dir}"]
    assert prepare_only(tiny_recipe["generative"], asked) == 0
    assert not run_dir.exists()
    assert "2 layers prepared in" in capsys.readouterr().out
    assert run(tiny_recipe["generative"], [*asked, "training.max_steps=1"], resume=False) == 0
    assert "2 layers as prepared before" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("data.train.seed=9", "prepared before with other data; preparing anew"),
        ("adapter.r=2", "prepared before with other settings; preparing anew"),
        ("adapter.calibration.positions=text", "prepared before with other data; preparing anew"),
        ("data.train.split=held_out", "prepared before with other data; preparing anew"),
    ],
)
def test_what_was_prepared_otherwise_is_stale(change, said, tiny_recipe, capsys):
    asked = [IPM, "adapter.sites=[projector]"]
    prepare_only(tiny_recipe["generative"], asked)
    capsys.readouterr()
    prepare_only(tiny_recipe["generative"], [*asked, change])
    assert said in capsys.readouterr().out


def test_the_same_data_for_another_tower_is_stale(tiny_recipe, capsys):
    """What belongs to whom decides, and not only which data there are."""
    own = "calibration: {samples: 8}"
    for place in ("vision", "projector"):
        other = "projector" if place == "vision" else "vision"
        overrides = f"adapter.overrides={{{place}: {{r: 4, {own}}}, {other}: {{r: 4}}}}"
        prepare_only(
            tiny_recipe["generative"],
            [IPM, "adapter.sites=[vision.attention, projector]", "data.train.seed=31", overrides],
        )
        assert "layers prepared in" in capsys.readouterr().out


def test_other_weights_are_stale(tiny_recipe, capsys):
    asked = [IPM, "adapter.sites=[projector]"]
    calibration = (
        "adapter.calibration.data={type: scenes, questions: [shape], num_samples: 16, seed: 7}"
    )
    prepare_only(tiny_recipe["generative"], [*asked, calibration])
    capsys.readouterr()
    prepare_only(tiny_recipe["generative"], [*asked, calibration, "seed=4"])
    assert "prepared before with other weights; preparing anew" in capsys.readouterr().out


def test_zero3_asks_for_a_preparation_of_the_same_recipe(tiny_recipe):
    zero3 = Launch(world_size=2, through_launcher=True, zero_stage=3)

    def asked(*overrides):
        recipe = load_recipe(tiny_recipe["generative"], [IPM, *overrides]).recipe
        set_seed(recipe.seed)
        backbone = starting_host(recipe)
        return prepared(
            backbone, recipe, zero3, run_dir=None, device=torch.device("cpu"), say=print
        )

    mine = ("adapter.sites=[projector]", "data.train.seed=77")
    with pytest.raises(
        AdapterError, match=r"run `vlft train RECIPE --prepare-only` with the same values first"
    ):
        asked(*mine)
    prepare_only(tiny_recipe["generative"], [IPM, *mine])
    assert len(asked(*mine).start) == 2
    with pytest.raises(AdapterError, match=r"what is kept was prepared with other (data|settings)"):
        asked(*mine, "adapter.r=2")


def test_other_methods_are_not_prepared(tiny_recipe):
    with pytest.raises(AdapterError, match=r"--prepare-only: adapter\.type: lora needs no"):
        prepare_only(tiny_recipe["generative"], [])


# what calibration data do not say


@pytest.fixture
def texts(tmp_path) -> Path:
    """Conversations without an image."""
    turns = [
        {"role": "user", "content": "what color is the sky?"},
        {"role": "assistant", "content": "blue"},
    ]
    path = tmp_path / "texts.jsonl"
    lines = (json.dumps({"id": f"t{number}", "messages": turns}) for number in range(8))
    path.write_text("\n".join(lines))
    return path


@pytest.mark.filterwarnings("ignore:.*fewer tokens:vlft.errors.CalibrationWarning")
def test_layers_without_a_token_start_as_a_plain_lora(done, texts):
    calibration = f"adapter.calibration={{data: {{type: messages, path: {texts}}}}}"
    with pytest.warns(CalibrationWarning, match="no token reached 10 layers .*vision_tower"):
        run_dir, model = done(IPM, calibration, "training.learning_rate=0", "training.max_steps=1")
    found = json.loads((run_dir / "calibration.json").read_text())
    assert all("vision_tower" in path or "projector" in path for path in found["unseen"])
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            is_plain = "vision_tower" in name or "projector" in name
            assert is_plain == (not parameter.any()), name


def test_few_tokens_are_told_with_their_effective_rank(tiny_recipe):
    asked = [IPM, "adapter.sites=[projector]", "adapter.calibration.samples=1"]
    said = r"adapter\.calibration\.samples: 2 layers .* 16 tokens of 1 samples for a width of 128, "
    with pytest.warns(CalibrationWarning, match=said + r"effective rank [\d.]+\): use 8 samples"):
        prepare_only(tiny_recipe["generative"], asked)
    few = "adapter.calibration.data={type: scenes, questions: [color], num_samples: 2}"
    with pytest.warns(CalibrationWarning, match="it takes 8 samples or more, and the data have 2"):
        prepare_only(tiny_recipe["generative"], [*asked[:2], few])


def test_a_mistake_in_the_training_data_shows_before_anything_is_prepared(
    tiny_recipe, tmp_path, capsys
):
    kept = "calibration: {samples: 16, data: {type: scenes, questions: [color], num_samples: 16}}"
    kpm = IPM.replace("ipm", "kpm").replace("calibration: {samples: 16}", kept)
    broken = "data.train={type: messages, path: gone.jsonl}"
    where = f"training.output_dir={tmp_path / 'run'}"
    with pytest.raises(DataError, match=r"gone\.jsonl"):
        run(tiny_recipe["generative"], [kpm, broken, where], resume=False)
    assert "prepared" not in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


def test_in_bfloat16_the_start_is_the_base_to_its_rounding(done, batch):
    """W' is rounded once more than W was; the exported run has no such error."""
    run_dir, live = done(
        IPM, "backbone.dtype=bfloat16", "training.learning_rate=0", "training.max_steps=1"
    )
    base = logits(load(run_dir / "base").model, batch)
    assert (logits(live, batch) - base).float().norm() < 0.05 * base.float().norm()
    exported = logits(load(run_dir).model, batch)
    assert (exported - base).float().norm() < 0.02 * base.float().norm()
