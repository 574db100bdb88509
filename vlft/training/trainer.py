"""A thin subclass of ``transformers.Trainer``: it only fills documented seams.

Batches, losses, adapters and the run directory live elsewhere; the loop, resume, trackers, ZeRO and
checkpoint rotation are the Trainer's.
"""

import atexit
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sized
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.data_loader import BatchSamplerShard
from peft import PeftModel
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, RandomSampler, Sampler
from transformers import EvalPrediction, Trainer

from vlft.adapters.parts import copy_whole, save_parts, trained_in_place
from vlft.data.mixture import MixedSamples
from vlft.recipe.towers import Towers
from vlft.training.groups import parameter_groups
from vlft.training.guard import FiniteLossGuard
from vlft.training.meter import Meter
from vlft.training.sampler import MixtureSampler
from vlft.types import Backbone, Batch, Objective, Outputs

AuxiliaryLoss = Callable[[Outputs, Batch], Mapping[str, Tensor]]


class VlftTrainer(Trainer):
    """Trains a backbone on an objective.

    Args:
        backbone: Host with its adapter; what is trained has ``requires_grad``.
        objective: The loss family.
        towers: Learning rates and decays per tower.
        auxiliary_loss: The adapter's extra losses, or None.
        **kwargs: As for the Trainer.
    """

    def __init__(
        self,
        *,
        backbone: Backbone,
        objective: Objective,
        towers: Towers,
        auxiliary_loss: AuxiliaryLoss | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            model=backbone.model,
            processing_class=backbone.processor,
            compute_metrics=mean_loss,
            **kwargs,
        )
        self.backbone = backbone
        self.loss_family = objective
        self.towers = towers
        self.auxiliary_loss = auxiliary_loss
        self.guard = FiniteLossGuard()
        self.meter = Meter(self.args.world_size)
        self.model_accepts_loss_kwargs = True  # our losses are divided by the global token count

    def get_batch_samples(
        self, epoch_iterator: Any, num_batches: int, device: torch.device
    ) -> tuple[list[Batch], Tensor | int | None]:
        """Fetch the micro batches of a step and time the wait for them."""
        timed = Timed(epoch_iterator)
        batches, num_items = super().get_batch_samples(timed, num_batches, device)
        self.meter.count(batches, waited=timed.seconds)
        return batches, num_items

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Return the objective's loss, scaled so that averaging over ranks gives the global one."""
        outputs = self.loss_family.forward(model, inputs)
        losses = self.loss_family.loss(outputs, inputs, num_items_in_batch)
        loss = losses.total
        parts = 1
        if num_items_in_batch is not None:  # a share of the step's sum, which the ranks average
            loss = loss * self.accelerator.num_processes
            parts = self.current_gradient_accumulation_steps
        if self.auxiliary_loss is not None:  # a mean over this batch
            loss = loss + sum(self.auxiliary_loss(outputs, inputs).values()) / parts
        self.guard.watch(
            loss.detach(), record_ids=inputs["record_ids"], step=self.state.global_step
        )
        return (loss, outputs) if return_outputs else loss

    def prediction_step(
        self,
        model: nn.Module,
        inputs: Batch,
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[None, Tensor, Tensor]:
        """Return each sample's loss sum and count, so that the mean is exact on any sharding.

        (A contrastive loss still depends on the candidates that share a batch.)
        """
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            sums, counts = self.loss_family.per_sample(
                self.loss_family.forward(model, inputs), inputs
            )
        return None, sums.double(), counts

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Validate; the time it takes is not counted in the training's throughput."""
        start = time.perf_counter()
        metrics = super().evaluate(*args, **kwargs)
        self.meter.leave_out(time.perf_counter() - start)
        return metrics

    def get_train_dataloader(self) -> DataLoader:
        """Return shuffled samples, in an order that depends on seed and epoch alone.

        With ``dataloader_drop_last`` an epoch has whole global batches only, on any launch.
        """
        dataset = self.train_dataset
        assert isinstance(dataset, Dataset)
        loader = self._loader(
            dataset,
            batch_size=self.args.train_batch_size,
            sampler=self._train_sampler(dataset),
            drop_last=self.args.dataloader_drop_last,
        )
        shard = loader.batch_sampler
        if isinstance(shard, BatchSamplerShard):
            # accelerate looks for it here to say which epoch it is, once batches are skipped
            shard.sampler = shard.batch_sampler.sampler
        return loader

    def _train_sampler(self, dataset: Dataset) -> Sampler[int]:
        if isinstance(dataset, MixedSamples):
            seed = self.args.data_seed
            return MixtureSampler(
                dataset.mix,
                num_samples=self._whole_batches(dataset.mix.num_samples),
                seed=self.args.seed if seed is None else seed,
                chunk=self.args.train_batch_size * self.args.world_size,
            )
        assert isinstance(dataset, Sized)
        # accelerate seeds it, on every rank alike
        return RandomSampler(dataset, num_samples=self._whole_batches(len(dataset)))

    def get_eval_dataloader(self, eval_dataset: str | Dataset | None = None) -> DataLoader:
        """Return every validation sample; ``dataloader_drop_last`` is for training alone."""
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        assert isinstance(dataset, Dataset)
        return self._loader(dataset, batch_size=self.args.eval_batch_size)

    def _whole_batches(self, size: int) -> int:
        if not self.args.dataloader_drop_last:
            return size
        per_step = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return size - size % (per_step * self.args.world_size)

    def _loader(self, dataset: Dataset, **options: Any) -> DataLoader:
        loader = DataLoader(
            dataset,
            collate_fn=self.data_collator,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory,
            prefetch_factor=self.args.dataloader_prefetch_factor,
            worker_init_fn=leave_signals,
            **options,
        )
        return self.accelerator.prepare(loader)

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: nn.Module | None = None
    ) -> None:
        """Load an adapter; a host that is trained itself was built from the checkpoint.

        The Trainer compares a host's weights by the names in the file, which for LLaVA are older
        ones than the model's, and would go on with what it has after a warning.
        """
        if isinstance(self.backbone.model, PeftModel):
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Build the Trainer's optimizer over groups with their tower's rate and decay."""
        if self.optimizer is None:
            trained = self.backbone.model if model is None else model
            optimizer_class, options = self.get_optimizer_cls_and_kwargs(self.args)
            groups = parameter_groups(
                replace(self.backbone, model=trained),
                self.towers,
                learning_rate=self.args.learning_rate,
                weight_decay=self.args.weight_decay,
                decayed=set(self.get_decay_parameter_names(trained)),
            )
            self.optimizer = optimizer_class(groups, **options)
        return self.optimizer

    def floating_point_ops(self, inputs: Batch) -> int:
        """Return 0: the Trainer's estimate walks all parameters at every step."""
        return 0

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add throughput to training lines."""
        if "loss" in logs:
            logs |= self.meter.read()
        super().log(logs, start_time)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write the model, and parts trained in place, once every loss is known to be finite."""
        self.guard.flush()
        super().save_model(output_dir, _internal_call)
        parts = copy_whole(trained_in_place(self.backbone.model))
        if self.args.should_save:
            folder = Path(str(output_dir or self.args.output_dir))
            save_parts(parts, folder)
            (folder / "README.md").unlink(missing_ok=True)  # PEFT's card, with blanks to fill in


class Timed:
    """An iterator that knows how long it was waited for.

    Attributes:
        seconds: Time spent in ``next`` so far.
    """

    def __init__(self, iterator: Iterator[Any]) -> None:
        self._iterator = iterator
        self.seconds = 0.0

    def __iter__(self) -> "Timed":
        return self

    def __next__(self) -> Any:
        """Give the next item."""
        start = time.perf_counter()
        try:
            return next(self._iterator)
        finally:
            self.seconds += time.perf_counter() - start


def leave_signals(worker: int) -> None:
    """Let a data-loading worker outlive Ctrl-C, so that the run can finish its step and save.

    It is then deaf to the request by which Python ends such processes at exit, and would be waited
    for without end after an error: ``end_workers`` ends it.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def end_workers() -> None:
    """End what data-loading workers are left when the interpreter ends."""
    for child in multiprocessing.active_children():
        if child.daemon:
            child.kill()


atexit.register(end_workers)


def mean_loss(prediction: EvalPrediction) -> dict[str, float]:
    """Return the mean loss from per-sample sums and counts."""
    sums, counts = np.asarray(prediction.predictions), np.asarray(prediction.label_ids)
    return {"loss": float(sums.sum() / max(counts.sum(), 1))}
