"""Bar B1: a training step of ours against one of the bare ``transformers.Trainer``.

    python scripts/bench_trainer.py [--rounds 8] [--steps 10]

Both train the same LoRA on the same tiny LLaVA, weights, batches and order, in turn (A B A B ...)
in one process. The bare Trainer lets the model compute its own loss over all positions; ours
computes logits only where labels are. Losses must agree. An A/A run (the bare Trainer against
itself) shows the noise: the ratio counts only if the spread of A/A is within half of the margin.
Host synchronizations are counted as calls that read a value off a tensor during a step.

Goal: ratio of medians <= 1.01, no synchronization per step on a GPU.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed

from vlft.adapters import apply_adapter
from vlft.backbones import build
from vlft.data import pipeline
from vlft.objectives import build_objective
from vlft.recipe import load_recipe
from vlft.training.trainer import VlftTrainer
from vlft.types import Backbone, Batch

GOAL = 1.01
BATCH = 16


class Clock(TrainerCallback):
    """Times every optimizer step from its begin to its end."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self._start = 0.0

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        """Start."""
        self._start = time.perf_counter()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """Stop."""
        self.steps.append(time.perf_counter() - self._start)


class CountReads(TorchDispatchMode):
    """Counts operations that hand a value to the host, and so wait for a device."""

    READS = ("aten._local_scalar_dense.default", "aten.nonzero.default")

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count, then do as told."""
        self.count += str(func) in self.READS
        return func(*args, **(kwargs or {}))


class Fixed(torch.utils.data.Dataset):
    """The same encoded samples for both sides."""

    def __init__(self, samples: list[Any]) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Any:
        return self.samples[index]


def host() -> Backbone:
    """Build the tiny LLaVA with LoRA, equal every time."""
    recipe = load_recipe("tiny/lora_scenes", ["init_from=null"]).recipe
    set_seed(0)
    return apply_adapter(build(recipe.backbone), recipe.adapter, recipe.towers)


def arguments(folder: str, steps: int) -> TrainingArguments:
    """Return equal arguments for both sides."""
    return TrainingArguments(
        output_dir=folder, per_device_train_batch_size=BATCH, max_steps=steps, use_cpu=True,
        learning_rate=1e-3, logging_steps=1, save_strategy="no", report_to="none", seed=0,
        disable_tqdm=True, remove_unused_columns=False, dataloader_drop_last=True,
    )  # fmt: skip


def run(side: str, samples: list[Any], steps: int) -> tuple[list[float], list[float]]:
    """Train one side; return seconds and losses per step, the first two steps left out."""
    backbone, clock = host(), Clock()
    collate = pipeline.collator(backbone)

    def plain(batch: list[Any]) -> Batch:
        full = collate(batch)
        return {k: full[k] for k in ("input_ids", "attention_mask", "pixel_values", "labels")}

    with tempfile.TemporaryDirectory() as folder:
        common = {"args": arguments(folder, steps), "train_dataset": Fixed(samples)}
        if side == "vlft":
            recipe = load_recipe("tiny/lora_scenes", ["init_from=null"]).recipe
            trainer: Trainer = VlftTrainer(
                backbone=backbone, objective=build_objective(recipe.objective), towers={},
                data_collator=collate, **common,
            )  # fmt: skip
        else:
            trainer = Trainer(model=backbone.model, data_collator=plain, **common)
        trainer.add_callback(clock)
        trainer.train()
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    return clock.steps[2:], losses


def reads_per_step(samples: list[Any]) -> tuple[int, int]:
    """Count host reads in a forward and backward pass: ours, and the model with its own loss."""
    backbone = host()
    recipe = load_recipe("tiny/lora_scenes", ["init_from=null"]).recipe
    objective = build_objective(recipe.objective)
    batch = pipeline.collator(backbone)(samples[:BATCH])
    num_items = (batch["labels"] != -100).sum()
    with CountReads() as ours:
        outputs = objective.forward(backbone.model, batch)
        objective.loss(outputs, batch, num_items).total.backward()
    plain = {k: batch[k] for k in ("input_ids", "attention_mask", "pixel_values", "labels")}
    with CountReads() as bare:
        backbone.model(**plain).loss.backward()
    return ours.count, bare.count


def main() -> int:
    """Print medians, ratios and the JSON record; the exit status says whether the goal is met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=8, help="pairs (at least 5)")
    parser.add_argument("--steps", type=int, default=10, help="optimizer steps per run")
    chosen = parser.parse_args()

    recipe = load_recipe("tiny/lora_scenes", ["init_from=null"]).recipe
    backbone = host()
    assert recipe.data.train is not None
    data = pipeline.open_samples(backbone, recipe.data, recipe.data.train, Path(tempfile.mkdtemp()))
    samples = [data[index] for index in range(BATCH * chosen.steps)]

    ratios, noise, times = [], [], {"vlft": [], "bare": []}
    for round_ in range(chosen.rounds + 1):  # the first round warms up
        first, losses_bare = run("bare", samples, chosen.steps)
        ours, losses_ours = run("vlft", samples, chosen.steps)
        second, _ = run("bare", samples, chosen.steps)
        worst = max(abs(a - b) / abs(a) for a, b in zip(losses_bare, losses_ours, strict=True))
        assert worst < 1e-4, f"the two sides do not train the same: {worst:.1e} relative"
        if round_:
            middle = (statistics.median(first) + statistics.median(second)) / 2
            ratios.append(statistics.median(ours) / middle)
            noise.append(statistics.median(second) / statistics.median(first))
            times["vlft"].append(statistics.median(ours))
            times["bare"].append(middle)
    ratio, spread = statistics.median(ratios), statistics.median(abs(n - 1) for n in noise)
    reads, bare_reads = reads_per_step(samples)
    print(f"step        ours {1e3 * statistics.median(times['vlft']):.1f} ms, "
          f"bare Trainer {1e3 * statistics.median(times['bare']):.1f} ms")  # fmt: skip
    print(f"ratio       {ratio:.3f} (goal <= {GOAL}); A/A differs by {spread:.3f} (median)")
    print(f"host reads  {reads} in our step, {bare_reads} in the model's own (goal: none added)")
    record = {"bar": "B1", "ratios": ratios, "a_a": noise, "seconds": times}
    print(json.dumps(record | {"reads": reads, "bare_reads": bare_reads}))
    return 0 if ratio <= GOAL and reads <= bare_reads else 1


if __name__ == "__main__":
    sys.exit(main())
