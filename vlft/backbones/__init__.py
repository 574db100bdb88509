"""Hosts: pretrained or random models with their places and towers named.

One file per kind of host; ``configs/`` holds shapes that build offline. ``BACKBONES`` is the table
that a recipe's ``backbone.type`` is looked up in.
"""

from collections.abc import Callable

from vlft.backbones.assembled import build_assembled
from vlft.backbones.causal_lm import build_causal_lm
from vlft.backbones.clip import build_clip
from vlft.backbones.configs import config_names, config_of, read_config
from vlft.backbones.image_text_to_text import build_image_text_to_text
from vlft.backbones.loading import Device
from vlft.backbones.open_clip import build_open_clip
from vlft.backbones.siglip import build_siglip
from vlft.backbones.towers import TowerCount, count_towers, tower_of
from vlft.backbones.vision import build_vision, class_names
from vlft.errors import pick
from vlft.recipe.backbone import BackboneSection
from vlft.types import Backbone

BACKBONES: dict[str, Callable[..., Backbone]] = {
    "clip": build_clip,
    "siglip": build_siglip,
    "open_clip": build_open_clip,
    "vision": build_vision,
    "image_text_to_text": build_image_text_to_text,
    "assembled": build_assembled,
    "causal_lm": build_causal_lm,
}
"""Kind of host to the function that builds it from a section, on a device."""


def build(section: BackboneSection, *, device: Device = "cpu") -> Backbone:
    """Build the host that a recipe's ``backbone`` names.

    Random weights are drawn from torch's global generator: call ``torch.manual_seed`` (or
    ``transformers.set_seed``) first and the same seed gives the same weights.

    Args:
        section: One of the sections of ``vlft.recipe.backbone``.
        device: ``cpu``, or ``meta`` to build the shapes without memory and weights.

    Raises:
        BackboneError: The host cannot be had, or its parts do not belong together; one line with
            the next step.
    """
    return pick(BACKBONES, section.type, kind="kind of host")(section, device)


__all__ = [
    "BACKBONES",
    "TowerCount",
    "build",
    "class_names",
    "config_names",
    "config_of",
    "count_towers",
    "read_config",
    "tower_of",
]
