"""From a launch to ``TrainingArguments``: the only place that sets devices and backends.

``accelerate launch`` says how many processes there are and whether DeepSpeed is used; the recipe
never does. On a CPU two arguments must be set together (``use_cpu`` and ``ddp_backend="gloo"``):
with one of them alone, training runs and is wrong without an error.
"""

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from vlft.errors import LaunchError, MissingExtraError, RecipeError, unknown
from vlft.recipe.launch import Launch
from vlft.recipe.schema import Recipe
from vlft.recipe.validate import Batches

NOT_OURS = {
    "average_tokens_across_devices": "losses are always divided by the tokens of all processes",
    "label_smoothing_factor": "objectives compute the loss, not the Trainer",
    "train_sampling_strategy": "samples are shuffled by seed and epoch",
    "dataloader_persistent_workers": "workers start anew each epoch, so that resuming is exact",
    "dataloader_in_order": "batches always come in order",
    "group_by_length": "samples are shuffled by seed and epoch",
}
"""Fields of ``TrainingArguments`` that our losses and loaders do not read, and why."""


def read_launch() -> Launch:
    """Read the processes and devices of this run from the launcher's environment.

    Raises:
        MissingExtraError: The launch file asks for DeepSpeed, which is not installed.
    """
    use_cpu = os.environ.get("ACCELERATE_USE_CPU", "false").lower() in ("true", "1", "yes")
    deepspeed = os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() == "true"
    if deepspeed and importlib.util.find_spec("deepspeed") is None:
        raise MissingExtraError("deepspeed", extra="deepspeed", needed_for="a ZeRO launch file")
    device = "cpu" if use_cpu or not torch.cuda.is_available() else "cuda"
    return Launch(
        world_size=int(os.environ.get("WORLD_SIZE", "1")),
        device=device,
        num_visible_gpus=torch.cuda.device_count() if device == "cuda" else 0,
        through_launcher="WORLD_SIZE" in os.environ,
        zero_stage=int(os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2")) if deepspeed else 0,
    )


def is_main_process() -> bool:
    """Whether this process writes files; true before and without a launcher."""
    return int(os.environ.get("RANK", "0")) == 0


def leave_group() -> None:
    """End the group of processes, where there is one.

    Its threads have to be gone before the interpreter is, or a finished run may end in an abort.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def training_arguments(
    recipe: Recipe, launch: Launch, batches: Batches, run_dir: Path
) -> TrainingArguments:
    """Return the Trainer's arguments and start the process group.

    Call it before any weight is loaded: under ZeRO-3 it is what makes transformers load sharded.

    Raises:
        RecipeError: ``training.extra`` has a field that ``TrainingArguments`` does not have.
        LaunchError: The Trainer sees another number of processes than the launcher started.
    """
    if launch.device == "cpu" and launch.zero_stage:
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
        # DeepSpeed compiles an operator with ninja, which stands beside this Python.
        own_programs = str(Path(sys.executable).parent)
        os.environ["PATH"] = os.pathsep.join([own_programs, os.environ.get("PATH", "")])
    if launch.device == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(compute_threads(recipe.training.dataloader_num_workers))
    arguments = TrainingArguments(**_fields(recipe, launch, batches, run_dir))
    if arguments.world_size != launch.world_size:
        raise LaunchError(
            f"the launcher started {launch.world_size} processes, but the Trainer sees "
            f"{arguments.world_size}: every process would train alone. Use a file of "
            "accelerate_configs/ (`vlft list launches`)"
        )
    return arguments


def compute_threads(num_workers: int) -> int:
    """Return this process's share of the cores, less one for each data-loading worker.

    Compute threads wait for each other many times per step. One that must share its core with a
    worker makes all of them wait: on two cores, two threads beside a worker train no faster than
    one.
    """
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")) - num_workers)


def _fields(recipe: Recipe, launch: Launch, batches: Batches, run_dir: Path) -> dict[str, Any]:
    training = recipe.training
    on_cpu = launch.device == "cpu"
    fields: dict[str, Any] = {
        "output_dir": str(run_dir),
        "seed": recipe.seed,
        "data_seed": recipe.seed,
        "per_device_train_batch_size": batches.per_device,
        "gradient_accumulation_steps": batches.accumulation,
        "per_device_eval_batch_size": training.per_device_eval_batch_size,
        "num_train_epochs": training.num_train_epochs,
        "max_steps": training.max_steps or -1,
        "learning_rate": training.learning_rate,
        "lr_scheduler_type": training.lr_scheduler_type,
        "lr_scheduler_kwargs": training.lr_scheduler_kwargs or None,
        "warmup_steps": training.warmup_steps,
        "weight_decay": training.weight_decay,
        "adam_beta1": training.adam_beta1,
        "adam_beta2": training.adam_beta2,
        "adam_epsilon": training.adam_epsilon,
        "optim": training.optim,
        "max_grad_norm": training.max_grad_norm,
        "bf16": training.bf16,
        "fp16": training.fp16,
        "activation_checkpointing": training.gradient_checkpointing,
        "activation_checkpointing_kwargs": (
            {"use_reentrant": False} if training.gradient_checkpointing else None
        ),
        "dataloader_num_workers": training.dataloader_num_workers,
        "dataloader_drop_last": training.dataloader_drop_last,
        "dataloader_pin_memory": not on_cpu,
        "logging_steps": training.logging_steps,
        "logging_first_step": True,
        "eval_strategy": recipe.eval_strategy,
        "eval_steps": training.eval_steps or training.save_steps,
        "save_strategy": training.save_strategy,
        "save_steps": training.save_steps or 500,
        "save_total_limit": training.save_total_limit,
        "metric_for_best_model": recipe.evaluation.metric_for_best,
        "greater_is_better": None
        if recipe.evaluation.metric_for_best is None
        else recipe.evaluation.metric_for_best != "loss",
        "report_to": list(training.report_to) or "none",
        # The progress bar and the check for NaN are ours; the Trainer's would sync at every step.
        "disable_tqdm": True,
        "logging_nan_inf_filter": False,
        "remove_unused_columns": False,
        "use_cpu": on_cpu and not launch.zero_stage,
        "ddp_backend": "gloo" if on_cpu and launch.world_size > 1 else None,
        # LLaVA never uses its tower's last norm (nor the layers behind vision_feature_layer).
        "ddp_find_unused_parameters": True if launch.world_size > 1 else None,
    }
    for name, value in training.extra.items():
        if name not in TrainingArguments.__dataclass_fields__:
            problem = unknown("field", name, TrainingArguments.__dataclass_fields__)
            raise RecipeError(f"training.extra: {problem}")
        if name in NOT_OURS:
            raise RecipeError(f"training.extra: {name} has no effect here: {NOT_OURS[name]}")
        fields[name] = value
    return fields
