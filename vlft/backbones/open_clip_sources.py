"""Where an open_clip model comes from: an architecture, a tag, a file, a folder, the Hub."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError
from safetensors import SafetensorError

from vlft.backbones.configs import config_for
from vlft.backbones.loading import explain
from vlft.backbones.open_clip_model import (
    CONFIG,
    WEIGHTS,
    OpenClipConfig,
    OpenClipModel,
    require_open_clip,
)
from vlft.errors import BackboneError, near, unknown
from vlft.recipe.backbone import OpenClip

PREFIX, HUB = "open_clip:", "hf-hub:"
"""What may stand before an architecture; what open_clip writes before a repository of the Hub."""


class Source(NamedTuple):
    """What a section names.

    Attributes:
        config: Shapes and preprocessing.
        weights: A safetensors file, or None for random weights.
        field: Field of the recipe that named the weights.
        is_random: No checkpoint elsewhere holds the weights.
    """

    config: OpenClipConfig
    weights: Path | None
    field: str
    is_random: bool = False


def find(section: OpenClip, *, needs_weights: bool) -> Source:
    """Read the configuration that a section names, and find its weights.

    Args:
        section: The recipe's ``backbone``.
        needs_weights: Fetch weights that are not here.

    Raises:
        BackboneError: Architecture, tag, file or folder cannot be had, or the weights are in
            another format than safetensors.
    """
    if section.config is not None:
        shipped = config_for("open_clip", section.config)
        weights = None if section.weights is None else _file(section.weights, "backbone.weights")
        return Source(_config(shipped.config), weights, "backbone.weights", weights is None)
    name = str(section.model).removeprefix(PREFIX)
    if name.startswith(HUB):
        repo_id, revision = name.removeprefix(HUB), section.revision
        config = _read_config(_download(repo_id, CONFIG, revision))
        weights = _download(repo_id, WEIGHTS, revision) if needs_weights else None
        return Source(config, weights, "backbone.model")
    if Path(name).is_dir():
        if section.pretrained is not None:
            raise BackboneError(
                f"backbone.pretrained: the folder {name!r} has its own weights; leave it out"
            )
        if not (Path(name) / CONFIG).is_file():
            raise BackboneError(f"backbone.model: the folder {name!r} has no {CONFIG}")
        weights = _file(name, "backbone.model") if needs_weights else None
        return Source(_read_config(Path(name) / CONFIG), weights, "backbone.model")
    return _named(section, name, needs_weights=needs_weights)


def load(model: OpenClipModel, source: Source) -> None:
    """Read weights in place.

    Raises:
        BackboneError: The file is damaged or of another architecture.
    """
    assert source.weights is not None
    try:
        require_open_clip().load_checkpoint(model.clip, str(source.weights))
    except (OSError, SafetensorError, RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())[:300]
        raise BackboneError(
            f"{source.field}: {str(source.weights)!r} does not hold the weights of this "
            f"architecture: {reason}"
        ) from error


def _named(section: OpenClip, name: str, *, needs_weights: bool) -> Source:
    open_clip = require_open_clip()
    values = open_clip.get_model_config(name)
    if values is None:
        names = open_clip.list_models()
        guess = near(name, names) or near(name.lower(), names)
        hint = f" Did you mean {guess!r}?" if guess else ""
        raise BackboneError(
            f"backbone.model: unknown open_clip architecture {name!r}.{hint} "
            "`python -c 'import open_clip; print(open_clip.list_models())'` lists them; "
            f"a repository of the Hub is written {HUB}user/name"
        )
    tag = section.pretrained
    if tag is None:
        return Source(_config(values), None, "backbone.pretrained", is_random=True)
    if tag.endswith(".safetensors") or Path(tag).exists():
        return Source(_config(values), _file(tag, "backbone.pretrained"), "backbone.pretrained")
    facts = open_clip.get_pretrained_cfg(name, tag)
    if not facts:
        tags = open_clip.list_pretrained_tags_by_model(name)
        raise BackboneError(
            f"backbone.pretrained: {unknown(f'tag of {name}', tag, tags)}; a file ends in "
            ".safetensors"
        )
    _require_same_activation(name, tag, values, facts, open_clip.list_models())
    weights = _tagged(name, tag, facts, section.revision) if needs_weights else None
    return Source(_config(values, facts), weights, "backbone.pretrained")


def _require_same_activation(
    name: str, tag: str, values: dict[str, Any], facts: dict[str, Any], names: list[str]
) -> None:
    """Refuse weights that were trained with another activation; they would load without a word."""
    wanted = bool(facts.get("quick_gelu", False))
    if bool(values.get("quick_gelu", False)) != wanted:
        other = f"{name}-quickgelu" if wanted else name.removesuffix("-quickgelu")
        step = f"use model: {other}" if other in names else "use another tag"
        raise BackboneError(
            f"backbone.pretrained: {tag!r} was trained with {'QuickGELU' if wanted else 'GELU'}, "
            f"which the architecture {name} does not have; {step}"
        )


def _tagged(name: str, tag: str, facts: dict[str, Any], revision: str | None) -> Path:
    repo_id, _, file = str(facts.get("hf_hub", "")).rpartition("/")
    if not repo_id:
        raise BackboneError(
            f"backbone.pretrained: the weights {tag!r} of {name} are published as a pickle only, "
            "which is not read; choose another tag, or convert them to safetensors"
        )
    return _download(repo_id, f"{Path(file).stem}.safetensors" if file else WEIGHTS, revision)


def _download(repo_id: str, name: str, revision: str | None) -> Path:
    try:
        return Path(hf_hub_download(repo_id, name, revision=revision))
    except (EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as e:
        raise BackboneError(explain(f"{repo_id}/{name}", e, field="backbone")) from e


def _file(path: str, field: str) -> Path:
    """Return a safetensors file, given itself or its folder."""
    found = Path(path) / WEIGHTS if Path(path).is_dir() else Path(path)
    if not found.is_file():
        raise BackboneError(f"{field}: there is no file {str(found)!r}")
    if found.suffix != ".safetensors":
        raise BackboneError(
            f"{field}: {path!r} is no safetensors file, and other formats are not read (they may "
            "run code): save the weights once more with safetensors"
        )
    return found


def _read_config(path: Path) -> OpenClipConfig:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return _config(values["model_cfg"], values.get("preprocess_cfg"))
    except (OSError, ValueError, KeyError) as error:
        raise BackboneError(
            f"backbone.model: {str(path)!r} cannot be read as open_clip's configuration "
            f"({type(error).__name__}: {error})"
        ) from error


def _config(values: dict[str, Any], preprocess: dict[str, Any] | None = None) -> OpenClipConfig:
    require_open_clip()
    from open_clip.transform import PreprocessCfg, merge_preprocess_dict

    size = {"size": values["vision_cfg"].get("image_size", 224)}
    merged = merge_preprocess_dict(asdict(PreprocessCfg()), {**(preprocess or {}), **size})
    return OpenClipConfig(model_cfg=values, preprocess_cfg=merged)
