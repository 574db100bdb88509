"""open_clip hosts: its architectures, weights, tokenizers and file format."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from vlft.backbones import open_clip_sources
from vlft.backbones.families import Layout
from vlft.backbones.loading import Device, describe
from vlft.backbones.open_clip_model import OpenClipModel, random_model
from vlft.backbones.open_clip_processor import OpenClipProcessor
from vlft.recipe.backbone import OpenClip
from vlft.types import Backbone

_TEXT = r"clip\.(?:text\.)?transformer\.resblocks\.\d+"
_IMAGE = r"clip\.visual\.transformer\.resblocks\.\d+"
_TIMM = r"clip\.visual\.trunk\.blocks\.\d+"

SITES = {
    "vision.attention": rf"{_IMAGE}\.attn\.(?:in|out)_proj|{_TIMM}\.attn\.(?:qkv|proj)",
    "vision.mlp": rf"{_IMAGE}\.mlp\.c_(?:fc|proj)|{_TIMM}\.mlp\.fc[12]",
    "vision.block": rf"{_IMAGE}|{_TIMM}",
    "text.attention": rf"{_TEXT}\.attn\.(?:in|out)_proj",
    "text.mlp": rf"{_TEXT}\.mlp\.c_(?:fc|proj)",
    "text.block": _TEXT,
    "projector": r"clip\.visual\.head\.proj|clip\.(?:text\.)?text_projection",
}
"""Places of all architectures; a model has those that match a module of it. In open_clip's own
ViTs the projections are bare parameters: no place, but part of the projector's tower."""

PROJECTIONS = ("proj", "head", "text_projection")
"""Names inside a tower of open_clip of what maps to the common space."""


def layout_of(model: OpenClipModel) -> Layout:
    """Return the sites and towers of one architecture."""
    paths = [path for path, _ in model.named_modules()]
    sites = {
        site: pattern
        for site, pattern in SITES.items()
        if any(re.fullmatch(pattern, path) for path in paths)
    }
    parts = dict.fromkeys(_parts(model.clip.visual, "clip.visual."), "vision")
    for part in _parts(model.clip, "clip."):
        if part == "clip.text.":
            parts |= dict.fromkeys(_parts(model.clip.text, part), "text")
        elif part != "clip.visual.":
            parts[part] = "projector" if part.startswith("clip.logit_") else "text"
    for part in parts:
        if part.rstrip(".").rsplit(".", 1)[-1] in PROJECTIONS:
            parts[part] = "projector"
    towers = {
        tower: tuple(part for part, owner in parts.items() if owner == tower)
        for tower in ("vision", "projector", "text")
    }
    return Layout(sites=sites, towers=towers)


def _parts(module: nn.Module, prefix: str) -> Iterator[str]:
    """Yield prefixes of the parameters of a module: its children and its own parameters."""
    for name, _ in module.named_children():
        yield f"{prefix}{name}."
    for name, _ in module.named_parameters(recurse=False):
        yield f"{prefix}{name}"


def build_open_clip(section: OpenClip, device: Device) -> Backbone:
    """Build an open_clip host.

    Raises:
        MissingExtraError: open_clip is not installed.
        BackboneError: The model cannot be had.
    """
    source = open_clip_sources.find(section, needs_weights=device == "cpu")
    dtype = "float32" if section.dtype == "auto" else section.dtype
    processor = OpenClipProcessor(source.config)
    model = random_model(source.config, device=device, dtype=dtype)
    if source.weights is not None and device == "cpu":
        open_clip_sources.load(model, source)
    layout = layout_of(model)
    return Backbone(
        model=model,
        processor=processor,
        family=section.family,
        type=section.type,
        sites=layout.sites,
        towers=layout.towers,
        source=describe(section, model.config, processor="open_clip"),
        local_parts=("",) if source.is_random else (),
        text_length=processor.tokenizer.model_max_length,
        inert_padding=_has_inert_padding(model.config.model_cfg["text_cfg"]),
    )


def _has_inert_padding(text_cfg: Mapping[str, Any]) -> bool:
    is_read_at_end = text_cfg.get("pool_type", "argmax") in ("argmax", "eos")
    is_causal = not text_cfg.get("no_causal_mask", False)
    return is_read_at_end and is_causal and "hf_model_name" not in text_cfg


def save_open_clip(backbone: Backbone, folder: str | Path) -> None:
    """Write a bare open_clip host in open_clip's own format.

    The folder then holds ``open_clip_model.safetensors``, ``open_clip_config.json``, and a
    ``config.json`` that says what it is. ``open_clip.create_model("local-dir:FOLDER")`` and
    ``backbone: {type: open_clip, model: FOLDER}`` load it.

    Args:
        backbone: Its adapter, if it had one, is merged.
        folder: Made if it is not there.
    """
    model = backbone.model
    assert isinstance(model, OpenClipModel), "merge the adapter first"
    model.save_pretrained(folder)
