"""What happens beside the loop: JSON lines, progress, and an orderly stop."""

import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, runtime_checkable

import torch
import torch.distributed as dist
from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from vlft.disk import replace_text

METRICS = "metrics.jsonl"


class MetricsWriter(TrainerCallback):
    """Appends every log of the Trainer to ``metrics.jsonl``, one JSON object a line.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write one line on the main process."""
        if state.is_world_process_zero and logs:
            line = {"step": state.global_step, "time": round(time.time(), 3), **logs}
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


@runtime_checkable
class DiffersByEpoch(Protocol):
    """Samples that may be others in another epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, from 0."""
        ...


class EpochOfSamples(TrainerCallback):
    """Tells samples that differ between epochs which one begins.

    accelerate does so too, but not where several processes share the samples of a sampler.

    Args:
        samples: What is trained on.
    """

    def __init__(self, samples: DiffersByEpoch) -> None:
        self._samples = samples

    def on_epoch_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Tell the epoch, from 0; a resumed run begins inside of one."""
        self._samples.set_epoch(int(state.epoch or 0))


def trim_metrics(path: Path, step: int) -> None:
    """Drop lines after a step, and the closing one, so that a resumed run counts nothing twice."""
    if not path.is_file():
        return
    kept = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:  # a line half written when the run was killed
            continue
        if line["step"] <= step and "train_runtime" not in line:
            kept.append(text)
    replace_text(path, "".join(f"{text}\n" for text in kept))


class Progress(TrainerCallback):
    """A bar with time left and throughput on a terminal; a line per log elsewhere."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._on_terminal = sys.stderr.isatty()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Open the bar."""
        if state.is_world_process_zero and self._on_terminal:
            self._bar = tqdm(
                total=state.max_steps, initial=state.global_step, unit="step", dynamic_ncols=True
            )

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(state.global_step - self._bar.n)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Show loss and throughput."""
        if not state.is_world_process_zero or not logs:
            return
        shown = _shown(logs)
        if self._bar is not None:
            self._bar.set_postfix_str(shown)
        elif shown:
            sys.stderr.write(f"step {state.global_step}/{state.max_steps}  {shown}\n")

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()


def _shown(logs: dict[str, Any]) -> str:
    parts = []
    for key, text in (
        ("loss", "loss {:.4f}"),
        ("eval_loss", "validation loss {:.4f}"),
        ("images_per_second", "{:.0f} images/s"),
        ("tokens_per_second", "{:.0f} tokens/s"),
    ):
        if key in logs:
            parts.append(text.format(logs[key]))
    if "data_wait" in logs:
        parts.append(f"data wait {100 * logs['data_wait']:.0f}%")
    return ", ".join(parts)


class StopOnSignal(TrainerCallback):
    """Ctrl-C or SIGTERM: finish the step, write a checkpoint, stop. A second Ctrl-C stops at once.

    All ranks stop after the same step: whether one of them was asked is agreed on after each step,
    on the CPU, so that no device is waited for.

    Attributes:
        stopping: The ranks have agreed to stop.
    """

    def __init__(self) -> None:
        self.stopping = False
        self._asked = False
        self._process = os.getpid()
        self._previous: dict[int, Any] = {}
        self._group: Any = None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            return  # a worker that inherited the handler: it serves until the run ends
        if self._asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._asked = True
        sys.stderr.write(
            "\nstopping after this step, with a checkpoint; press Ctrl-C again to quit now\n"
        )

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take over the two signals."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._handle)
        if args.world_size > 1:
            self._group = dist.new_group(backend="gloo")

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Ask for a checkpoint and the end when any rank was signaled."""
        asked = torch.tensor(int(self._asked))
        if self._group is not None:
            dist.all_reduce(asked, op=dist.ReduceOp.MAX, group=self._group)
        if asked.item() and state.global_step < state.max_steps:  # else the run ends anyway
            self.stopping = True
            control.should_save = True
            control.should_training_stop = True

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Neither validate nor save again: the epoch was left early, the checkpoint is written."""
        if self.stopping:
            control.should_evaluate = False
            control.should_save = False
            control.should_log = False

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Give the signals back."""
        self.release()

    def release(self) -> None:
        """Restore the signal handlers that were there before."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
