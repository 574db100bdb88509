"""Generative hosts that ``AutoModelForImageTextToText`` knows: images and text in, text out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from transformers import AutoModelForImageTextToText, PreTrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from vlft.backbones import built_in, families, image_tokens, processors
from vlft.backbones.auto_sites import find_layout
from vlft.backbones.configs import config_for
from vlft.backbones.families import Layout
from vlft.backbones.image_tokens import ImageTokens
from vlft.backbones.llava_head import BiasedLlavaForConditionalGeneration, has_head_bias
from vlft.backbones.loading import Device, describe, read_model_config, set_special_tokens
from vlft.backbones.sources import Kind, open_sources
from vlft.errors import BackboneError
from vlft.recipe.backbone import ImageTextToText
from vlft.types import Backbone


@dataclass(frozen=True)
class Family:
    """One line of generative models.

    Attributes:
        class_name: Class of transformers that its checkpoints were saved from.
        layout: Its sites and towers.
        image_tokens: How it turns images into tokens.
        token_ids: Values of its configuration under its built-in tokenizer.
        built_in: Makes its built-in processor for a configuration.
        both_ways: Whether some of its tokens see later ones.
    """

    class_name: str
    layout: Layout
    image_tokens: ImageTokens
    token_ids: Callable[[], Mapping[str, Any]]
    built_in: Callable[[PreTrainedConfig], Any]
    both_ways: bool = False


FAMILIES: dict[str, Family] = {
    "llava": Family(
        "LlavaForConditionalGeneration",
        families.LLAVA,
        image_tokens.LLAVA,
        processors.llava_token_ids,
        processors.built_in_llava_processor,
    ),
    "qwen2_vl": Family(
        "Qwen2VLForConditionalGeneration",
        families.QWEN2_VL,
        image_tokens.QWEN_VL,
        built_in.qwen_vl_token_ids,
        built_in.qwen_vl_processor,
    ),
    "qwen2_5_vl": Family(
        "Qwen2_5_VLForConditionalGeneration",
        families.QWEN2_5_VL,
        image_tokens.QWEN_VL,
        built_in.qwen_vl_token_ids,
        built_in.qwen_vl_processor,
    ),
    "idefics3": Family(
        "Idefics3ForConditionalGeneration",
        families.IDEFICS3,
        image_tokens.IDEFICS,
        built_in.idefics_token_ids,
        built_in.idefics3_processor,
    ),
    "smolvlm": Family(
        "SmolVLMForConditionalGeneration",
        families.IDEFICS3,
        image_tokens.IDEFICS,
        built_in.idefics_token_ids,
        built_in.smolvlm_processor,
    ),
    "paligemma": Family(
        "PaliGemmaForConditionalGeneration",
        families.PALIGEMMA,
        image_tokens.PALIGEMMA,
        built_in.paligemma_token_ids,
        built_in.paligemma_processor,
        both_ways=True,
    ),
    "gemma3": Family(
        "Gemma3ForConditionalGeneration",
        families.GEMMA3,
        image_tokens.GEMMA3,
        built_in.gemma3_token_ids,
        built_in.gemma3_processor,
        both_ways=True,
    ),
    "internvl": Family(
        "InternVLForConditionalGeneration",
        families.INTERNVL,
        image_tokens.INTERNVL,
        built_in.internvl_token_ids,
        built_in.internvl_processor,
    ),
}
"""Supported families by ``model_type``; others need ``sites: auto``."""

ALL_CLASSES: dict[str, str] = {
    **dict(MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES),
    **{model_type: family.class_name for model_type, family in FAMILIES.items()},
}
"""Every image-text model of transformers: ``model_type`` to its class."""


def build_image_text_to_text(section: ImageTextToText, device: Device) -> Backbone:
    """Build a generative host from one checkpoint or one shipped configuration.

    Raises:
        BackboneError: It cannot be had, its family is not supported, its parts cannot be told
            apart, or model and processor do not belong together.
    """
    _require_known(section)
    _require_masks(section)
    opened = open_sources(section, _kind(section), type_name=section.type, device=device)
    processors.require_image_token(opened.model, opened.processor, field="backbone")
    set_special_tokens(opened.model, opened.processor.tokenizer, is_random=opened.is_random)
    if section.sites == "auto":
        layout = find_layout(opened.model)
    else:
        processors.require_same_family(opened.model, opened.processor, field="backbone")
        layout = _layout(opened.model.config)
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


def image_tokens_of(config: PreTrainedConfig) -> ImageTokens | None:
    """Return how a host turns images into tokens; None for a model line without a table."""
    family = FAMILIES.get(config.model_type)
    return None if family is None else family.image_tokens


def _layout(config: PreTrainedConfig) -> Layout:
    """Return the layout of a family with a table; that of LLaVA holds any language model."""
    if config.model_type == "llava":
        return families.llava_layout(config.get_text_config().model_type)
    return FAMILIES[config.model_type].layout


def _kind(section: ImageTextToText) -> Kind:
    """Return what is special about the family that a section names, or about all of them."""
    known = {model_type: family.class_name for model_type, family in FAMILIES.items()}
    if section.model is not None and has_head_bias(_config_of(section)):
        return _kind_with_head_bias()
    # A checkpoint brings its own processor, so only a shipped shape asks its family for one.
    model_type = "llava"
    if section.config is not None:
        model_type = config_for(section.type, section.config).model_type
    family = FAMILIES[model_type]
    return Kind(
        model_class=AutoModelForImageTextToText,
        classes=ALL_CLASSES if section.sites == "auto" else known,
        token_ids=family.token_ids,
        built_in=family.built_in,
        load=processors.load_chat_processor,
    )


def _kind_with_head_bias() -> Kind:
    """Return what is special about a LLaVA that was assembled from a language model like Phi."""
    llava = FAMILIES["llava"]
    return Kind(
        model_class=BiasedLlavaForConditionalGeneration,
        classes={"llava": BiasedLlavaForConditionalGeneration.__name__},
        token_ids=llava.token_ids,
        built_in=llava.built_in,
        load=processors.load_chat_processor,
    )


def _require_masks(section: ImageTextToText) -> None:
    """Refuse attention that would hide later tokens without a word where a family looks at them.

    The flash attention of transformers takes padding alone, and drops every other mask.

    Raises:
        BackboneError: With those that take masks.
    """
    if section.attn_implementation != "flash_attention_2":
        return
    if section.config is not None:
        model_type = config_for(section.type, section.config).model_type
    else:
        model_type = _config_of(section).model_type
    family = FAMILIES.get(model_type)
    if family is not None and family.both_ways:
        raise BackboneError(
            f"backbone.attn_implementation: in a {model_type!r} model some tokens see later ones, "
            "which flash_attention_2 has no mask for; use sdpa, eager or flex_attention"
        )


def _config_of(section: ImageTextToText) -> PreTrainedConfig:
    return read_model_config(
        str(section.model),
        field="backbone.model",
        revision=section.revision,
        trust_remote_code=section.trust_remote_code,
    )


def _require_known(section: ImageTextToText) -> None:
    """Refuse a model line without a table, unless the recipe lets its parts be looked for.

    Raises:
        BackboneError: With that as the next step.
    """
    if section.model is None or section.sites == "auto":
        return
    config = _config_of(section)
    if config.model_type in FAMILIES or config.model_type not in ALL_CLASSES:
        return  # what is no image-text model at all is refused with the list of families
    raise BackboneError(
        f"backbone.model: vlft has no table of places for {config.model_type!r} models; set "
        "backbone.sites: auto to have them found in the module tree, or use one of "
        f"{', '.join(sorted(FAMILIES))}"
    )
