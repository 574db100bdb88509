"""Whole runs: what a run directory holds, and that what was trained is what loads elsewhere."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import PeftModel

import vlft
from vlft.adapters.parts import base_model
from vlft.errors import NoGradientError, NonFiniteLossError, RunDirectoryError
from vlft.objectives import build_objective
from vlft.recipe.objective import LanguageModeling
from vlft.types import Backbone, Batch

PROCESSOR = {
    "chat_template.jinja",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
}
FACTS = {"recipe.yaml", "environment.json", "metrics.jsonl"}
ADAPTER = {"adapter_model.safetensors", "adapter_config.json"}


def files_of(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def metrics_of(run_dir: Path) -> list[dict]:
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


def losses_of(run_dir: Path) -> list[float]:
    return [line["loss"] for line in metrics_of(run_dir) if "loss" in line]


def logits_of(backbone: Backbone, batch: Batch) -> torch.Tensor:
    backbone.model.eval()
    objective = build_objective(LanguageModeling(type="language_modeling"))
    with torch.no_grad():
        return objective.forward(backbone.model, batch)["logits"]


# what is in a run directory


def test_run_directory_holds_what_is_promised(lora_run):
    assert files_of(lora_run) == FACTS | ADAPTER | PROCESSOR | {
        "base",
        "checkpoint-2",
        "checkpoint-4",
    }
    assert files_of(lora_run / "base") == PROCESSOR | {
        "config.json",
        "generation_config.json",
        "model.safetensors",
    }


def test_every_log_line_has_loss_and_throughput(lora_run):
    lines = [line for line in metrics_of(lora_run) if "loss" in line]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    for line in lines:
        assert line["images_per_second"] > 0
        assert line["tokens_per_second"] > 0
        assert 0 <= line["data_wait"] <= 1


def test_loss_falls(train):
    losses = losses_of(train("training.max_steps=20", "training.learning_rate=1e-2"))
    assert sum(losses[-3:]) < 0.6 * sum(losses[:3])


# what loads


def test_loaded_run_equals_the_model_that_was_trained(train, live, batch):
    run_dir = train()
    torch.testing.assert_close(
        logits_of(vlft.load(run_dir), batch), logits_of(live[0], batch), rtol=0, atol=0
    )


PROGRAM = """
import json, sys, torch, vlft
from vlft.evaluation.capabilities import capabilities_of
from vlft.types import Message, Prompt
from PIL import Image
torch.set_num_threads(1)
backbone = vlft.load(sys.argv[1])
prompt = Prompt((Message("user", (0, "what color is it?")),), (Image.new("RGB", (48, 48), "red"),))
model = capabilities_of(backbone)
print(json.dumps([model.generate([prompt], max_new_tokens=4), model.score([prompt], [["red"]])]))
"""


@pytest.mark.slow
def test_fresh_process_answers_alike(lora_run, tmp_path):
    from PIL import Image

    from vlft.evaluation.capabilities import capabilities_of
    from vlft.types import Message, Prompt

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(lora_run)],
        capture_output=True, text=True, check=True, timeout=120, cwd=tmp_path,
    )  # fmt: skip
    answers, scores = json.loads(done.stdout.splitlines()[-1])
    image = Image.new("RGB", (48, 48), "red")
    prompt = Prompt((Message("user", (0, "what color is it?")),), (image,))
    model = capabilities_of(vlft.load(lora_run))
    assert model.generate([prompt], max_new_tokens=4) == answers
    ((likelihood,),) = model.score([prompt], [["red"]])
    assert likelihood.total == pytest.approx(scores[0][0][0], rel=1e-6)


def test_everything_trained_is_saved(train, live, batch, tmp_path):
    run_dir = train(
        "adapter.sites=[language.attention]",
        "towers={projector: {train: full}, vision: {train: full}}",
        "training.learning_rate=1e-2",
        run_dir=tmp_path / "run",
    )
    trained = {n: p for n, p in base_model(live[0].model).named_parameters() if p.requires_grad}
    assert {n.split(".")[1] for n in trained} == {
        "vision_tower", "multi_modal_projector", "language_model"
    }  # fmt: skip
    loaded = vlft.load(run_dir)
    now = dict(base_model(loaded.model).named_parameters())
    for name, parameter in trained.items():
        torch.testing.assert_close(now[name], parameter, rtol=0, atol=0, msg=name)
    start = dict(vlft.load(run_dir / "base").model.named_parameters())
    tower = [n for n in trained if n.startswith("model.vision_tower.")]
    # LLaVA does not use its tower's last norm.
    assert sum(not torch.equal(start[n], trained[n]) for n in tower) >= len(tower) - 2
    torch.testing.assert_close(logits_of(loaded, batch), logits_of(live[0], batch), rtol=0, atol=0)


def test_tower_rates_reach_the_optimizer(train, monkeypatch):
    from vlft.training.trainer import VlftTrainer

    groups: list[dict] = []
    create = VlftTrainer.create_optimizer

    def spy(self, model=None):
        optimizer = create(self, model)
        groups[:] = [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups]
        return optimizer

    monkeypatch.setattr(VlftTrainer, "create_optimizer", spy)
    train(
        "adapter.sites=[vision.attention, language.attention]",
        "towers={vision: {learning_rate: 1e-4, weight_decay: 0.3}, projector: {train: full}}",
        "training.learning_rate=2e-3",
        "training.weight_decay=0.1",
        "training.max_steps=1",
    )
    found = {g["name"]: (g["lr"], g["weight_decay"]) for g in groups}
    assert found == {
        "vision.decayed": (1e-4, 0.3),
        "projector.decayed": (2e-3, 0.1),
        "projector.undecayed": (2e-3, 0.0),
        "language.decayed": (2e-3, 0.1),
    }


# chains of runs


@pytest.fixture(scope="module")
def pretrained(train) -> Path:
    """Every weight trained."""
    return train("adapter={type: full}", "training.learning_rate=1e-3")


def test_full_run_is_an_ordinary_checkpoint(pretrained, batch):
    assert files_of(pretrained) == FACTS | PROCESSOR | {
        "config.json", "generation_config.json", "model.safetensors"
    }  # fmt: skip
    from transformers import AutoModelForImageTextToText

    plain = AutoModelForImageTextToText.from_pretrained(pretrained)
    loaded = vlft.load(pretrained)
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(
            dict(loaded.model.named_parameters())[name], parameter, rtol=0, atol=0
        )


PROJECTOR_ONLY = (
    "adapter={type: full}",
    "towers={vision: {train: frozen}, language: {train: frozen}}",
)
FIRST_STAGES = {
    "full": ("adapter={type: full}",),
    "projector": PROJECTOR_ONLY,
    "lora": (),
    "lora and towers": (
        "adapter.sites=[language.attention]",
        "towers={projector: {train: full}, vision: {train: full}}",
    ),
    "pissa": ("adapter.init_lora_weights=pissa",),
    "corda": ("adapter={type: corda, mode: ipm, sites: [language.mlp], r: 4}",),
}


@pytest.mark.parametrize("overrides", FIRST_STAGES.values(), ids=FIRST_STAGES)
def test_a_run_starts_from_another_and_does_not_need_it_later(
    overrides, train, live, batch, tmp_path
):
    import shutil

    first = train(*overrides, "training.learning_rate=1e-2", run_dir=tmp_path / "first")
    end_of_first = logits_of(vlft.load(first), batch)
    # A rate of zero shows the start: it is the end of the first run.
    second = train(
        f"init_from={first}", "seed=4", "training.learning_rate=0", "training.max_steps=1",
        run_dir=tmp_path / "still",
    )  # fmt: skip
    torch.testing.assert_close(
        logits_of(vlft.load(second), batch), end_of_first, rtol=1e-4, atol=1e-4
    )
    moved = train(
        f"init_from={first}", "seed=4", "training.learning_rate=1e-2", run_dir=tmp_path / "second"
    )
    shutil.rmtree(first)
    loaded = logits_of(vlft.load(moved), batch)
    torch.testing.assert_close(loaded, logits_of(live[-1], batch), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(loaded, end_of_first, atol=1e-2)


def test_three_runs_in_a_row(train, live, batch, tmp_path):
    first = train(run_dir=tmp_path / "first")
    second = train(f"init_from={first}", run_dir=tmp_path / "second")
    third = train(f"init_from={second}", "adapter.sites=[language.mlp]", run_dir=tmp_path / "third")
    torch.testing.assert_close(
        logits_of(vlft.load(third), batch), logits_of(live[-1], batch), rtol=1e-5, atol=1e-5
    )


# PiSSA, which changes the base


PISSA = ("adapter.init_lora_weights=pissa", "training.learning_rate=1e-2")


def test_exported_pissa_equals_the_live_model_on_the_untouched_base(train, live, batch):
    run_dir = train(*PISSA)
    loaded = vlft.load(run_dir)
    torch.testing.assert_close(
        logits_of(loaded, batch), logits_of(live[0], batch), rtol=1e-3, atol=1e-3
    )
    assert isinstance(loaded.model, PeftModel)
    untouched = logits_of(vlft.load(run_dir / "base"), batch)
    with loaded.model.disable_adapter():
        torch.testing.assert_close(logits_of(loaded, batch), untouched, rtol=0, atol=0)


def test_pissa_with_a_tower_trained_whole_saves_both(train, live, batch):
    run_dir = train(*PISSA, "adapter.sites=[language.attention]", "towers={vision: {train: full}}")
    torch.testing.assert_close(
        logits_of(vlft.load(run_dir), batch), logits_of(live[0], batch), rtol=1e-3, atol=1e-3
    )


def test_pissa_checkpoint_is_the_model_of_that_step(train, live, batch):
    run_dir = train(*PISSA, "training.save_strategy=steps", "training.save_steps=2")
    torch.testing.assert_close(
        logits_of(vlft.load(run_dir / "checkpoint-4"), batch),
        logits_of(live[0], batch),
        rtol=1e-3,
        atol=1e-3,
    )


# stopping


class Poisoned:
    """The objective, with a loss that is no number in one step."""

    def __init__(self, objective, step: int):
        self._objective, self._left = objective, step
        self.forward, self.per_sample = objective.forward, objective.per_sample

    def loss(self, outputs, batch, num_items):
        from vlft.types import Losses

        self._left -= 1
        losses = self._objective.loss(outputs, batch, num_items)
        return (
            Losses({k: v * float("nan") for k, v in losses.parts.items()})
            if self._left == 0
            else losses
        )


def test_loss_that_is_no_number_stops_the_run_and_spares_the_checkpoint(
    train, monkeypatch, batch, tmp_path
):
    from vlft.training import fit

    build = fit.build_objective
    monkeypatch.setattr(fit, "build_objective", lambda section: Poisoned(build(section), 3))
    run_dir = tmp_path / "run"
    with pytest.raises(NonFiniteLossError, match=r"in step 3; records of that batch: scene-\d+, "):
        train("training.save_strategy=steps", "training.save_steps=1", run_dir=run_dir)
    assert {p.name for p in run_dir.glob("checkpoint-*")} == {"checkpoint-1", "checkpoint-2"}
    assert logits_of(vlft.load(run_dir / "checkpoint-2"), batch).isfinite().all()
    with pytest.raises(RunDirectoryError, match="holds no finished model"):
        vlft.load(run_dir)


def test_tower_without_a_gradient_is_named(train, monkeypatch):
    from vlft import adapters

    apply = adapters.apply_adapter

    def cut_off(*args, **kwargs):
        adapted = apply(*args, **kwargs)
        projector = base_model(adapted.model).model.multi_modal_projector
        projector.register_forward_pre_hook(lambda module, inputs: (inputs[0].detach(),))
        return adapted

    monkeypatch.setattr(adapters, "apply_adapter", cut_off)
    with pytest.raises(NoGradientError, match=r"tower 'vision': 8,192 parameters .* in 10 steps"):
        train("training.max_steps=12")


# batches and records


def test_accumulation_does_not_change_the_curve(train):
    whole = train("training.global_batch_size=8")
    parts = train("training.global_batch_size=8", "training.per_device_train_batch_size=4")
    assert losses_of(parts) == pytest.approx(losses_of(whole), rel=1e-5)


def test_skipped_records_are_listed(train, tmp_path):
    from PIL import Image

    from vlft.data.checked import read_listing

    Image.new("RGB", (48, 48), "red").save(tmp_path / "red.png")
    lines = []
    for number in range(8):
        image = "gone.png" if number == 5 else "red.png"
        turns = [
            {"role": "user", "content": "<image>what color?"},
            {"role": "assistant", "content": "red"},
        ]
        lines.append(json.dumps({"id": f"r{number}", "messages": turns, "images": [image]}))
    (tmp_path / "data.jsonl").write_text("\n".join(lines))
    run_dir = train(
        f"data={{train: {{type: messages, path: {tmp_path / 'data.jsonl'}}}, on_bad_record: skip}}",
        "training.max_steps=2",
    )
    (skipped,) = read_listing(run_dir / "skipped_records.jsonl")
    assert (skipped.record_id, skipped.kind) == ("r5", "MissingImageError")
    assert "image not found: 'gone.png'" in skipped.reason
