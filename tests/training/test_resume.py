"""A run that was stopped goes on as if it had never been."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

import vlft
from vlft.errors import RunDirectoryError
from vlft.training import fit
from vlft.training.callbacks import Progress

STEPS = "training.max_steps=12"  # 8 batches of 4 among 32 records: into the second epoch
SAVING = (
    STEPS,
    "training.save_strategy=steps",
    "training.save_steps=5",
    "adapter.lora_dropout=0.1",
)
CASES = {
    "in the first epoch": (7, ()),
    "in the second epoch": (11, ()),
    "with a worker": (11, ("training.dataloader_num_workers=1",)),
    "varied images": (
        11,
        (
            "data.augmentation={min_crop_area: 0.5, flip: true, num_ops: 2}",
            "training.dataloader_num_workers=1",
        ),
    ),
    "accumulating": (7, ("training.per_device_train_batch_size=2",)),
    "pissa": (7, ("adapter.init_lora_weights=pissa", "adapter.lora_dropout=0")),
    "corda": (
        7,
        (
            "adapter={type: corda, mode: ipm, sites: [language.attention], r: 4}",
            "adapter.lora_dropout=0",
        ),
    ),
    "projector and tower": (
        7,
        (
            "adapter.sites=[language.attention]",
            "towers={projector: {train: full}, vision: {train: full}}",
        ),
    ),
    "every weight": (7, ("adapter={type: full}",)),
}


class StoppedError(Exception):
    """What ends a run from outside: the power, an operator."""


class At(TrainerCallback):
    def __init__(self, step, act):
        self.step, self.act = step, act

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            self.act()


@pytest.fixture
def at(monkeypatch):
    """Do something after a step of the next run."""

    def arrange(step, act):
        monkeypatch.setattr(fit, "Progress", lambda: At(step, act))

    yield arrange
    monkeypatch.setattr(fit, "Progress", Progress)


def stop():
    raise StoppedError


def curve(run_dir: Path) -> list[tuple]:
    lines = map(json.loads, (run_dir / "metrics.jsonl").read_text().splitlines())
    return [
        (line["step"], line["loss"], line["learning_rate"], line["grad_norm"])
        for line in lines
        if "loss" in line
    ]


def exported(run_dir: Path) -> dict[str, torch.Tensor]:
    return {
        f"{path.relative_to(run_dir)}: {name}": tensor
        for path in run_dir.rglob("*.safetensors")
        if not path.parent.name.startswith("checkpoint-")
        and not path.parents[1].name.startswith("checkpoint-")
        for name, tensor in load_file(path).items()
    }


def assert_same_run(found: Path, expected: Path):
    assert len(curve(found)) == len(curve(expected))
    for one, other in zip(curve(found), curve(expected), strict=True):
        assert one == pytest.approx(other, rel=1e-5)
    weights, others = exported(found), exported(expected)
    assert weights.keys() == others.keys()
    for name, tensor in others.items():
        torch.testing.assert_close(weights[name], tensor, rtol=1e-5, atol=1e-6, msg=name)


QUICK = ("in the second epoch", "every weight")
TABLE = [
    pytest.param(*case, id=name, marks=[] if name in QUICK else pytest.mark.slow)
    for name, case in CASES.items()
]


@pytest.mark.parametrize(("step", "overrides"), TABLE)
def test_resumed_equals_uninterrupted(step, overrides, train, at, tmp_path):
    options = (*SAVING, *overrides)
    if "adapter={type: full}" in overrides:
        options = tuple(option for option in options if "lora_dropout" not in option)
    whole = train(*options, run_dir=tmp_path / "whole_run")
    broken = tmp_path / "broken_run"
    at(step, stop)
    with pytest.raises(StoppedError):
        train(*options, run_dir=broken)
    at(0, stop)
    train(*options, run_dir=broken, resume=True)
    assert_same_run(broken, whole)


def test_signal_leaves_a_checkpoint_of_that_step(train, at, tmp_path, capsys):
    run_dir = tmp_path / "run"
    at(3, lambda: os.kill(os.getpid(), signal.SIGINT))
    before = signal.getsignal(signal.SIGINT)
    train(STEPS, run_dir=run_dir, expect=130)
    assert signal.getsignal(signal.SIGINT) is before
    printed = capsys.readouterr()
    assert "stopping after this step, with a checkpoint" in printed.err
    assert "stopped after step 3; go on with: vlft train " in printed.out
    assert printed.out.rstrip().endswith("--resume")
    assert [path.name for path in run_dir.glob("checkpoint-*")] == ["checkpoint-3"]
    assert not (run_dir / "adapter_model.safetensors").exists()
    with pytest.raises(RunDirectoryError, match=r"holds no finished model .*--resume"):
        vlft.load(run_dir)
    vlft.load(run_dir / "checkpoint-3")

    at(0, stop)
    train(STEPS, run_dir=run_dir, resume=True)
    assert_same_run(run_dir, train(STEPS, run_dir=tmp_path / "whole_run"))


def test_checkpoint_that_was_cut_short_is_passed_over_and_removed(train, at, tmp_path):
    run_dir = tmp_path / "run"
    at(7, stop)
    with pytest.raises(StoppedError):
        train(*SAVING, run_dir=run_dir)
    (run_dir / "checkpoint-6").mkdir()
    (run_dir / "checkpoint-6" / "trainer_state.json").write_text('{"global_st')
    at(0, stop)
    train(*SAVING, run_dir=run_dir, resume=True)
    assert curve(run_dir)[-1][0] == 12
    assert not (run_dir / "checkpoint-6").exists()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_ctrl_c_in_a_terminal(workers, tiny_recipe, tmp_path):
    run_dir = tmp_path / "run"
    command = [
        sys.executable, "-m", "vlft", "train", tiny_recipe["generative"],
        f"training.output_dir={run_dir}", "training.max_steps=300",
        f"training.dataloader_num_workers={workers}",
    ]  # fmt: skip
    # A terminal sends the signal to the whole group: to the workers as well.
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("step 3/"):
            os.killpg(process.pid, signal.SIGINT)
            break
    printed, complaints = process.communicate(timeout=120)
    assert process.returncode == 130, complaints
    assert complaints.count("stopping after this step") == 1
    assert "Traceback" not in complaints
    assert "--resume" in printed.splitlines()[-1]
    (checkpoint,) = run_dir.glob("checkpoint-*")
    step = int(checkpoint.name.removeprefix("checkpoint-"))
    assert 3 <= step < 300

    from vlft.cli.train import run

    overrides = [*command[5:], f"training.max_steps={step + 2}"]
    assert run(tiny_recipe["generative"], overrides, resume=True) == 0
    assert [point[0] for point in curve(run_dir)] == list(range(1, step + 3))
