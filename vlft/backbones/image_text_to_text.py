"""Generative hosts that ``AutoModelForImageTextToText`` knows: images and text in, text out."""

from dataclasses import dataclass

from transformers import AutoModelForImageTextToText

from vlft.backbones.families import LLAVA, Layout
from vlft.backbones.loading import Device, describe, set_special_tokens
from vlft.backbones.processors import (
    built_in_llava_processor,
    llava_token_ids,
    load_chat_processor,
    require_image_token,
)
from vlft.backbones.sources import Kind, open_sources
from vlft.recipe.backbone import ImageTextToText
from vlft.types import Backbone


@dataclass(frozen=True)
class Family:
    """One line of generative models.

    Attributes:
        class_name: Class of transformers that its checkpoints were saved from.
        layout: Its sites and towers.
    """

    class_name: str
    layout: Layout


FAMILIES: dict[str, Family] = {"llava": Family("LlavaForConditionalGeneration", LLAVA)}
"""Supported families by ``model_type``; others are refused."""

KIND = Kind(
    model_class=AutoModelForImageTextToText,
    classes={model_type: family.class_name for model_type, family in FAMILIES.items()},
    token_ids=llava_token_ids,
    built_in=built_in_llava_processor,
    load=load_chat_processor,
)


def build_image_text_to_text(section: ImageTextToText, device: Device) -> Backbone:
    """Build a generative host from one checkpoint or one shipped configuration.

    Raises:
        BackboneError: It cannot be had, its family is not supported, or model and processor do not
            belong together.
    """
    opened = open_sources(section, KIND, type_name=section.type, device=device)
    require_image_token(opened.model, opened.processor, field="backbone")
    set_special_tokens(opened.model, opened.processor.tokenizer)
    layout = FAMILIES[opened.model.config.model_type].layout
    return Backbone(
        model=opened.model,
        processor=opened.processor,
        family=section.family,
        type=section.type,
        sites=layout.sites,
        towers=layout.towers,
        source=describe(section, opened.model.config, processor=opened.processor_source),
        local_parts=("",) if opened.is_random else (),
    )
