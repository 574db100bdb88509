"""Lines of evidence: what a study found, one JSON line for each number, and how it goes on."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, stdev
from time import perf_counter
from typing import Any, NamedTuple

import torch

ROOT = Path(__file__).resolve().parents[2]

EVIDENCE = ROOT / "docs" / "evidence"
"""Where lines, tables and plots are committed."""

STARTS = ROOT / "runs" / "evidence"
"""Where pre-trained starts are kept; not committed."""


class Found(NamedTuple):
    """What one arm found with one seed.

    Attributes:
        numbers: By metric.
        n: Test items that each number is over, by metric; or for all.
        trainable_parameters: Of the arm.
    """

    numbers: Mapping[str, float]
    n: int | Mapping[str, int]
    trainable_parameters: int


class Task(NamedTuple):
    """One arm with one seed, and the function that runs it.

    Attributes:
        kind: ``control`` or ``claim``.
        arm: Name of the arm.
        seed: Its seed.
        run: A function of a module (a process imports it).
        given: Its arguments.
    """

    kind: str
    arm: str
    seed: int
    run: Callable[..., Found]
    given: tuple[Any, ...]


class Lines:
    """The lines of one study.

    Args:
        study: Name of the study and of its file.
    """

    def __init__(self, study: str) -> None:
        self.study = study
        self.path = EVIDENCE / f"{study}.jsonl"

    def read(self) -> list[dict[str, Any]]:
        """Return all lines."""
        if not self.path.is_file():
            return []
        return [json.loads(line) for line in self.path.read_text("utf-8").splitlines()]

    def value(self, arm: str, metric: str) -> dict[int, float]:
        """Return a metric of an arm by seed."""
        return {
            line["seed"]: line["value"]
            for line in self.read()
            if (line["arm"], line["metric"]) == (arm, metric)
        }

    def run(self, tasks: Iterable[Task], *, workers: int) -> None:
        """Run the tasks that have no lines yet, and append theirs as each ends."""
        there = {(line["kind"], line["arm"], line["seed"]) for line in self.read()}
        missing = [task for task in tasks if (task.kind, task.arm, task.seed) not in there]
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            running = {pool.submit(_timed, task.run, task.given): task for task in missing}
            for future in as_completed(running):
                found, seconds = future.result()
                self._append(running[future], found, seconds)

    def _append(self, task: Task, found: Found, seconds: float) -> None:
        count = found.n
        lines = [
            {
                "study": self.study, "kind": task.kind, "arm": task.arm, "seed": task.seed,
                "metric": metric, "value": round(value, 4),
                "n": count if isinstance(count, int) else count[metric],
                "trainable_parameters": found.trainable_parameters, "seconds": round(seconds, 1),
            }
            for metric, value in found.numbers.items()
        ]  # fmt: skip
        EVIDENCE.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write("".join(f"{json.dumps(line)}\n" for line in lines))
        told = ", ".join(f"{metric} {value:.3f}" for metric, value in found.numbers.items())
        print(f"{task.kind}: {task.arm}, seed {task.seed} ({seconds:.0f} s): {told}", flush=True)


def _timed(run: Callable[..., Found], given: tuple[Any, ...]) -> tuple[Found, float]:
    torch.set_num_threads(1)  # arms run beside each other
    start = perf_counter()
    found = run(*given)
    return found, perf_counter() - start


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["--"] * len(head), *rows))


def mean_and_spread(found: Sequence[float], *, digits: int = 3) -> str:
    """Return the mean of values, and their standard deviation where there are several."""
    spread = f" ± {stdev(found):.{digits}f}" if len(found) > 1 else ""
    return f"{mean(found):.{digits}f}{spread}"
