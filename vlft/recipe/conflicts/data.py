"""Data sets that do not fit the host or each other."""

from collections.abc import Iterator

from vlft.recipe.adapter import CordaAdapter
from vlft.recipe.backbone import CausalLM
from vlft.recipe.conflicts.calibration import calibrations
from vlft.recipe.conflicts.conflict import Conflict
from vlft.recipe.data import (
    Captions,
    LabeledImages,
    LlavaJson,
    Mixture,
    Pairs,
    Scenes,
    ScienceQA,
)
from vlft.recipe.data.files import FileDataset, RowDataset
from vlft.recipe.schema import Recipe
from vlft.recipe.section import Section

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


def data_sets(recipe: Recipe) -> Iterator[Conflict]:
    """Refuse data that the host cannot train on."""
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
            data, Scenes | ScienceQA | LlavaJson | Captions
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
    for place, data in _places(recipe):
        if isinstance(data, Mixture):
            for number, member in enumerate(data.datasets):
                yield f"{place}.datasets.{number}", member
        else:
            yield place, data


def _kind_of_records(data: Section) -> str:
    task = data.task if isinstance(data, Scenes) else None
    if isinstance(data, Pairs) or task == "pairs":
        return "pairs"
    if isinstance(data, LabeledImages) or task == "classification":
        return "labeled images"
    return "conversations"


def held_out_sets(recipe: Recipe) -> Iterator[Conflict]:
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
    """Return which parts of its file a set reads: all of it, or the splits that it names."""
    if isinstance(data, RowDataset):
        return {f"{data.subset}/{split}" for split in (data.split or "train").split("+")}
    if not isinstance(data, ScienceQA):
        return {"all"}
    return {part for part in ("train", "val", "test") if part in data.split}  # minitrain, trainval


OBJECTIVES = {
    "contrastive": "contrastive",
    "generative": "language_modeling",
    "vision": "classification",
}
"""Family of a host to its loss family."""


def loss_family(recipe: Recipe) -> Iterator[Conflict]:
    """Refuse a loss that is not for the host."""
    wanted = OBJECTIVES[recipe.backbone.family]
    if recipe.objective.type != wanted:
        yield Conflict(
            "objective.type",
            f"host type {recipe.backbone.type} is {recipe.backbone.family}: use type: {wanted}",
        )


def _places(recipe: Recipe) -> Iterator[tuple[str, Section]]:
    for split in ("train", "validation"):
        data = getattr(recipe.data, split)
        if data is not None:
            yield f"data.{split}", data
    if isinstance(recipe.adapter, CordaAdapter):
        for place, calibration in calibrations(recipe.adapter):
            if calibration.data is not None:
                yield f"{place}.data", calibration.data
