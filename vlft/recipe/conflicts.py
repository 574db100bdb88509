"""Fields of different sections that exclude each other, each with the nearest thing that works."""

from collections.abc import Iterator
from typing import NamedTuple

from vlft.errors import near
from vlft.recipe.adapter import FullAdapter, LoraAdapter, PeftAdapter
from vlft.recipe.adapter.placed import Placed
from vlft.recipe.backbone import CausalLM
from vlft.recipe.data import LabeledImages, LlavaJson, Mixture, Pairs, Scenes, ScienceQA
from vlft.recipe.data.files import FileDataset, RowDataset
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
        _quantization,
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


QUANTIZABLE = (
    "ADALORA", "HIRA", "IA3", "LORA", "OFT", "PVERA", "RANDLORA", "ROAD", "VERA",
)  # fmt: skip
"""PEFT methods that compute with quantized base layers (each is tested)."""


def _quantization(recipe: Recipe) -> Iterator[Conflict]:
    """Refuse to train quantized weights, and adapters that cannot sit on them."""
    host, adapter = recipe.backbone, recipe.adapter
    if host.quantization == "none":
        return
    possible = [name for name in host.tower_names if name not in ("projector", "head")]
    if not host.quantized_towers:
        yield Conflict(
            "backbone.quantized_towers",
            f"nothing is named: use some of {', '.join(possible)}, or quantization: none",
        )
    for name in host.quantized_towers:
        if name not in possible:
            yield Conflict(
                "backbone.quantized_towers",
                f"{name!r} cannot be quantized in host type {host.type} (projectors and heads stay "
                f"exact): use some of {', '.join(possible)}",
            )
        elif recipe.towers.get(name, Tower()).train == "full":
            yield Conflict(
                f"towers.{name}.train",
                f"its weights are stored as {host.quantization} and cannot be trained: take it out "
                "of backbone.quantized_towers, or place an adapter there instead",
            )
    if isinstance(adapter, FullAdapter):
        yield Conflict(
            "backbone.quantization",
            "full fine-tuning trains and saves the weights themselves: use quantization: none, or "
            "adapter type: lora (with towers to train some of them in full)",
        )
    if not isinstance(adapter, Placed):
        return
    inside = [site for site in adapter.sites if site.partition(".")[0] in host.quantized_towers]
    if not inside:
        return
    if isinstance(adapter, LoraAdapter) and adapter.init_lora_weights == "pissa":
        yield Conflict(
            "adapter.init_lora_weights",
            f"PiSSA takes principal components out of the weights, which are stored as "
            f"{host.quantization} at {inside[0]!r}: use init_lora_weights: default",
        )
    if isinstance(adapter, LoraAdapter) and adapter.use_dora and host.quantization == "int8":
        yield Conflict(
            "adapter.use_dora",
            "PEFT's DoRA loses the scales of int8 layers: use backbone.quantization: nf4, or "
            "use_dora: false",
        )
    method = adapter.peft_type.upper() if isinstance(adapter, PeftAdapter) else "LORA"
    if method not in QUANTIZABLE:
        yield Conflict(
            "adapter.peft_type",
            f"it cannot compute with weights stored as {host.quantization} at {inside[0]!r}: use "
            f"quantization: none, or one of {', '.join(QUANTIZABLE)}",
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


KINDS = {
    "contrastive": (
        "pairs",
        "image-text pairs",
        "type: pairs, or type: scenes with task: pairs",
    ),
    "generative": (
        "conversations",
        "conversations",
        "type: messages, or type: scenes with task: captioning",
    ),
    "vision": (
        "labeled images",
        "labeled images",
        "type: classification, or type: scenes with task: classification",
    ),
}
"""Family of a host to the kind of records it trains on, in words, and what gives them."""


def _data_sets(recipe: Recipe) -> Iterator[Conflict]:
    family = recipe.backbone.family
    wanted, words, step = KINDS[family]
    for place, data in _members(recipe):
        found = _kind_of_records(data)
        if found != wanted:
            instead = "" if family == "contrastive" else f", not on {found}"
            yield Conflict(
                f"{place}.{'task' if isinstance(data, Scenes) else 'type'}",
                f"a {family} host trains on {words}{instead}: use {step}",
            )
        if isinstance(recipe.backbone, CausalLM) and isinstance(
            data, Scenes | ScienceQA | LlavaJson
        ):
            yield Conflict(
                f"{place}.type",
                "host type causal_lm sees no images: use type: messages with text",
            )
    if recipe.data.image_tokens_per_sample is not None and family != "generative":
        yield Conflict(
            "data.image_tokens_per_sample",
            f"a {family} host gives an image no tokens among its text: leave it out",
        )


def _members(recipe: Recipe) -> Iterator[tuple[str, Section]]:
    """Yield every data set with its place in the recipe, those of mixtures one by one."""
    for split, data in _splits(recipe):
        if isinstance(data, Mixture):
            for number, member in enumerate(data.datasets):
                yield f"data.{split}.datasets.{number}", member
        else:
            yield f"data.{split}", data


def _kind_of_records(data: Section) -> str:
    task = data.task if isinstance(data, Scenes) else None
    if isinstance(data, Pairs) or task == "pairs":
        return "pairs"
    if isinstance(data, LabeledImages) or task == "classification":
        return "labeled images"
    return "conversations"


def _held_out(recipe: Recipe) -> Iterator[Conflict]:
    """Refuse a validation set that is trained on, and one that is drawn from by weight."""
    sets = list(_members(recipe))
    trained = [data for place, data in sets if place.startswith("data.train")]
    for place, held_out in sets:
        if place.startswith("data.validation"):
            for train in trained:
                yield from _shared(train, held_out, place)
    validation = recipe.data.validation
    if isinstance(validation, Mixture):
        for field in ("weights", "num_samples", "homogeneous_batches"):
            if getattr(validation, field):
                yield Conflict(
                    f"data.validation.{field}",
                    "validation reads every data set once, whatever its weight: leave it out",
                )


def _shared(train: Section, held_out: Section, place: str) -> Iterator[Conflict]:
    """Refuse a held-out set that shares records with a training set."""
    if isinstance(train, Scenes) and isinstance(held_out, Scenes) and train.seed == held_out.seed:
        end = train.offset + train.num_samples
        if train.offset < held_out.offset + held_out.num_samples and held_out.offset < end:
            yield Conflict(
                f"{place}.offset",
                f"samples {train.offset} to {end - 1} of seed {train.seed} are trained on: use "
                f"offset: {end}, or another seed",
            )
    files = isinstance(train, FileDataset) and isinstance(held_out, FileDataset)
    if files and train.path == held_out.path and _parts(train) & _parts(held_out):
        yield Conflict(
            f"{place}.path",
            "records of it are trained on: hold some out in a file or split of their own, or leave "
            f"{place} out",
        )


def _parts(data: FileDataset) -> set[str]:
    """Return which parts of its file a set reads: all of it, or those of a named split."""
    if isinstance(data, RowDataset):
        return {f"{data.subset}/{data.split or 'train'}"}
    if not isinstance(data, ScienceQA):
        return {"all"}
    return {part for part in ("train", "val", "test") if part in data.split}  # minitrain, trainval


OBJECTIVES = {
    "contrastive": "contrastive",
    "generative": "language_modeling",
    "vision": "classification",
}
"""Family of a host to its loss family."""


def _objective(recipe: Recipe) -> Iterator[Conflict]:
    wanted = OBJECTIVES[recipe.backbone.family]
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
