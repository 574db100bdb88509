"""Fields of different sections that exclude each other, each with the nearest thing that works."""

from collections.abc import Iterator
from typing import NamedTuple

from vlft.errors import near
from vlft.recipe.adapter import FullAdapter, PeftAdapter
from vlft.recipe.adapter.placed import Placed
from vlft.recipe.backbone import CausalLM
from vlft.recipe.data import LlavaJson, Pairs, Scenes, ScienceQA
from vlft.recipe.data.files import FileDataset
from vlft.recipe.foreign import KEYS
from vlft.recipe.schema import Recipe
from vlft.recipe.section import Section
from vlft.recipe.towers import Tower, TowerName
from vlft.recipe.training import TrainingSection
from vlft.recipe.upstream import optimizers, peft_types, schedulers, training_arguments


class Conflict(NamedTuple):
    """A contradiction.

    Attributes:
        field: The field that it is reported at.
        message: Why it does not go, and what does.
    """

    field: str
    message: str


def conflicts(recipe: Recipe) -> list[Conflict]:
    """Return every contradiction of a recipe, in the order of its sections."""
    checks = (
        _precision,
        _adapter_names,
        _adapter_places,
        _towers,
        _data_sets,
        _held_out,
        _objective,
        _upstream_names,
        _extra,
        _validation,
        _best_checkpoint,
        _publishing,
    )
    return [conflict for check in checks for conflict in check(recipe)]


def _precision(recipe: Recipe) -> Iterator[Conflict]:
    dtype, training = recipe.backbone.dtype, recipe.training
    if dtype == "bfloat16" and training.fp16:
        yield Conflict("training.fp16", "weights are bfloat16: use bf16: true instead of fp16")
    if dtype == "float16" and training.bf16:
        yield Conflict("training.bf16", "weights are float16: use backbone.dtype: bfloat16 with it")
    if dtype == "float16" and isinstance(recipe.adapter, FullAdapter):
        yield Conflict(
            "backbone.dtype",
            "float16 weights lose small updates when they are trained: use float32 (with "
            "training.fp16: true), or an adapter",
        )
    half = dtype in ("bfloat16", "float16", "auto") or training.bf16 or training.fp16
    if recipe.backbone.attn_implementation == "flash_attention_2" and not half:
        yield Conflict(
            "backbone.attn_implementation",
            "it computes in half precision only: add training.bf16: true, or use sdpa",
        )


def _adapter_names(recipe: Recipe) -> Iterator[Conflict]:
    if isinstance(recipe.adapter, PeftAdapter):
        yield from _known("adapter.peft_type", recipe.adapter.peft_type, peft_types())


def _adapter_places(recipe: Recipe) -> Iterator[Conflict]:
    towers = recipe.backbone.tower_names
    if not isinstance(recipe.adapter, Placed):
        return
    for site in recipe.adapter.sites:
        tower, _, place = site.partition(".")
        if tower not in towers:
            guess = near(tower, towers)
            hint = f" Did you mean {f'{guess}.{place}'.rstrip('.')!r}?" if guess else ""
            yield Conflict(
                "adapter.sites",
                f"{site!r} is in no tower of host type {recipe.backbone.type}.{hint} "
                f"Its towers: {', '.join(towers)}",
            )
        elif recipe.towers.get(tower, Tower()).train == "full":
            yield Conflict(
                f"towers.{tower}.train",
                f"all its weights are trained, and the adapter sits at {site!r} as well: freeze "
                "the tower, or take the site out",
            )


def _towers(recipe: Recipe) -> Iterator[Conflict]:
    names = recipe.backbone.tower_names
    for name in recipe.towers:
        if name not in names:
            yield Conflict(
                f"towers.{name}",
                f"host type {recipe.backbone.type} has no such tower. "
                f"Its towers: {', '.join(names)}",
            )
    is_full = isinstance(recipe.adapter, FullAdapter)
    if is_full and all(_frozen(recipe, name) for name in names):
        yield Conflict(
            "adapter.type",
            "full trains whole towers, and all of them are frozen: set one to train: full, or "
            "place an adapter (type: lora)",
        )
    for name, tower in recipe.towers.items():
        if name not in names or not _untouched(recipe, name):
            continue
        for field in ("learning_rate", "weight_decay"):
            if getattr(tower, field) is not None:
                yield Conflict(
                    f"towers.{name}.{field}",
                    "nothing in this tower is trained: set train: full, place the adapter there, "
                    "or leave it out",
                )


def _frozen(recipe: Recipe, name: TowerName) -> bool:
    """Whether a tower's own weights are frozen."""
    train = recipe.towers.get(name, Tower()).train
    return train == "frozen" or (train is None and not isinstance(recipe.adapter, FullAdapter))


def _untouched(recipe: Recipe, name: TowerName) -> bool:
    """Whether a tower is frozen and surely without an adapter (a pattern may match anywhere)."""
    if not _frozen(recipe, name):
        return False
    adapter = recipe.adapter
    if not isinstance(adapter, Placed):
        return True
    return not adapter.target_modules and all(s.split(".")[0] != name for s in adapter.sites)


def _data_sets(recipe: Recipe) -> Iterator[Conflict]:
    contrastive = recipe.backbone.family == "contrastive"
    for split, data in _splits(recipe):
        pairs = isinstance(data, Pairs) or (isinstance(data, Scenes) and data.task == "pairs")
        field = f"data.{split}.{'task' if isinstance(data, Scenes) else 'type'}"
        if contrastive and not pairs:
            yield Conflict(
                field,
                "a contrastive host trains on image-text pairs: use type: pairs, or type: scenes "
                "with task: pairs",
            )
        if not contrastive and pairs:
            yield Conflict(
                field,
                "a generative host trains on conversations, not on pairs: use type: messages, or "
                "type: scenes with task: captioning",
            )
        if isinstance(recipe.backbone, CausalLM) and isinstance(
            data, Scenes | ScienceQA | LlavaJson
        ):
            yield Conflict(
                f"data.{split}.type",
                "host type causal_lm sees no images: use type: messages with text",
            )


def _held_out(recipe: Recipe) -> Iterator[Conflict]:
    """Refuse a validation set that is trained on."""
    train, held_out = recipe.data.train, recipe.data.validation
    if isinstance(train, Scenes) and isinstance(held_out, Scenes) and train.seed == held_out.seed:
        end = train.offset + train.num_samples
        if train.offset < held_out.offset + held_out.num_samples and held_out.offset < end:
            yield Conflict(
                "data.validation.offset",
                f"samples {train.offset} to {end - 1} of seed {train.seed} are trained on: use "
                f"offset: {end}, or another seed",
            )
    files = isinstance(train, FileDataset) and isinstance(held_out, FileDataset)
    if files and train.path == held_out.path and _parts(train) & _parts(held_out):
        yield Conflict(
            "data.validation.path",
            "records of it are trained on: hold some out in a file or split of their own, or leave "
            "data.validation out",
        )


def _parts(data: FileDataset) -> set[str]:
    """Return which parts of its file a set reads: all of it, or those of a named split."""
    if not isinstance(data, ScienceQA):
        return {"all"}
    return {part for part in ("train", "val", "test") if part in data.split}  # minitrain, trainval


def _objective(recipe: Recipe) -> Iterator[Conflict]:
    wanted = "contrastive" if recipe.backbone.family == "contrastive" else "language_modeling"
    if recipe.objective.type != wanted:
        yield Conflict(
            "objective.type",
            f"host type {recipe.backbone.type} is {recipe.backbone.family}: use type: {wanted}",
        )


def _upstream_names(recipe: Recipe) -> Iterator[Conflict]:
    for field, names in (("optim", optimizers), ("lr_scheduler_type", schedulers)):
        name = getattr(recipe.training, field)
        if name != TrainingSection.model_fields[field].default:  # spares parsing for a known name
            yield from _known(f"training.{field}", name, names())


def _extra(recipe: Recipe) -> Iterator[Conflict]:
    for name in recipe.training.extra:
        field = f"training.extra.{name}"
        if name in TrainingSection.model_fields:
            yield Conflict(field, f"this is a field of its own: write training.{name}")
        elif name in Recipe.model_fields:
            yield Conflict(field, f"this is a field of its own: write {name} at the top")
        elif name in KEYS and not KEYS[name].startswith(f"`training.extra: {{{name}:"):
            yield Conflict(field, KEYS[name])
        else:
            yield from _known(field, name, training_arguments(), kind="field of TrainingArguments")


def _validation(recipe: Recipe) -> Iterator[Conflict]:
    if recipe.training.eval_strategy != "no" and recipe.data.validation is None:
        yield Conflict(
            "training.eval_strategy",
            "there is no validation set: give data.validation, or set eval_strategy: no",
        )


def _best_checkpoint(recipe: Recipe) -> Iterator[Conflict]:
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


def _publishing(recipe: Recipe) -> Iterator[Conflict]:
    if recipe.hub.repo_id is not None:
        yield Conflict(
            "hub.repo_id",
            "this version trains and measures, but does not push yet: leave it null and upload the "
            "run directory with `hf upload`",
        )


def _splits(recipe: Recipe) -> Iterator[tuple[str, Section]]:
    for split in ("train", "validation"):
        data = getattr(recipe.data, split)
        if data is not None:
            yield split, data


def _known(
    field: str, name: str, names: frozenset[str], *, kind: str = "name"
) -> Iterator[Conflict]:
    """Refuse a name that an upstream library does not have; with no names, everything passes."""
    if names and name not in names:
        guess = near(name, names)
        hint = f" Did you mean {guess!r}?" if guess else ""
        exist = ", ".join(sorted(names)) if len(names) <= 60 else f"{len(names)} names"
        yield Conflict(field, f"unknown {kind}.{hint} Available: {exist}")
