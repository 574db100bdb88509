"""Benchmarks on saved checkpoints while a run trains, so that their numbers can pick the best."""

import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from transformers import TrainerControl, TrainerState, TrainingArguments

from vlft import hub
from vlft.errors import EvaluationError, unknown
from vlft.evaluation.benchmark import load_suite
from vlft.evaluation.driver import evaluate
from vlft.evaluation.places import placed
from vlft.recipe.schema import Recipe
from vlft.training.callbacks import METRICS
from vlft.training.fit import SuiteCallback

FOLDER = "evaluating"

LONGEST = timedelta(days=2)
"""How long the other processes wait for the one that measures."""


class RunSuite(SuiteCallback):
    """Saves the model at every validation, loads it from disk, and measures it.

    A number therefore always belongs to an artifact that loads. The metrics join those of the
    validation (``eval_accuracy``), so the Trainer's best checkpoint and early stopping can use
    them.

    Args:
        recipe: Its ``evaluation`` says what to run.
        run_dir: The run directory.
    """

    def __init__(self, recipe: Recipe, run_dir: Path) -> None:
        assert recipe.evaluation.suite is not None
        specs = load_suite(recipe.evaluation.suite, recipe.evaluation.overrides)
        # a file that is not there is named before the first step
        self._specs = [placed(spec) for spec in specs]
        for spec in self._specs:
            _ = spec.dataset_revision
        self._limit = recipe.evaluation.limit
        self._folder = run_dir / FOLDER
        self._group: dist.ProcessGroup | None = None

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Measure what is on disk and add the numbers to ``metrics``, on every process."""
        assert self.trainer is not None
        assert metrics is not None
        self.trainer.save_model(str(self._folder), _internal_call=True)
        found: list[dict[str, float]] = [{}]
        failed: list[Exception | None] = [None]
        if state.is_world_process_zero:
            try:
                with torch.random.fork_rng():
                    found = [self._measure(args.device)]
            except Exception as error:  # raised below, on every process
                failed = [error]
        if args.world_size > 1:
            if self._group is None:
                group = dist.new_group(backend="gloo", timeout=LONGEST)
                assert isinstance(group, dist.ProcessGroup)
                self._group = group
            dist.broadcast_object_list(failed, group=self._group)
            dist.broadcast_object_list(found, group=self._group)
        if failed[0] is not None:
            raise failed[0]
        wanted = args.metric_for_best_model
        if wanted is not None and wanted not in ("loss", *found[0]):
            raise EvaluationError(
                f"evaluation.metric_for_best: {unknown('metric', wanted, found[0])}"
            )
        metrics.update({f"eval_{name}": value for name, value in found[0].items()})
        if state.is_world_process_zero:
            line = {"step": state.global_step, **found[0]}
            with (self._folder.parent / METRICS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def _measure(self, device: torch.device) -> dict[str, float]:
        backbone = hub.load(self._folder)
        backbone.model.to(device)
        shutil.rmtree(self._folder)
        numbers = {}
        for spec in self._specs:
            result = evaluate(backbone, spec, limit=self._limit, progress=False).result
            for metric in result.metrics:
                numbers.setdefault(metric.name, metric.value)  # the first benchmark's counts
                numbers[f"{spec.name}.{metric.name}"] = metric.value
        return numbers


def suite_callback(recipe: Recipe, run_dir: Path) -> RunSuite | None:
    """Return the callback, or None for a recipe without a suite or without validations."""
    if recipe.evaluation.suite is None or recipe.eval_strategy == "no":
        return None
    return RunSuite(recipe, run_dir)
