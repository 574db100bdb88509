"""One training run, from a host with its adapter to a run directory that loads elsewhere."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from peft import PeftModel
from torch import nn
from torch.utils.data import Dataset
from transformers import (
    EarlyStoppingCallback,
    PreTrainedModel,
    PrinterCallback,
    TrainerCallback,
    TrainingArguments,
)

from vlft.adapters import ADAPTERS, mutation
from vlft.adapters.base import Start
from vlft.adapters.parts import (
    BASE,
    copy_whole,
    load_parts,
    local_parameters,
    read_parts,
    save_parts,
)
from vlft.disk import is_full
from vlft.objectives import build_objective
from vlft.recipe.schema import Recipe
from vlft.training import run_directory
from vlft.training.callbacks import (
    METRICS,
    DiffersByEpoch,
    EpochOfSamples,
    MetricsWriter,
    Progress,
    StopOnSignal,
    trim_metrics,
)
from vlft.training.gradient_proof import GradientProof
from vlft.training.launch import is_main_process
from vlft.training.trainer import VlftTrainer
from vlft.types import Backbone, Batch


class SuiteCallback(TrainerCallback):
    """A callback that is given the trainer, to save what it measures."""

    trainer: VlftTrainer | None = None


@dataclass(frozen=True)
class Fit:
    """How a run ended.

    Attributes:
        run_dir: Where everything is.
        steps: Optimizer steps done.
        interrupted: A signal stopped it; it can be resumed.
        best_step: Step of the checkpoint that was exported, when a metric chose it.
    """

    run_dir: Path
    steps: int
    interrupted: bool
    best_step: int | None


def fit(
    *,
    recipe: Recipe,
    arguments: TrainingArguments,
    backbone: Backbone,
    train: Dataset,
    validation: Dataset | None,
    collate: Callable[[list[Any]], Batch],
    resume_from: Path | None = None,
    suite: SuiteCallback | None = None,
) -> Fit:
    """Train, and export the result to the run directory.

    Args:
        recipe: The validated recipe.
        arguments: From ``training_arguments``; its output folder exists.
        backbone: Host with its adapter applied.
        train: Encoded samples.
        validation: Encoded samples for ``eval_loss``, or None.
        collate: Samples to a batch.
        resume_from: A checkpoint of this run directory, or None.
        suite: Benchmarks on saved checkpoints, or None.

    Raises:
        NonFiniteLossError: The loss became NaN or infinite.
        NoGradientError: A trained tower got no gradient.
    """
    run_dir = Path(str(arguments.output_dir))
    adapter = ADAPTERS[recipe.adapter.type]
    mutates = adapter.flags(recipe.adapter).mutates_base
    if arguments.deepspeed_plugin is not None:
        _spare_scalars(backbone.model)
    if mutates and resume_from is None and is_main_process():
        assert isinstance(backbone.model, PeftModel)
        mutation.save_initial(backbone.model, run_dir)
    if resume_from is not None:
        load_parts(backbone.model, resume_from)
        if arguments.should_save:
            trim_metrics(run_dir / METRICS, run_directory.step_of(resume_from))

    trainer = VlftTrainer(
        backbone=backbone,
        objective=build_objective(recipe.objective),
        towers=recipe.towers,
        auxiliary_loss=adapter.auxiliary_loss,
        args=arguments,
        train_dataset=train,
        eval_dataset=validation,
        data_collator=collate,
    )
    if suite is not None:
        suite.trainer = trainer
    stop = StopOnSignal()
    trainer.remove_callback(PrinterCallback)
    for callback in (
        MetricsWriter(run_dir / METRICS),
        GradientProof(backbone, trainer.meter),
        *([EpochOfSamples(train)] if isinstance(train, DiffersByEpoch) else []),
        *([suite] if suite else []),  # before those that look at its metrics
        *_early_stopping(recipe),
        Progress(),
        stop,
    ):
        trainer.add_callback(callback)

    try:
        trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
    except Exception as error:
        if is_full(error):
            raise run_directory.full_disk(run_dir) from error
        raise
    finally:
        stop.release()
    trainer.guard.flush()
    if stop.stopping:
        return Fit(run_dir, trainer.state.global_step, interrupted=True, best_step=None)
    best = trainer.state.best_model_checkpoint
    try:
        export(trainer, run_dir, best=Path(best) if best else None, mutates_base=mutates)
    except Exception as error:
        if is_full(error):
            raise run_directory.full_disk(run_dir) from error
        raise
    return Fit(
        run_dir,
        trainer.state.global_step,
        interrupted=False,
        best_step=run_directory.step_of(Path(best)) if best else None,
    )


def _spare_scalars(model: nn.Module) -> None:
    """Keep CLIP's temperature out of DeepSpeed's broadcast at start.

    DeepSpeed (0.19) sends parameters as bytes, which a tensor without axes cannot be viewed as. Its
    own mark for a parameter that is not broadcast does; equal seeds make the ranks equal anyway.
    """
    for parameter in model.parameters():
        if parameter.ndim == 0:
            parameter.ds_optim_param = True  # pyrefly: ignore[missing-attribute]


def _early_stopping(recipe: Recipe) -> list[TrainerCallback]:
    patience = recipe.training.early_stopping_patience
    return [] if patience is None else [EarlyStoppingCallback(early_stopping_patience=patience)]


def write_base(backbone: Backbone, run_dir: Path, *, whole_is_trained: bool = False) -> None:
    """Write the parts of the untouched host that no checkpoint elsewhere holds, and its processor.

    Every rank must call it (under ZeRO-3 weights are gathered); the main process writes.

    Args:
        backbone: The host before an adapter is applied.
        run_dir: The run directory.
        whole_is_trained: The run itself will hold every weight (``adapter: full``).
    """
    whole = backbone.local_parts == ("",)
    parts = {} if whole_is_trained else copy_whole(local_parameters(backbone))
    if not is_main_process():
        return
    backbone.processor.save_pretrained(run_dir)
    if whole and not whole_is_trained:
        assert isinstance(backbone.model, PreTrainedModel)
        backbone.model.save_pretrained(run_dir / BASE, state_dict=parts)
        backbone.processor.save_pretrained(run_dir / BASE)
    else:
        save_parts(parts, run_dir)


def write_prepared_base(backbone: Backbone, run_dir: Path, recipe: Recipe, start: Start) -> None:
    """Write the base of a run whose adapter was prepared, and take the start out of the host.

    The base is the untouched host; or the residual, whole, where the adapter is to stay an ordinary
    LoRA of its rank on it (``adapter.save: residual``). Every rank must call it.

    Args:
        backbone: The untouched host before an adapter is applied; changed in place.
        run_dir: The run directory.
        recipe: Its adapter decides.
        start: Step-0 factors.
    """
    if ADAPTERS[recipe.adapter.type].flags(recipe.adapter).mutates_base:
        write_base(backbone, run_dir)
        mutation.take_out(backbone.model, start)
        return
    mutation.take_out(backbone.model, start)
    assert isinstance(backbone.model, PreTrainedModel)
    backbone.model.name_or_path = ""  # no checkpoint elsewhere is this base
    write_base(replace(backbone, local_parts=("",)), run_dir)


def export(trainer: VlftTrainer, run_dir: Path, *, best: Path | None, mutates_base: bool) -> None:
    """Write the finished model to the run directory: the best checkpoint's, or the last weights.

    It is written aside and gets its place when it is complete.
    """
    unfinished = run_dir / run_directory.UNFINISHED
    if best is None:
        trainer.save_model(str(unfinished), _internal_call=True)
    if not trainer.args.should_save:
        return
    unfinished.mkdir(exist_ok=True)
    if best is not None:
        _copy_weights(best, unfinished)
    new = read_parts(unfinished)
    if new:
        save_parts(read_parts(run_dir) | new, unfinished)
    if mutates_base:
        model = trainer.model
        assert isinstance(model, PeftModel)
        mutation.export(model.peft_config["default"], run_dir, unfinished)
    (unfinished / "training_args.bin").unlink(missing_ok=True)  # a pickle, and no one reads it
    run_directory.put_in_place(unfinished, run_dir)


def _copy_weights(checkpoint: Path, folder: Path) -> None:
    for path in checkpoint.iterdir():
        is_weights = path.suffix in (".safetensors", ".json") and path.name != run_directory.STATE
        if path.is_file() and is_weights:
            shutil.copy2(path, folder / path.name)
    save_parts(read_parts(checkpoint), folder)
