"""Kill an evaluation at random moments, let it go on, and compare it with one left alone.

python scripts/kill_evaluation.py RUN --kills 20 [--benchmark scenes/question_answering] [--seed 0]

The result must be the same to the last bit, but for the date and the seconds, and nothing may be
asked twice but the batch that a kill interrupted.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PATIENCE = 180  # seconds until a process must have answered something


def kill_and_compare(command: Sequence[str], out: Path, *, kills: int, seed: int) -> int:
    """Run a command alone and killed; return how many batches were asked in vain.

    Args:
        command: ``vlft eval`` and its arguments, without ``--out``.
        out: Empty folder for both results.
        kills: How often the second one is killed.
        seed: Of the moments.

    Raises:
        AssertionError: The results differ.
    """
    alone, killed = out / "alone", out / "killed"
    subprocess.run([*command, "--out", str(alone)], check=True, stdout=subprocess.DEVNULL)
    batches = lines(alone)
    draws = random.Random(seed)
    # each kill comes later than the one before, so that all of them hit a running measurement
    moments = sorted(draws.randrange(batches) for _ in range(kills))
    for moment in moments:
        process = subprocess.Popen(
            [*command, "--out", str(killed)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + PATIENCE
        while lines(killed) < moment and process.poll() is None:
            assert time.monotonic() < deadline, "nothing is answered any more"
            time.sleep(0.001)
        time.sleep(draws.uniform(0, 0.05))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run([*command, "--out", str(killed)], check=True, stdout=subprocess.DEVNULL)
    assert facts(alone) == facts(killed), "the results differ"
    return lines(killed) - batches


def lines(folder: Path) -> int:
    """Count the lines of all logs."""
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("logs/*/rank*.jsonl"))


def facts(folder: Path) -> dict[str, Any]:
    """Return what may not differ: samples byte by byte, and results without date and seconds."""
    found: dict[str, Any] = {path.name: path.read_bytes() for path in folder.glob("*.jsonl")}
    for path in folder.glob("*.json"):
        values = json.loads(path.read_text(encoding="utf-8"))
        found[path.name] = {k: v for k, v in values.items() if k not in ("date", "seconds")}
    assert found, "no results"
    return found


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("run", help="run directory or checkpoint")
    parser.add_argument("--benchmark", default="scenes/question_answering")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    command = [sys.executable, "-m", "vlft", "eval", given.run, "--benchmark", given.benchmark]
    with tempfile.TemporaryDirectory() as folder:
        twice = kill_and_compare(
            [*command, "--batch-size", "8"], Path(folder), kills=given.kills, seed=given.seed
        )
    print(f"{given.kills} kills: equal results; {twice} batches logged twice")


if __name__ == "__main__":
    main()
