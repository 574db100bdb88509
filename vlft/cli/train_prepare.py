"""What an adapter does with calibration data before it is placed (CorDA), and what is kept of it.

Preparation needs exact weights, so it comes before they are quantized, and it runs the whole model
on one device. A host that is trained under ZeRO-3 may be too large for that: there the result of
``vlft train RECIPE --prepare-only``, which may run elsewhere, is read.
"""

import time
import warnings
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from vlft.adapters import ADAPTERS
from vlft.adapters.base import Prepared
from vlft.adapters.corda.cache import Key, PreparedStore
from vlft.adapters.corda.covariance import processes
from vlft.adapters.corda.plan import Layer, plan
from vlft.adapters.sites import resolve_modules
from vlft.backbones.fingerprint import fingerprint
from vlft.backbones.modes import in_eval_mode
from vlft.data import pipeline
from vlft.data.calibration import CalibrationSet, calibration_set
from vlft.disk import cache_folder
from vlft.errors import AdapterError, CalibrationWarning
from vlft.objectives import build_objective
from vlft.recipe.adapter import CordaAdapter
from vlft.recipe.adapter.corda import Calibration
from vlft.recipe.launch import Launch
from vlft.recipe.schema import Recipe
from vlft.training.launch import is_main_process
from vlft.types import Backbone, Batch

VERSION = 1
"""Changes when the same data give other factors."""


def prepared(
    backbone: Backbone,
    recipe: Recipe,
    launch: Launch,
    *,
    run_dir: Path | None,
    device: torch.device,
    say: Callable[[str], None],
) -> Prepared | None:
    """Return where an adapter starts; None for one that needs no preparation.

    Args:
        backbone: The bare host, on the CPU; it is run and stays as it is.
        recipe: Its adapter, data, precision and seed are read.
        launch: How many processes there are, and whether the model fits one device.
        run_dir: Where records that are left out are listed; None: nowhere.
        device: Where the host is run.
        say: Prints on the main process.

    Raises:
        AdapterError: The adapter does not fit the host, or must be prepared beforehand.
        DataError: The data cannot be used: to calibrate with, or to train on afterwards.
    """
    adapter, section = ADAPTERS[recipe.adapter.type], recipe.adapter
    if adapter.prepare is None:
        return None
    assert isinstance(section, CordaAdapter)
    began = time.perf_counter()
    layers = plan(section, resolve_modules(backbone, section), backbone)
    for dataset in (recipe.data.train, recipe.data.validation):
        if dataset is not None:  # a mistake there shows before hours of preparing
            pipeline.open_samples(backbone, recipe.data, dataset, None)
    used = {layer.calibration for layer in layers.values()}
    sets = [
        _calibration_set(backbone, recipe, one, run_dir) if number in used else None
        for number, one in enumerate(section.calibrations)
    ]
    key = _key(backbone, recipe, layers, sets)
    store = PreparedStore(cache_folder() / "prepared")
    kept = store.find(key)
    if _everywhere(kept is not None):
        assert kept is not None
        say(f"adapter: {len(kept.start)} layers as prepared before ({store.path(key)})")
        found = kept
    else:
        changed = store.changed(key) or ()
        if launch.zero_stage == 3:
            raise AdapterError(_beforehand(changed))
        if len(changed) == 1:
            say(f"adapter: prepared before with other {changed[0]}; preparing anew")
        backbone.model.to(device)
        try:
            shown = [one or () for one in sets]
            with in_eval_mode(backbone.model):
                found = adapter.prepare(backbone, section, shown, _runner(backbone, recipe, device))
        finally:
            backbone.model.to("cpu")
        if is_main_process():
            store.save(key, found)
        say(
            f"adapter: {len(found.start)} layers prepared in {time.perf_counter() - began:.0f} s "
            f"({store.path(key)})"
        )
    if is_main_process():
        warn(found, layers, section, [0 if one is None else len(one.samples) for one in sets])
    return found


def warn(
    found: Prepared, layers: Mapping[str, Layer], section: CordaAdapter, sizes: list[int]
) -> None:
    """Warn about layers without calibration tokens, and with fewer than their inputs are wide.

    Args:
        found: What was prepared.
        layers: What each layer was to get.
        section: The recipe's ``adapter``.
        sizes: Samples that each data set has.
    """
    if found.unseen:
        warnings.warn(
            f"adapter.calibration: no token reached {len(found.unseen)} layers "
            f"({found.unseen[0]} ...), which start as a plain LoRA: calibrate on data that reach "
            "them (adapter.overrides gives a tower data of its own), or take their sites out",
            CalibrationWarning,
            stacklevel=2,
        )
    for number, field in enumerate(section.calibration_fields):
        few = {
            path: note
            for path, note in found.notes.items()
            if layers[path].calibration == number and note.tokens < note.width
        }
        if not few:
            continue
        path, least = min(few.items(), key=lambda item: item[1].tokens / item[1].width)
        enough = -(-least.calls * least.width // least.tokens)
        step = f"use {enough} samples or more"
        if enough > sizes[number]:
            step = f"it takes {enough} samples or more, and the data have {sizes[number]}"
        warnings.warn(
            f"{field}.samples: {len(few)} layers saw fewer tokens than their inputs are wide, so "
            f"that damping stands for what was not seen ({path}: {least.tokens} tokens of "
            f"{least.calls} samples for a width of {least.width}, effective rank "
            f"{least.effective_rank:.1f}): {step}",
            CalibrationWarning,
            stacklevel=2,
        )


def _calibration_set(
    backbone: Backbone, recipe: Recipe, calibration: Calibration, run_dir: Path | None
) -> CalibrationSet:
    rank, world_size = processes()
    dataset = calibration.data or recipe.data.train
    assert dataset is not None  # validate(recipe, launch) refuses a recipe without data.train
    return calibration_set(
        backbone,
        pipeline.open_samples(backbone, recipe.data, dataset, run_dir),
        count=calibration.samples,
        positions=calibration.positions,
        seed=recipe.seed,
        rank=rank,
        world_size=world_size,
    )


def _runner(backbone: Backbone, recipe: Recipe, device: torch.device) -> Callable[[Batch], object]:
    objective = build_objective(recipe.objective)
    half = _half(recipe)

    def run(batch: Batch) -> object:
        there = {
            name: value.to(device) if isinstance(value, Tensor) else value
            for name, value in batch.items()
        }
        with torch.autocast(device.type, dtype=half, enabled=half is not None):
            return objective.forward(backbone.model, there)

    return run


def _half(recipe: Recipe) -> torch.dtype | None:
    if recipe.training.bf16:
        return torch.bfloat16
    return torch.float16 if recipe.training.fp16 else None


def _key(
    backbone: Backbone,
    recipe: Recipe,
    layers: Mapping[str, Layer],
    sets: list[CalibrationSet | None],
) -> Key:
    """Return what decides about the result; the same in every process, however many there are."""
    section = recipe.adapter
    assert isinstance(section, CordaAdapter)
    common = (section.normalizer, section.covariance_dtype, section.balance, _half(recipe))
    data = [None if one is None else _digests(one) for one in sets]
    return {
        "weights": fingerprint(backbone.model),
        "data": sha256(repr(data).encode()).hexdigest()[:16],
        "settings": sha256(repr((VERSION, common, dict(layers))).encode()).hexdigest()[:16],
    }


def _digests(shown: CalibrationSet) -> list[str]:
    """Return checksums of the samples of all processes, in the order of the draw."""
    mine = shown.digests()
    _, world_size = processes()
    if world_size == 1:
        return mine
    everyones: list[list[str]] = [[] for _ in range(world_size)]
    dist.all_gather_object(everyones, mine)
    longest = max(map(len, everyones))
    return [part[place] for place in range(longest) for part in everyones if place < len(part)]


def _everywhere(found: bool) -> bool:
    """Whether it is so in every process."""
    _, world_size = processes()
    if world_size == 1:
        return found
    everyones: list[Any] = [None] * world_size
    dist.all_gather_object(everyones, found)
    return all(everyones)


def _beforehand(changed: tuple[str, ...]) -> str:
    stale = f" (what is kept was prepared with other {' and '.join(changed)})" if changed else ""
    return (
        "adapter.type: corda runs the whole model on one device to calibrate it, which ZeRO-3 is "
        f"there to avoid, and nothing is kept for this recipe{stale}: run `vlft train RECIPE "
        "--prepare-only` with the same values first, where the model fits, below the same "
        "VLFT_CACHE"
    )
