"""Data-loading workers do not outlive a run, however it ends."""

import subprocess
import sys

import pytest

CRASH = """
import sys
from transformers import TrainerCallback
from vlft.cli.train import run
from vlft.training import fit


class Crash(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        raise RuntimeError("nobody expects this")


fit.Progress = Crash
run(sys.argv[1], sys.argv[2:], resume=False)
"""


@pytest.mark.slow
def test_an_unexpected_error_ends_the_process(tiny_recipe, tmp_path):
    """Workers ignore the request to end, so that Ctrl-C does not take the data away."""
    done = subprocess.run(
        [
            sys.executable, "-c", CRASH, tiny_recipe["generative"],
            f"training.output_dir={tmp_path / 'run'}", "training.dataloader_num_workers=2",
        ],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "nobody expects this" in done.stderr
