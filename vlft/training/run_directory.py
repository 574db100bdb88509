"""The run directory: the interface between training, evaluation and publishing.

recipe.yaml             the resolved recipe
environment.json        versions, devices, launch, command
metrics.jsonl           one line per log
adapter_model.safetensors, adapter_config.json   or, under `adapter: full`, the whole model
base/                   what no checkpoint elsewhere holds
calibration.json        what an adapter that was prepared on data has seen, layer by layer
initial_adapter/        step-0 factors of an adapter that changed the base
checkpoint-<step>/      can be resumed
results/                scores
"""

import importlib.metadata
import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from vlft.adapters.base import Prepared
from vlft.disk import free_bytes, replace_text
from vlft.errors import RecipeError, RunDirectoryError
from vlft.recipe import load_recipe
from vlft.recipe.launch import Launch
from vlft.recipe.origins import leaves
from vlft.recipe.schema import Recipe
from vlft.recipe.show import as_yaml

RECIPE = "recipe.yaml"
ENVIRONMENT = "environment.json"
CALIBRATION = "calibration.json"
STATE = "trainer_state.json"
UNFINISHED = ".unfinished"
"""Folder that the result of a run is written to before it gets its place."""

PACKAGES = (
    "vlft", "torch", "torchvision", "transformers", "peft", "accelerate", "datasets", "deepspeed",
    "bitsandbytes", "open_clip_torch", "safetensors", "tokenizers", "numpy", "pillow",
)  # fmt: skip


def create(run_dir: Path, *, resume: bool) -> None:
    """Make the run directory.

    Raises:
        RunDirectoryError: It exists and is not to be resumed, or the other way round.
    """
    has_content = run_dir.is_dir() and any(run_dir.iterdir())
    if has_content and not resume:
        raise RunDirectoryError(
            f"training.output_dir: {run_dir} exists already: continue it with --resume, choose "
            "another training.output_dir, or remove it"
        )
    if resume and not has_content:
        raise RunDirectoryError(
            f"--resume: there is no run in {run_dir}; start it without --resume"
        )
    run_dir.mkdir(parents=True, exist_ok=True)


@contextmanager
def started(run_dir: Path, *, resume: bool) -> Iterator[None]:
    """Make the run directory; take it away again when the run cannot even start.

    A mistake in the recipe or the data then leaves nothing behind that would have to be removed
    before the next try. Only the main process may call it.

    Raises:
        RunDirectoryError: As ``create``.
    """
    create(run_dir, resume=resume)
    try:
        yield
    except BaseException:
        if not resume:
            shutil.rmtree(run_dir)
        raise


def checkpoints(run_dir: Path) -> list[Path]:
    """Return the complete checkpoints in order of steps.

    The Trainer writes its state last, so a checkpoint without it was interrupted while being
    written.
    """
    found = [
        path
        for path in run_dir.glob("checkpoint-*")
        if path.name.removeprefix("checkpoint-").isdigit() and _is_complete(path)
    ]
    return sorted(found, key=step_of)


def step_of(checkpoint: Path) -> int:
    """Return the optimizer step that a checkpoint was written after."""
    return int(checkpoint.name.removeprefix("checkpoint-"))


def last_checkpoint(run_dir: Path) -> Path:
    """Return the checkpoint to resume from, half-written ones passed over.

    Raises:
        RunDirectoryError: There is no complete checkpoint.
    """
    complete = checkpoints(run_dir)
    if not complete:
        raise RunDirectoryError(
            f"--resume: {run_dir} holds no complete checkpoint; remove the folder and start again"
        )
    return complete[-1]


def remove_incomplete(run_dir: Path) -> None:
    """Delete checkpoints, and a result, that were interrupted while being written."""
    shutil.rmtree(run_dir / UNFINISHED, ignore_errors=True)
    for path in run_dir.glob("checkpoint-*"):
        if not _is_complete(path):
            shutil.rmtree(path)


def _is_complete(checkpoint: Path) -> bool:
    try:
        json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return False
    return True


MARKS = ("config.json", "adapter_config.json")
"""Files that say that a folder holds a model; each is put in place after all others."""


def put_in_place(unfinished: Path, run_dir: Path) -> None:
    """Move a completely written model into the run directory.

    A run that dies before holds no model yet, only its checkpoints; never a part of one.

    Args:
        unfinished: Folder beside the files that it becomes.
        run_dir: The run directory.
    """
    files = sorted(path for path in unfinished.rglob("*") if path.is_file())
    for path in sorted(files, key=lambda path: path.name in MARKS):
        with path.open("rb") as file:
            os.fsync(file.fileno())
        target = run_dir / path.relative_to(unfinished)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)
    shutil.rmtree(unfinished)


def full_disk(run_dir: Path) -> RunDirectoryError:
    """Take an unfinished checkpoint away, and say what is left and how to go on."""
    remove_incomplete(run_dir)
    complete = checkpoints(run_dir)
    safe = (
        f"{complete[-1].name} is complete: make room, then continue with --resume"
        if complete
        else "there is no complete checkpoint yet: make room and start again"
    )
    return RunDirectoryError(
        f"the disk of {run_dir} is full ({free_bytes(run_dir):,} bytes are free); {safe} (fewer "
        "checkpoints: training.save_total_limit)"
    )


MAY_CHANGE = {
    "output_dir", "max_steps", "num_train_epochs", "per_device_train_batch_size",
    "per_device_eval_batch_size", "dataloader_num_workers", "logging_steps", "save_strategy",
    "save_steps", "save_total_limit", "report_to", "early_stopping_patience",
}  # fmt: skip
"""Fields of ``training`` that a resumed run may have otherwise than it began."""


def require_same_recipe(run_dir: Path, recipe: Recipe) -> None:
    """Refuse to go on with a run under another recipe.

    Raises:
        RecipeError: Naming the fields that differ, with both values.
    """
    path = run_dir / RECIPE
    if not path.is_file():
        return
    before = dict(leaves(load_recipe(path).recipe.model_dump(mode="json")))
    now = dict(leaves(recipe.model_dump(mode="json")))
    changed = [
        f"{'.'.join(keys)} was {before.get(keys)!r} and is {now.get(keys)!r}"
        for keys in sorted(before.keys() | now.keys())
        if before.get(keys) != now.get(keys)
        and not (keys[0] == "training" and keys[1] in MAY_CHANGE)
    ]
    if changed:
        raise RecipeError(
            f"--resume: {run_dir} began with another recipe: {'; '.join(changed[:3])}. Resume with "
            "the values it began with, or start a new run with init_from"
        )


def write_recipe(run_dir: Path, recipe: Recipe) -> None:
    """Write the resolved recipe."""
    replace_text(run_dir / RECIPE, as_yaml(recipe))


def write_environment(run_dir: Path, launch: Launch) -> None:
    """Write what the run was made with."""
    facts = environment() | {"launch": asdict(launch), "command": sys.argv}
    path = run_dir / ENVIRONMENT
    if path.is_file():  # resumed: what it began with stays, what it went on with is added
        first = json.loads(path.read_text(encoding="utf-8"))
        facts = first | {"resumed": [*first.get("resumed", []), facts]}
    replace_text(path, json.dumps(facts, indent=2) + "\n")


def write_parameters(run_dir: Path, *, total: int, trained: int) -> None:
    """Add to the environment how many parameters the model has, and how many are trained."""
    path = run_dir / ENVIRONMENT
    facts = json.loads(path.read_text(encoding="utf-8"))
    counts = {"parameters": total, "trained_parameters": trained}
    replace_text(path, json.dumps(facts | counts, indent=2) + "\n")


def write_calibration(run_dir: Path, prepared: Prepared) -> None:
    """Write what an adapter's preparation has measured for each layer."""
    replace_text(run_dir / CALIBRATION, json.dumps(prepared.facts, indent=2) + "\n")


def environment() -> dict[str, Any]:
    """Return versions and devices of this machine."""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "cpu_count": os.cpu_count(),
        "gpus": gpus,
        "cuda": torch.version.cuda if gpus else None,
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
