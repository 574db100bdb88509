"""CLIP hosts: two towers, one embedding space (transformers' ``CLIPModel``)."""

from transformers import AutoModel

from vlft.backbones.families import CLIP
from vlft.backbones.loading import Device, describe
from vlft.backbones.processors import built_in_clip_processor, load_processor, special_token_ids
from vlft.backbones.sources import Kind, open_sources
from vlft.recipe.backbone import Clip
from vlft.types import Backbone

KIND = Kind(
    model_class=AutoModel,
    classes={"clip": "CLIPModel"},
    token_ids=lambda: {"text_config": special_token_ids()},
    built_in=built_in_clip_processor,
    load=load_processor,
)


def build_clip(section: Clip, device: Device) -> Backbone:
    """Build a CLIP host.

    Raises:
        BackboneError: It cannot be had, or is no CLIP.
    """
    opened = open_sources(section, KIND, type_name=section.type, device=device)
    return Backbone(
        model=opened.model,
        processor=opened.processor,
        family=section.family,
        type=section.type,
        sites=CLIP.sites,
        towers=CLIP.towers,
        source=describe(section, opened.model.config, processor=opened.processor_source),
        local_parts=("",) if opened.is_random else (),
    )
