"""Really launch recipes: one process, or several through ``accelerate launch``."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAUNCHES = ROOT / "accelerate_configs"

Launch = Callable[..., subprocess.CompletedProcess[str]]


def find_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Find a port that nothing listens on."""
    return find_port


@pytest.fixture(scope="session")
def launch() -> Launch:
    """Run ``vlft train`` on a launch file (None: one plain process) and return what it printed.

    With a script, that is run in the place of vlft's own.
    """

    def run(
        config: str | None,
        *arguments: str,
        expect: int = 0,
        timeout: float = 240,
        script: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        program = ["-m", "vlft"] if script is None else [str(script)]
        start = [sys.executable]
        if config is not None:
            if "zero" in config and shutil.which("g++") is None:
                pytest.skip("ZeRO on the CPU compiles an operator: g++ is not installed")
            file = str(LAUNCHES / f"{config}.yaml")
            port = ["--main_process_port", str(find_port())] if config != "cpu_single" else []
            start += ["-m", "accelerate.commands.launch", "--config_file", file, *port]
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "PYTHONPATH": str(ROOT),
            "CUDA_VISIBLE_DEVICES": "",  # the cpu_* launch files are for machines without a GPU
        }
        done = subprocess.run(
            [*start, *program, "train", *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == expect, done.stdout[-2000:] + done.stderr[-4000:]
        return done

    return run


@pytest.fixture(scope="session")
def losses() -> Callable[[Path], list[float]]:
    """Read the training losses of a run, in order of steps."""

    def read(run_dir: Path) -> list[float]:
        lines = (run_dir / "metrics.jsonl").read_text().splitlines()
        return [line["loss"] for line in map(json.loads, lines) if "loss" in line]

    return read


GENERATIVE = """
seed: 3
backbone: {type: assembled, config: tiny_llava}
adapter: {type: lora, sites: [vision.attention, projector, language.attention], r: 4}
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

CONTRASTIVE = """
seed: 3
backbone: {type: clip, config: tiny_clip}
adapter: {type: lora, sites: [vision.attention, text.attention], r: 4}
towers: {projector: {train: full, learning_rate: 1e-3}}
data:
  train: {type: scenes, task: pairs, num_samples: 64, seed: 5}
objective: {type: contrastive}
training:
  global_batch_size: 8
  max_steps: 5
  learning_rate: 1e-2
  logging_steps: 1
  save_strategy: 'no'
  dataloader_num_workers: 0
"""

RECIPES = {"generative": GENERATIVE, "contrastive": CONTRASTIVE}


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Give the path of a small recipe of a family."""

    def path(family: str) -> str:
        file = tmp_path_factory.mktemp("recipes") / f"{family}.yaml"
        file.write_text(RECIPES[family])
        return str(file)

    return path


@pytest.fixture(scope="session")
def one_process(
    launch: Launch, recipe: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Give the run directory of a family's recipe on one process; run once per session."""
    runs: dict[str, Path] = {}

    def run_dir(family: str) -> Path:
        if family not in runs:
            runs[family] = tmp_path_factory.mktemp("one") / family
            launch(None, recipe(family), f"training.output_dir={runs[family]}")
        return runs[family]

    return run_dir
