"""Load a model from a run directory, a checkpoint folder or the Hub."""

import json
import warnings
from dataclasses import replace
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from peft import PeftModel, get_peft_model_state_dict
from pydantic import TypeAdapter
from safetensors.torch import load_file
from transformers import PreTrainedModel

from vlft.adapters import apply_adapter, mutation, require_mergeable, wrapped
from vlft.adapters.parts import BASE, load_parts, merge_adapter, read_parts
from vlft.backbones import build
from vlft.backbones.image_text_to_text import FAMILIES
from vlft.backbones.open_clip_model import CONFIG as OPEN_CLIP_CONFIG
from vlft.backbones.quantization import quantize
from vlft.errors import BackboneError, RunDirectoryError
from vlft.recipe import load_recipe
from vlft.recipe.backbone import (
    Assembled,
    BackboneSection,
    CausalLM,
    Clip,
    ImageTextToText,
    OpenClip,
    Siglip,
    Vision,
)
from vlft.recipe.evaluation import EvaluationSection
from vlft.recipe.schema import Recipe
from vlft.types import Backbone

RECIPE = "recipe.yaml"
ENVIRONMENT = "environment.json"
ADAPTER_CONFIG = "adapter_config.json"


def load(path_or_hub_id: str | Path, *, quantized: bool = True) -> Backbone:
    """Load what training or anybody else wrote, on the CPU, ready for evaluation.

    Args:
        path_or_hub_id: A run directory, one of its checkpoints, a checkpoint folder of
            transformers, or ``hub:user/name@revision`` (``hub:`` may be left out).
        quantized: Whether a base that the run trained on quantized is quantized again; without, an
            adapter sits on the exact weights, and answers differ a little from the training's.

    Raises:
        RunDirectoryError: A run directory lacks a file, or weights do not fit the host.
        BackboneError: The checkpoint cannot be had or read.
    """
    folder = locate(path_or_hub_id)
    run_dir = run_of(folder)
    if run_dir is None:
        backbone = build(section_of(folder))
    else:
        backbone = _load_run(run_dir, folder, quantized=quantized)
    backbone.model.eval()
    return backbone


def load_merged(path_or_hub_id: str | Path, section: BackboneSection) -> Backbone:
    """Load a finished run as a bare host, adapter merged into the base (``init_from``).

    What differs from the host that the next run names is declared as local parts, so that the next
    run saves it and needs this one no longer.

    Args:
        path_or_hub_id: As for ``load``.
        section: The next run's ``backbone``.

    Raises:
        AdapterError: Its adapter cannot be merged.
        RunDirectoryError: The run has another kind of host than ``section``.
    """
    folder = locate(path_or_hub_id)
    run_dir = run_of(folder)
    if run_dir is not None:
        require_mergeable(_recipe_of(run_dir).adapter, field=f"init_from: {path_or_hub_id}")
    backbone = load(folder, quantized=False)
    if backbone.family != section.family or set(backbone.towers) != set(section.tower_names):
        raise RunDirectoryError(
            f"init_from: {path_or_hub_id} is a {backbone.type} host, but backbone.type = "
            f"{section.type}: name the host that was trained there"
        )
    merged = merge_adapter(backbone)
    other = run_dir is None or not _same_host(_recipe_of(run_dir).backbone, section)
    if run_dir is None or other or _is_whole(run_dir, folder):
        return _unnamed(replace(merged, local_parts=("",)))
    parts = read_parts(run_dir) | read_parts(folder)
    return replace(merged, local_parts=(*merged.local_parts, *parts))


def starting_host(recipe: Recipe) -> Backbone:
    """Return the bare host that a recipe starts from: its backbone, or a finished run's model.

    Raises:
        VlftError: As ``build`` and ``load_merged``.
    """
    source = recipe.init_from
    return load_merged(source, recipe.backbone) if source else build(recipe.backbone)


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


def run_of(folder: Path) -> Path | None:
    """Return the run directory that a folder is, or is a checkpoint of; None for neither."""
    return next((path for path in (folder, folder.parent) if (path / RECIPE).is_file()), None)


def evaluation_of(folder: Path) -> EvaluationSection | None:
    """Return what the recipe of a run says about benchmarks; None where there is no recipe."""
    run_dir = run_of(folder)
    return None if run_dir is None else _recipe_of(run_dir).evaluation


def trained_parameters(folder: Path) -> int | None:
    """Return how many parameters a run trained; None where that is not on record."""
    run_dir = run_of(folder)
    environment = None if run_dir is None else run_dir / ENVIRONMENT
    if environment is None or not environment.is_file():
        return None
    return json.loads(environment.read_text(encoding="utf-8")).get("trained_parameters")


def section_of(folder: Path) -> BackboneSection:
    """Return the recipe section that a plain transformers checkpoint asks for.

    Raises:
        BackboneError: There is no ``config.json``.
    """
    if not (folder / "config.json").is_file() and (folder / OPEN_CLIP_CONFIG).is_file():
        return OpenClip(type="open_clip", model=str(folder))
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise BackboneError(
            f"{folder} holds neither recipe.yaml nor a readable config.json: it is no run "
            "directory and no checkpoint"
        ) from error
    kind, architectures = str(config.get("model_type")), config.get("architectures") or [""]
    if kind == "clip" and architectures[0] != "CLIPForImageClassification":
        return Clip(type="clip", model=str(folder))
    if kind in ("siglip", "siglip2") and "ImageClassification" not in architectures[0]:
        return Siglip(type="siglip", model=str(folder))
    if kind == "open_clip":
        return OpenClip(type="open_clip", model=str(folder))
    if architectures[0].endswith("ForImageClassification"):
        return Vision(type="vision", model=str(folder))
    if "vision_config" in config:
        sites = None if kind in FAMILIES else "auto"
        return ImageTextToText(type="image_text_to_text", model=str(folder), sites=sites)
    return CausalLM(type="causal_lm", model=str(folder))


def build_base(recipe: Recipe, run_dir: Path, checkpoint: Path | None = None) -> Backbone:
    """Build the host that a run's adapter sits on, with the parts that the run saved.

    Args:
        recipe: The run's recipe.
        run_dir: Its directory.
        checkpoint: Where the host itself is taken from if it stands there, since the run trains it.

    Raises:
        RunDirectoryError: A saved part does not fit the host.
    """
    folders = [folder for folder in (checkpoint, run_dir / BASE) if folder is not None]
    stored = next((folder for folder in folders if (folder / "config.json").is_file()), None)
    section = recipe.backbone
    if stored is None:
        backbone = build(section)
    else:
        backbone = _unnamed(build(stored_section(section, stored)))
    load_parts(backbone.model, run_dir)
    return backbone


def _unnamed(backbone: Backbone) -> Backbone:
    """Forget the folder that the host was read from.

    PEFT would write it into the adapter's config as the name of the base, where it means nothing to
    anybody else and is looked for on the Hub once it is gone.
    """
    assert isinstance(backbone.model, PreTrainedModel)
    backbone.model.name_or_path = ""
    return backbone


def stored_section(section: BackboneSection, folder: Path) -> BackboneSection:
    """Return the section of a host whose weights stand in a folder now.

    Args:
        section: What the recipe says of the host.
        folder: A checkpoint folder.
    """
    kind = "image_text_to_text" if isinstance(section, Assembled) else section.type
    values = {
        "type": kind,
        "model": str(folder),
        "dtype": section.dtype,
        "attn_implementation": section.attn_implementation,
        "trust_remote_code": section.trust_remote_code,
    }
    if isinstance(section, ImageTextToText):
        values["sites"] = section.sites
    return TypeAdapter(BackboneSection).validate_python(values)


def _same_host(one: BackboneSection, other: BackboneSection) -> bool:
    """Whether two sections name the same weights, however these are stored in memory."""
    stored = {"quantization", "quantized_towers"}
    return one.model_dump(exclude=stored) == other.model_dump(exclude=stored)


def _recipe_of(run_dir: Path) -> Recipe:
    return load_recipe(run_dir / RECIPE).recipe


def _is_whole(run_dir: Path, weights: Path) -> bool:
    """Whether a run holds every weight of its host, as a model of its own or below its adapter."""
    return any((folder / "config.json").is_file() for folder in (weights, run_dir / BASE))


def _load_run(run_dir: Path, weights: Path, *, quantized: bool) -> Backbone:
    recipe = _recipe_of(run_dir)
    if (weights / "config.json").is_file():
        return build(stored_section(recipe.backbone, weights))
    if not (weights / ADAPTER_CONFIG).is_file():
        raise RunDirectoryError(
            f"{weights} holds no finished model ({ADAPTER_CONFIG} or config.json is missing): "
            f"continue it with `vlft train ... --resume`, or name one of its checkpoints"
        )
    backbone = build_base(recipe, run_dir)
    on_residual = weights != run_dir and (run_dir / mutation.FOLDER).is_dir()
    if on_residual:
        mutation.take_out(backbone.model, mutation.read_initial(run_dir))
    if quantized:
        backbone = quantize(backbone, recipe.backbone, recipe.training)
    if on_residual:
        backbone = apply_adapter(backbone, recipe.adapter, recipe.towers, plain_init=True)
        assert isinstance(backbone.model, PeftModel)
        backbone.model.load_adapter(str(weights), adapter_name="default")
    else:
        with warnings.catch_warnings():  # missing keys are an error, below
            warnings.filterwarnings("ignore", "Found missing adapter keys", UserWarning)
            model = PeftModel.from_pretrained(backbone.model, str(weights))
        backbone = wrapped(backbone, model)
    assert isinstance(backbone.model, PeftModel)
    _require_same_keys(backbone.model, weights)
    if weights != run_dir:  # the run's own parts are in the base already
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
