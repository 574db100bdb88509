"""Settings of training, evaluation and publishing that exclude each other."""

from collections.abc import Iterator

from vlft.recipe.conflicts.conflict import Conflict, refuse_unknown
from vlft.recipe.foreign import KEYS
from vlft.recipe.schema import Recipe
from vlft.recipe.training import TrainingSection
from vlft.recipe.upstream import optimizers, schedulers, training_arguments


def upstream_names(recipe: Recipe) -> Iterator[Conflict]:
    """Refuse optimizers and schedules that transformers does not have."""
    for field, names in (("optim", optimizers), ("lr_scheduler_type", schedulers)):
        name = getattr(recipe.training, field)
        if name != TrainingSection.model_fields[field].default:  # spares parsing for a known name
            yield from refuse_unknown(f"training.{field}", name, names())


def extra_arguments(recipe: Recipe) -> Iterator[Conflict]:
    """Refuse what has a field of its own, or is no field of TrainingArguments."""
    for name in recipe.training.extra:
        field = f"training.extra.{name}"
        if name in TrainingSection.model_fields:
            yield Conflict(field, f"this is a field of its own: write training.{name}")
        elif name in Recipe.model_fields:
            yield Conflict(field, f"this is a field of its own: write {name} at the top")
        elif name in KEYS and not KEYS[name].startswith(f"`training.extra: {{{name}:"):
            yield Conflict(field, KEYS[name])
        else:
            yield from refuse_unknown(
                field, name, training_arguments(), kind="field of TrainingArguments"
            )


def validations(recipe: Recipe) -> Iterator[Conflict]:
    """Refuse validations without a validation set."""
    if recipe.training.eval_strategy != "no" and recipe.data.validation is None:
        yield Conflict(
            "training.eval_strategy",
            "there is no validation set: give data.validation, or set eval_strategy: no",
        )


def best_checkpoint(recipe: Recipe) -> Iterator[Conflict]:
    """Refuse a choice of the best checkpoint that is never measured or not kept."""
    training, best = recipe.training, recipe.evaluation.metric_for_best
    if training.early_stopping_patience is not None and best is None:
        yield Conflict(
            "training.early_stopping_patience",
            "early stopping watches a metric: add evaluation.metric_for_best: loss",
        )
    if best is None:
        return
    if training.save_strategy == "no":
        yield Conflict(
            "training.save_strategy",
            f"the best checkpoint by {best} cannot be kept: use save_strategy: "
            f"{training.eval_strategy if training.eval_strategy != 'no' else 'epoch'}",
        )
    elif recipe.data.validation is None:
        yield Conflict(
            "evaluation.metric_for_best",
            "it is measured at validations, and there is no validation set: give data.validation",
        )
    elif training.eval_strategy == "no":
        return
    elif training.save_strategy != training.eval_strategy:
        yield Conflict(
            "training.save_strategy",
            "the best checkpoint must be saved when it is measured: use save_strategy: "
            f"{training.eval_strategy}",
        )
    elif training.save_steps != training.eval_steps:
        yield Conflict(
            "training.save_steps",
            "the best checkpoint must be saved when it is measured: use eval_steps "
            f"({training.eval_steps})",
        )


def publishing(recipe: Recipe) -> Iterator[Conflict]:
    """Refuse publishing, which does not exist yet."""
    if recipe.hub.repo_id is not None:
        yield Conflict(
            "hub.repo_id",
            "this version trains and measures, but does not push yet: leave it null and upload the "
            "run directory with `hf upload`",
        )
