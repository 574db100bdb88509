"""The ``training`` section. Names are those of transformers' ``TrainingArguments``.

``global_batch_size`` is the one deliberate addition: samples per optimizer step over all processes;
gradient accumulation follows from it after launch. Devices, processes and DeepSpeed never stand
here: they belong to the launch file.
"""

from typing import Any, Literal

from pydantic import Field, model_validator

from vlft.recipe.section import Contradiction, Section

WATCHES_VALIDATION = ("reduce_lr_on_plateau", "greedy")
"""Schedulers of transformers that need a validation loss."""


class TrainingSection(Section):
    """How long, how fast, in which precision, and what is kept."""

    output_dir: str | None = None
    """Run directory; null: ``runs/<recipe name>``."""
    global_batch_size: int = Field(32, gt=0)
    """Samples per optimizer step, over all processes and accumulation steps."""
    per_device_train_batch_size: int | None = Field(None, gt=0)
    """Samples per process and forward pass; null: no accumulation."""
    per_device_eval_batch_size: int = Field(32, gt=0)
    """Samples per process and forward pass in validation."""
    num_train_epochs: float = Field(1.0, gt=0)
    """Passes over the training set; ``max_steps`` wins when it is given."""
    max_steps: int | None = Field(None, gt=0)
    """Optimizer steps; null: as many as ``num_train_epochs`` takes."""
    learning_rate: float = Field(1e-4, ge=0)
    """Peak learning rate, of every tower that gives none of its own."""
    lr_scheduler_type: str = "cosine"
    """A scheduler name of transformers (``SchedulerType``)."""
    lr_scheduler_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Options of that scheduler."""
    warmup_steps: float = Field(0, ge=0)
    """Optimizer steps of linear warm-up; below 1: share of all steps."""
    weight_decay: float = Field(0.0, ge=0)
    """Decoupled weight decay (AdamW)."""
    adam_beta1: float = Field(0.9, ge=0, lt=1)
    """AdamW's first decay."""
    adam_beta2: float = Field(0.999, ge=0, lt=1)
    """AdamW's second decay."""
    adam_epsilon: float = Field(1e-8, gt=0)
    """AdamW's epsilon."""
    optim: str = "adamw_torch"
    """An optimizer name of transformers (``OptimizerNames``)."""
    max_grad_norm: float = Field(1.0, ge=0)
    """Gradient norm is clipped to this; 0: never."""
    bf16: bool = False
    """Autocast the arithmetic to bfloat16."""
    fp16: bool = False
    """Autocast the arithmetic to float16, with loss scaling (CUDA only)."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass (non-reentrant)."""
    dataloader_num_workers: int = Field(1, ge=0)
    """Processes per rank that decode images and build samples; 0: the training process itself."""
    dataloader_drop_last: bool = True
    """Leave out the last, smaller batch of an epoch (another one each epoch), so that every step
    has the global batch on any number of processes."""
    logging_steps: int = Field(10, gt=0)
    """Optimizer steps between lines of ``metrics.jsonl``."""
    eval_strategy: Literal["no", "steps", "epoch"] = "no"
    """When the validation set is measured; ``no``: with every checkpoint if
    ``evaluation.metric_for_best`` picks the best one, else never."""
    eval_steps: int | None = Field(None, gt=0)
    """Optimizer steps between validations, for ``eval_strategy: steps``."""
    save_strategy: Literal["no", "steps", "epoch"] = "epoch"
    """When a checkpoint that can be resumed is written."""
    save_steps: int | None = Field(None, gt=0)
    """Optimizer steps between checkpoints, for ``save_strategy: steps``."""
    save_total_limit: int | None = Field(2, gt=0)
    """Checkpoints kept (the best one always is)."""
    early_stopping_patience: int | None = Field(None, gt=0)
    """Stop after so many validations without a better loss; null: never."""
    report_to: tuple[str, ...] = ()
    """Trackers of transformers ("tensorboard", "wandb", ...); JSON lines are always written."""
    extra: dict[str, Any] = Field(default_factory=dict)
    """Any other field of ``TrainingArguments`` of the installed transformers, by its name there."""

    @model_validator(mode="after")
    def _one_precision(self) -> "TrainingSection":
        if self.bf16 and self.fp16:
            raise Contradiction(
                "fp16", "bf16 and fp16 exclude each other: set one of them to false"
            )
        return self

    @model_validator(mode="after")
    def _whole_warmup(self) -> "TrainingSection":
        if self.warmup_steps > 1 and self.warmup_steps != int(self.warmup_steps):
            raise Contradiction(
                "warmup_steps", "expected whole steps, or a share of all steps below 1 such as 0.03"
            )
        return self

    @model_validator(mode="after")
    def _intervals(self) -> "TrainingSection":
        for name, strategy, steps in (
            ("eval", self.eval_strategy, self.eval_steps),
            ("save", self.save_strategy, self.save_steps),
        ):
            if strategy == "steps" and steps is None:
                raise Contradiction(
                    f"{name}_strategy", f"steps between them are not given: add {name}_steps"
                )
            if strategy != "steps" and steps is not None:
                raise Contradiction(
                    f"{name}_steps",
                    f"has no effect with {name}_strategy: {strategy}; set "
                    f"{name}_strategy: steps, or {name}_steps: null",
                )
        return self

    @model_validator(mode="after")
    def _needs_validation(self) -> "TrainingSection":
        if self.eval_strategy == "no":
            if self.early_stopping_patience is not None:
                raise Contradiction(
                    "early_stopping_patience",
                    "nothing is validated: set eval_strategy to steps "
                    "or epoch, or early_stopping_patience to null",
                )
            if self.lr_scheduler_type in WATCHES_VALIDATION:
                raise Contradiction(
                    "lr_scheduler_type",
                    "it follows the validation loss: set eval_strategy to "
                    "steps or epoch, or use cosine",
                )
        return self
