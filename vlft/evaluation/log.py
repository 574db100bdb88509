"""The log of a measurement: one line per answered batch, so that a kill loses one batch at most.

    about.json        what was measured, and when it began
    rank<n>.jsonl     {"seconds": ..., "answers": {key: answer, ...}}, one line per batch

A folder holds the answers of one model to one set of requests under one set of facts; anything else
has another folder. Lines are only ever added. A line that was cut off by a kill is left out, and
its batch asked again.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from vlft.disk import replace_text, tell_full_disk
from vlft.evaluation.processes import ALONE, Processes
from vlft.evaluation.requests import Answer
from vlft.types import Likelihood

FOLDER = "logs"
VERSION = 2
"""Raised with every change after which older answers do not fit."""

ABOUT = "about.json"


@dataclass
class Log:
    """The answers of one measurement.

    Attributes:
        folder: Where it is.
        began: When the measurement began, UTC, ISO 8601.
        processes: This process adds to it, among others.
        seconds: Time that the answers found by this process took; known after ``read``.
        damaged: Lines that could not be read, such as ``rank0.jsonl, line 12``.
    """

    folder: Path
    began: str
    processes: Processes = ALONE
    seconds: float = 0.0
    damaged: list[str] = field(default_factory=list)

    def read(self) -> dict[str, Answer]:
        """Return all answers by the key of their request.

        Processes of one machine share a folder; each counts the seconds of its own lines only, and
        the first those of processes that are no more.
        """
        answers: dict[str, Answer] = {}
        size = self.processes.size
        for path in sorted(self.folder.glob("rank*.jsonl")):
            if not (number_of := path.stem.removeprefix("rank")).isdecimal():
                continue  # a copy that somebody made
            rank = int(number_of)
            for number, line in enumerate(path.read_bytes().splitlines(), start=1):
                try:
                    values = json.loads(line)
                    found = {key: decoded(value) for key, value in values["answers"].items()}
                    seconds = float(values["seconds"])
                except (ValueError, KeyError, TypeError, AttributeError):
                    self.damaged.append(f"{path.name}, line {number}")
                    continue
                answers |= found
                if rank == self.processes.rank or (rank >= size and self.processes.is_main):
                    self.seconds += seconds
        return answers

    def append(self, answers: Mapping[str, Answer], *, seconds: float) -> None:
        """Add the answers of a batch, on a line of their own.

        Raises:
            RunDirectoryError: The disk is full; what is there already stays.
        """
        line = {
            "seconds": round(seconds, 6),
            "answers": {key: encoded(answer) for key, answer in answers.items()},
        }
        path = self.folder / f"rank{self.processes.rank}.jsonl"
        self.folder.mkdir(
            parents=True, exist_ok=True
        )  # another process of this machine makes it too
        with (
            tell_full_disk(self.folder, what=path.name, hint="Answers so far are kept."),
            path.open("ab") as file,
        ):
            # A line that a kill cut off must not become the beginning of this one.
            start = b"" if file.tell() == 0 or _ends_line(path) else b"\n"
            file.write(start + json.dumps(line).encode() + b"\n")


def open_log(
    folder: Path, stem: str, facts: Mapping[str, Any], processes: Processes = ALONE
) -> Log:
    """Open the log of a measurement, or begin one.

    Args:
        folder: Folder of the results.
        stem: File name of the result without its ending.
        facts: All that answers depend on: model, data, requests, batch size, versions ...
        processes: Those that add to it.

    Raises:
        RunDirectoryError: The disk is full.
    """
    text = json.dumps({"version": VERSION, **facts}, sort_keys=True)
    own = folder / FOLDER / f"{stem}-{sha256(text.encode()).hexdigest()[:12]}"
    about = own / ABOUT
    with tell_full_disk(folder, what=ABOUT):
        own.mkdir(parents=True, exist_ok=True)
    began = _began(about)
    if began is None:
        began = datetime.now(UTC).isoformat(timespec="seconds")
        if processes.is_main:
            _write_about(about, began, facts)
    (began, *_) = processes.gather(began)
    # another machine has a disk of its own
    if processes.local_rank == 0 and _began(about) is None:
        _write_about(about, began, facts)
    return Log(own, began, processes)


def _write_about(about: Path, began: str, facts: Mapping[str, Any]) -> None:
    values = {"began": began, "version": VERSION, **facts}
    with tell_full_disk(about.parent, what=ABOUT):
        replace_text(about, json.dumps(values, indent=2) + "\n")


def _began(about: Path) -> str | None:
    """Return when a measurement began; None where nobody knows."""
    try:
        found = json.loads(about.read_text(encoding="utf-8"))["began"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None


def encoded(answer: Answer) -> Any:
    """Return an answer as JSON, to the last bit."""
    if isinstance(answer, str):
        return answer
    if isinstance(answer, np.ndarray):
        return {"float32": base64.b64encode(answer.astype("<f4").tobytes()).decode()}
    return [[likelihood.total, likelihood.num_tokens] for likelihood in answer]


def decoded(value: Any) -> Answer:
    """Return an answer that ``encoded`` made JSON of.

    Raises:
        ValueError: It did not.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return np.frombuffer(base64.b64decode(value["float32"]), "<f4")
    return tuple(Likelihood(float(total), int(num_tokens)) for total, num_tokens in value)


def _ends_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"
