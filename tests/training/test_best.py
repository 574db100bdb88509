"""The best checkpoint: chosen by the validation loss or by a benchmark, and exported."""

import json
from pathlib import Path

import pytest
import torch

import vlft
from vlft.errors import EvaluationError
from vlft.types import Backbone, Batch

EVERY_STEP = (
    "training.eval_strategy=steps", "training.eval_steps=1",
    "training.save_strategy=steps", "training.save_steps=1",
)  # fmt: skip
BY_LOSS = (*EVERY_STEP, "evaluation.metric_for_best=loss", "training.save_total_limit=1")


def metrics_of(run_dir: Path) -> list[dict]:
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


def logits_of(backbone: Backbone, batch: Batch) -> torch.Tensor:
    with torch.no_grad():
        inputs = {k: batch[k] for k in ("input_ids", "attention_mask", "pixel_values")}
        return backbone.model(**inputs).logits


def eval_losses(run_dir: Path) -> dict[int, float]:
    return {line["step"]: line["eval_loss"] for line in metrics_of(run_dir) if "eval_loss" in line}


BESTS = {
    "lora": ("training.learning_rate=0.3", "training.max_steps=6"),
    "pissa": (
        "adapter.init_lora_weights=pissa",
        "training.learning_rate=3",
        "training.max_steps=3",
    ),
    "corda": (
        "adapter={type: corda, mode: ipm, sites: [vision.attention, language.attention], r: 4}",
        "training.learning_rate=3",
        "training.max_steps=4",
    ),
    "tower": (
        "adapter.sites=[language.attention]",
        "towers={vision: {train: full}}",
        "training.learning_rate=3",
        "training.max_steps=4",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("overrides", BESTS.values(), ids=BESTS)
def test_best_checkpoint_is_exported(overrides, train, live, batch):
    # A long warm-up: the rate is zero at first, good for some steps, then far too high.
    run_dir = train(
        *BY_LOSS, *overrides,
        "training.warmup_steps=60", "training.lr_scheduler_type=constant_with_warmup",
    )  # fmt: skip
    measured = eval_losses(run_dir)
    best = min(measured, key=measured.__getitem__)
    assert 1 < best < max(measured), measured
    assert [path.name for path in run_dir.glob("checkpoint-*")] == [f"checkpoint-{best}"]
    exported = vlft.load(run_dir)
    of_best = logits_of(vlft.load(run_dir / f"checkpoint-{best}"), batch)
    torch.testing.assert_close(logits_of(exported, batch), of_best, rtol=1e-4, atol=1e-3)


@pytest.mark.slow
def test_early_stopping(train):
    run_dir = train(
        *BY_LOSS, "training.max_steps=30", "training.learning_rate=1",
        "training.early_stopping_patience=2",
    )  # fmt: skip
    measured = eval_losses(run_dir)
    best = min(measured, key=measured.get)
    assert max(measured) == best + 2 < 30


def test_suite_chooses_the_best(train):
    run_dir = train(
        *EVERY_STEP, "evaluation.suite=scenes/unseen_question", "evaluation.limit=8",
        "evaluation.metric_for_best=accuracy", "training.max_steps=2",
    )  # fmt: skip
    measured = [line["accuracy"] for line in metrics_of(run_dir) if "accuracy" in line]
    assert len(measured) == 2
    state = json.loads((run_dir / "checkpoint-2" / "trainer_state.json").read_text())
    assert state["best_metric"] == max(measured)
    assert not (run_dir / "evaluating").exists()


def test_a_benchmark_in_a_published_layout_may_choose(train):
    run_dir = train(
        *EVERY_STEP, "evaluation.suite=scenes/mmra_images_question",
        "evaluation.overrides=[world.num_samples=11]", "evaluation.metric_for_best=accuracy",
        "training.max_steps=2",
    )  # fmt: skip
    lines = [line for line in metrics_of(run_dir) if "accuracy" in line]
    assert len(lines) == 2
    assert all("macro_accuracy" in line for line in lines)


def test_files_of_a_suite_that_are_not_there_are_named_before_the_first_step(train, tmp_path):
    with pytest.raises(EvaluationError, match=r"aro/vg_relation: its data are not there"):
        train(
            *EVERY_STEP, "evaluation.suite=aro", "evaluation.metric_for_best=accuracy",
            run_dir=tmp_path / "run",
        )  # fmt: skip
    assert not (tmp_path / "run").exists()


def test_early_stopping_by_a_metric_of_the_suite(train):
    run_dir = train(
        *EVERY_STEP,
        "evaluation.suite=scenes/unseen_question",
        "evaluation.limit=2",
        "evaluation.metric_for_best=accuracy",
        "training.learning_rate=0",
        "training.early_stopping_patience=1",
    )
    assert max(eval_losses(run_dir)) == 2


def test_unknown_metric_of_a_suite_is_named(train):
    from vlft.errors import EvaluationError

    with pytest.raises(
        EvaluationError, match=r"unknown metric 'accuracies'\. Did you mean 'accuracy'"
    ):
        train(
            *EVERY_STEP, "evaluation.suite=scenes/unseen_question", "evaluation.limit=2",
            "evaluation.metric_for_best=accuracies",
        )  # fmt: skip


@pytest.fixture
def held_out(tmp_path) -> Path:
    """Questions about drawn scenes in a file of one's own, in the training record format."""
    from vlft.data.scenes.layouts.messages import write
    from vlft.data.scenes.scene import World

    write(tmp_path, World(seed=1000), range(12))
    return tmp_path / "messages.jsonl"


def test_ones_own_held_out_set_chooses_the_best(train, held_out):
    run_dir = train(
        *EVERY_STEP, "evaluation.suite=custom/vqa", f"evaluation.overrides=[data.path={held_out}]",
        "evaluation.metric_for_best=anls", "training.max_steps=2",
    )  # fmt: skip
    measured = [line for line in metrics_of(run_dir) if "anls" in line]
    assert len(measured) == 2
    assert {"exact_match", "relaxed_accuracy", "token_f1"} <= measured[0].keys()
    state = json.loads((run_dir / "checkpoint-2" / "trainer_state.json").read_text())
    assert state["best_metric"] == max(line["anls"] for line in measured)


def test_a_held_out_file_that_is_not_there_stops_before_the_first_step(train, tmp_path):
    from vlft.errors import EvaluationError

    run_dir = tmp_path / "run"
    with pytest.raises(EvaluationError, match=r"data\.path = gone\.jsonl: there is no such file"):
        train(
            *EVERY_STEP, "evaluation.suite=custom/vqa",
            "evaluation.overrides=[data.path=gone.jsonl]", run_dir=run_dir,
        )  # fmt: skip
    assert not run_dir.exists()
