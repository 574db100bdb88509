"""Killed and interrupted runs go on to the adapter of a run that was left alone."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

ROOT = Path(__file__).parents[2]
LONGER = ("training.max_steps=24", "training.save_strategy=steps", "training.save_steps=3")


def start(*arguments: str, config: str | None = None, port: int = 0) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m"]
    if config is not None:
        file = str(ROOT / "accelerate_configs" / f"{config}.yaml")
        command += ["accelerate.commands.launch", "--config_file", file]
        command += ["--main_process_port", str(port), "-m"]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    return subprocess.Popen(
        [*command, "vlft", "train", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def wait_for_steps(run_dir: Path, steps: int, process: subprocess.Popen[bytes]) -> None:
    metrics = run_dir / "metrics.jsonl"
    deadline = time.monotonic() + 180
    while not metrics.is_file() or metrics.read_text().count('"loss"') < steps:
        assert process.poll() is None, "the run ended too early; launch it by hand to see why"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def assert_same_adapter(one: Path, other: Path, **tolerance: float) -> None:
    expected, found = (load_file(p / "adapter_model.safetensors") for p in (one, other))
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, **tolerance)


@pytest.fixture(scope="session")
def left_alone(
    launch: Callable[..., object],
    recipe: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    run_dir = tmp_path_factory.mktemp("alone") / "run"
    launch(None, recipe("generative"), f"training.output_dir={run_dir}", *LONGER)
    return run_dir


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.distributed
def test_killed_three_times(launch, recipe, left_alone, tmp_path):
    run_dir = tmp_path / "run"
    arguments = (recipe("generative"), f"training.output_dir={run_dir}", *LONGER)
    for steps in (4, 11, 19):
        resume = ["--resume"] if run_dir.exists() else []
        process = start(*arguments, *resume)
        wait_for_steps(run_dir, steps, process)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    launch(None, *arguments, "--resume")
    assert_same_adapter(left_alone, run_dir, rtol=1e-5, atol=1e-7)


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.parametrize("config", ["cpu_ddp", "cpu_zero3"])
def test_interrupted_on_two_processes(config, launch, recipe, left_alone, tmp_path, free_port):
    run_dir = tmp_path / "run"
    arguments = (recipe("generative"), f"training.output_dir={run_dir}", *LONGER)
    process = start(*arguments, config=config, port=free_port())
    wait_for_steps(run_dir, 5, process)
    process.send_signal(signal.SIGINT)
    process.wait(timeout=120)
    assert sorted(run_dir.glob("checkpoint-*"))
    launch(config, *arguments, "--resume")
    assert_same_adapter(left_alone, run_dir, rtol=1e-2, atol=2e-3)
