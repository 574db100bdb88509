"""A LLaVA put together from a vision tower and a language model; the projector between is new."""

from typing import Any

from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    CLIPVisionModel,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedConfig,
)

from vlft.backbones import processors
from vlft.backbones.configs import config_for
from vlft.backbones.families import llava_layout
from vlft.backbones.language import CAUSAL_LM_CLASSES, multimodal_tokenizer
from vlft.backbones.llava_head import BiasedLlavaForConditionalGeneration
from vlft.backbones.loading import (
    Device,
    describe,
    quiet_loading,
    random_model,
    read_model_config,
    require_architecture,
    set_special_tokens,
    shipped_model_config,
    trained_model,
    whole_weights,
)
from vlft.backbones.sources import Kind, Opened, open_sources
from vlft.errors import BackboneError
from vlft.recipe.backbone import Assembled
from vlft.types import Backbone

VISION_CLASSES = {"clip": "CLIPModel", "clip_vision_model": "CLIPVisionModel"}
"""Checkpoints that hold a usable vision tower: ``model_type`` to the class that wrote them."""

KIND = Kind(
    model_class=AutoModelForImageTextToText,
    classes={"llava": "LlavaForConditionalGeneration"},
    token_ids=processors.llava_token_ids,
    built_in=processors.built_in_llava_processor,
    load=processors.load_chat_processor,
)

_PROJECTOR = "model.multi_modal_projector."
_SHAPE = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")


def build_assembled(section: Assembled, device: Device) -> Backbone:
    """Build a LLaVA from parts, or from a shipped configuration when no part is named.

    The towers keep the very weights of their checkpoints. A language model whose vocabulary has no
    image token gets one, which enlarges its embedding when there is no spare row.

    Raises:
        BackboneError: A part cannot be had, is of an unsupported kind, or does not have the shape
            that ``config`` says.
    """
    has_parts = section.vision is not None or section.language is not None
    if has_parts and section.weights is not None:
        raise BackboneError(
            "backbone.weights: they cover the whole host, so leave `vision` and `language` out"
        )
    if not has_parts or (device == "meta" and section.config is not None):
        changes = {}
        if section.vision_feature_layer is not None:
            changes["vision_feature_layer"] = section.vision_feature_layer
        opened = open_sources(section, KIND, type_name=section.type, device=device, changes=changes)
        local_parts = ("",) if opened.is_random else ()
    else:
        opened, local_parts = _join(section, device)
    processors.require_image_token(opened.model, opened.processor, field="backbone")
    set_special_tokens(opened.model, opened.processor.tokenizer, is_random=opened.is_random)
    layout = llava_layout(opened.model.config.text_config.model_type)
    return Backbone(
        model=opened.model,
        processor=opened.processor,
        family=section.family,
        type=section.type,
        sites=layout.sites,
        towers=layout.towers,
        source=describe(section, opened.model.config, processor=opened.processor_source),
        local_parts=local_parts,
    )


def _join(section: Assembled, device: Device) -> tuple[Opened, tuple[str, ...]]:
    """Build the parts, make them one model, and say which of its weights are new."""
    shape = _shipped_shape(section)
    vision = _vision(section, shape, device)
    language = _language(section, shape, device)
    processor, processor_source = _processor(section, vision.config)
    tokenizer = processor.tokenizer
    local_parts = [_PROJECTOR]
    if section.vision is None:
        local_parts.append("model.vision_tower.")
    if section.language is None:
        local_parts += ["model.language_model.", "lm_head."]
    elif len(tokenizer) > language.config.vocab_size:
        language.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        local_parts += [f"model.language_model.{_embedding(language)}.", "lm_head."]
    config = LlavaConfig(
        vision_config=vision.config,
        text_config=language.config,
        image_token_index=processor.image_token_id,
        image_seq_length=(vision.config.image_size // vision.config.patch_size) ** 2,
        vision_feature_layer=_feature_layer(section, shape),
        vision_feature_select_strategy=processor.vision_feature_select_strategy,
    )
    if device == "meta":
        biased = _has_head_bias(language)
        auto_class = BiasedLlavaForConditionalGeneration if biased else AutoModelForImageTextToText
        model = random_model(auto_class, config, section, device)
    else:
        model = _one_model(config, vision, language)
    opened = Opened(model, processor, processor_source, is_random=False)
    processors.require_ids_fit(model, tokenizer, field="backbone")
    return opened, tuple(local_parts)


def _embedding(language: Any) -> str:
    """Return the path of a language model's token embedding below its decoder."""
    table = language.get_input_embeddings()
    return next(name for name, module in language.base_model.named_modules() if module is table)


def _has_head_bias(language: Any) -> bool:
    return language.get_output_embeddings().bias is not None


def _one_model(config: LlavaConfig, vision: Any, language: Any) -> LlavaForConditionalGeneration:
    weights = {f"model.vision_tower.{name}": value for name, value in vision.state_dict().items()}
    decoder = language.base_model.state_dict()
    weights |= {f"model.language_model.{name}": value for name, value in decoder.items()}
    head = language.get_output_embeddings().state_dict()
    weights |= {f"lm_head.{name}": value for name, value in head.items()}
    biased = _has_head_bias(language)
    model_class = BiasedLlavaForConditionalGeneration if biased else LlavaForConditionalGeneration
    with whole_weights(), quiet_loading():  # the projector is in no checkpoint
        loaded: Any = model_class.from_pretrained(
            None, config=config, state_dict=weights, dtype=language.dtype, output_loading_info=True
        )
    model, info = loaded
    astray = [name for name in info["missing_keys"] if not name.startswith(_PROJECTOR)]
    astray += info["unexpected_keys"]
    if astray:
        raise BackboneError(
            f"backbone.language: a {language.config.model_type!r} model does not fit into a "
            f"LLaVA, first at {sorted(astray)[0]!r}; use a decoder with Llama's layout"
        )
    model.generation_config = language.generation_config
    model.name_or_path = ""  # else "None", which PEFT would look for on the Hub
    return model


def _shipped_shape(section: Assembled) -> PreTrainedConfig | None:
    if section.config is None:
        return None
    ids = processors.llava_token_ids() if section.language is None else None
    return shipped_model_config(config_for(section.type, section.config), ids)


def _feature_layer(section: Assembled, shape: PreTrainedConfig | None) -> int:
    if section.vision_feature_layer is not None:
        return section.vision_feature_layer
    return -2 if shape is None else shape.vision_feature_layer


def _vision(section: Assembled, shape: PreTrainedConfig | None, device: Device) -> Any:
    if section.vision is None:
        assert shape is not None  # the section asks for `config` when a part is missing
        return random_model(AutoModel, shape.vision_config, section, device)
    field = "backbone.vision"
    whole = read_model_config(
        section.vision, field=field, trust_remote_code=section.trust_remote_code
    )
    require_architecture(whole, VISION_CLASSES, field=field, kind="assembled")
    config = whole.vision_config if whole.model_type == "clip" else whole
    if shape is not None:
        _require_shape(config, shape.vision_config, ("image_size", "patch_size"), field=field)
    if device == "meta":
        return random_model(AutoModel, config, section, device)
    with quiet_loading():  # a full CLIP has a text tower too
        return trained_model(CLIPVisionModel, section.vision, section, field=field, config=config)


def _language(section: Assembled, shape: PreTrainedConfig | None, device: Device) -> Any:
    if section.language is None:
        assert shape is not None  # the section asks for `config` when a part is missing
        return random_model(AutoModelForCausalLM, shape.text_config, section, device)
    field = "backbone.language"
    config = read_model_config(
        section.language, field=field, trust_remote_code=section.trust_remote_code
    )
    require_architecture(config, CAUSAL_LM_CLASSES, field=field, kind="assembled")
    if shape is not None:
        names = ("model_type", "num_key_value_heads")
        _require_shape(config, shape.text_config, names, field=field)
    if device == "meta":
        return random_model(AutoModelForCausalLM, config, section, device)
    return trained_model(AutoModelForCausalLM, section.language, section, field=field)


def _require_shape(
    config: PreTrainedConfig, shape: PreTrainedConfig, more: tuple[str, ...], *, field: str
) -> None:
    for name in (*_SHAPE, *more):
        found, expected = getattr(config, name), getattr(shape, name)
        if found != expected:
            raise BackboneError(
                f"{field}: this checkpoint has {name} {found}, `config` says {expected}; leave "
                "`config` out when both parts are named, or name the matching checkpoint"
            )


def _processor(section: Assembled, vision_config: PreTrainedConfig) -> tuple[Any, str]:
    """The processor, and where it came from."""
    if section.processor is not None:
        loaded = processors.load_chat_processor(section.processor, field="backbone.processor")
        return loaded, section.processor
    if section.vision is None:
        images = processors.clip_image_processor(vision_config.image_size)
    else:
        images = processors.load_image_processor(section.vision, field="backbone.vision")
    if section.language is None:
        tokenizer = processors.chat_tokenizer()
    else:
        tokenizer = multimodal_tokenizer(section.language, field="backbone.language")
    sources = (section.vision or processors.BUILT_IN, section.language or processors.BUILT_IN)
    return processors.llava_processor(vision_config, images, tokenizer), " + ".join(sources)
