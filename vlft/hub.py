"""Load a model from a run directory, a checkpoint folder or the Hub."""

import json
from dataclasses import replace
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from peft import PeftModel, get_peft_model_state_dict
from pydantic import TypeAdapter
from safetensors.torch import load_file

from vlft.adapters import apply_adapter, mutation
from vlft.adapters.parts import BASE, load_parts, merge_adapter, read_parts
from vlft.backbones import build
from vlft.errors import BackboneError, RunDirectoryError
from vlft.recipe import load_recipe
from vlft.recipe.backbone import Assembled, BackboneSection, CausalLM, Clip, ImageTextToText
from vlft.recipe.schema import Recipe
from vlft.types import Backbone

RECIPE = "recipe.yaml"
ADAPTER_CONFIG = "adapter_config.json"


def load(path_or_hub_id: str | Path) -> Backbone:
    """Load what training or anybody else wrote, on the CPU, ready for evaluation.

    Args:
        path_or_hub_id: A run directory, one of its checkpoints, a checkpoint folder of
            transformers, or ``hub:user/name@revision`` (``hub:`` may be left out).

    Raises:
        RunDirectoryError: A run directory lacks a file, or weights do not fit the host.
        BackboneError: The checkpoint cannot be had or read.
    """
    folder = locate(path_or_hub_id)
    run_dir = folder if (folder / RECIPE).is_file() else folder.parent
    if not (run_dir / RECIPE).is_file():
        return _evaluating(build(section_of(folder)))
    return _evaluating(_load_run(run_dir, folder))


def load_merged(path_or_hub_id: str | Path) -> Backbone:
    """Load a finished run as a bare host, adapter merged into the base (``init_from``).

    What the run changed is declared as local parts, so that the next run saves it and needs this
    one no longer.
    """
    folder = locate(path_or_hub_id)
    backbone = load(folder)
    if (folder / RECIPE).is_file() and (folder / "config.json").is_file():
        return replace(backbone, local_parts=("",))
    parts = tuple(read_parts(folder))
    return merge_adapter(replace(backbone, local_parts=(*backbone.local_parts, *parts)))


def locate(path_or_hub_id: str | Path) -> Path:
    """Return the local folder of a run or checkpoint, downloading it from the Hub if need be.

    Raises:
        BackboneError: There is no such folder, and the Hub does not give it.
    """
    name = str(path_or_hub_id)
    if not name.startswith("hub:") and Path(name).is_dir():
        return Path(name)
    repo_id, _, revision = name.removeprefix("hub:").partition("@")
    if not name.startswith("hub:") and repo_id.count("/") != 1:
        raise BackboneError(
            f"{name!r} is no folder; give a run directory, a checkpoint, or hub:user/name"
        )
    try:
        return Path(snapshot_download(repo_id, revision=revision or None))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise BackboneError(
            f"{name!r} is no folder here, and the Hub did not give it "
            f"({type(error).__name__}): check the name, the network and HF_HUB_OFFLINE"
        ) from error


def suite_of(folder: Path) -> list[str]:
    """Return the suite that a run's recipe names, as a list of none or one."""
    path = folder / RECIPE
    suite = load_recipe(path).recipe.evaluation.suite if path.is_file() else None
    return [] if suite is None else [suite]


def section_of(folder: Path) -> BackboneSection:
    """Return the recipe section that a plain transformers checkpoint asks for.

    Raises:
        BackboneError: There is no ``config.json``.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise BackboneError(
            f"{folder} holds neither recipe.yaml nor a readable config.json: it is no run "
            "directory and no checkpoint"
        ) from error
    if config.get("model_type") == "clip":
        return Clip(type="clip", model=str(folder))
    if "vision_config" in config:
        return ImageTextToText(type="image_text_to_text", model=str(folder))
    return CausalLM(type="causal_lm", model=str(folder))


def build_base(recipe: Recipe, run_dir: Path) -> Backbone:
    """Build the host that a run's adapter sits on, with the parts that the run saved."""
    base = run_dir / BASE
    section = recipe.backbone
    is_stored = (base / "config.json").is_file()
    backbone = build(_stored(section, base) if is_stored else section)
    load_parts(backbone.model, run_dir)
    return backbone


def _stored(section: BackboneSection, folder: Path) -> BackboneSection:
    """Return the section of a host whose weights stand in a folder of the run."""
    kind = "image_text_to_text" if isinstance(section, Assembled) else section.type
    values = {
        "type": kind,
        "model": str(folder),
        "dtype": section.dtype,
        "attn_implementation": section.attn_implementation,
    }
    return TypeAdapter(BackboneSection).validate_python(values)


def _load_run(run_dir: Path, weights: Path) -> Backbone:
    recipe = load_recipe(run_dir / RECIPE).recipe
    if (weights / "config.json").is_file():
        return build(_stored(recipe.backbone, weights))
    if not (weights / ADAPTER_CONFIG).is_file():
        if recipe.adapter.type == "full" and (weights / BASE).is_dir():
            return build_base(recipe, run_dir)
        raise RunDirectoryError(
            f"{weights} holds no finished model ({ADAPTER_CONFIG} or config.json is missing): "
            f"continue it with `vlft train ... --resume`, or name one of its checkpoints"
        )
    backbone = build_base(recipe, run_dir)
    if weights != run_dir and (run_dir / mutation.FOLDER).is_dir():
        backbone = apply_adapter(backbone, recipe.adapter, recipe.towers, plain_init=True)
        assert isinstance(backbone.model, PeftModel)
        mutation.restore(backbone.model, run_dir)
        backbone.model.load_adapter(str(weights), adapter_name="default")
    else:
        model = PeftModel.from_pretrained(backbone.model, str(weights))
        backbone = replace(backbone, model=model)
    assert isinstance(backbone.model, PeftModel)
    _require_same_keys(backbone.model, weights)
    load_parts(backbone.model, weights)
    return backbone


def _require_same_keys(model: PeftModel, folder: Path) -> None:
    """PEFT only warns about missing adapter weights; a model without them would be wrong."""
    saved = set(load_file(folder / mutation.WEIGHTS))
    wanted = set(get_peft_model_state_dict(model))
    if saved != wanted:
        missing, extra = sorted(wanted - saved), sorted(saved - wanted)
        raise RunDirectoryError(
            f"{folder / mutation.WEIGHTS} does not fit the host: {len(missing)} tensors missing "
            f"({', '.join(missing[:2]) or '-'}), {len(extra)} unexpected "
            f"({', '.join(extra[:2]) or '-'})"
        )


def _evaluating(backbone: Backbone) -> Backbone:
    backbone.model.eval()
    return backbone
