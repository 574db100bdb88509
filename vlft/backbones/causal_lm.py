"""Text-only hosts: any decoder that ``AutoModelForCausalLM`` knows."""

from typing import Any

from transformers import AutoModelForCausalLM, PreTrainedConfig

from vlft.backbones.families import causal_lm_layout
from vlft.backbones.language import CAUSAL_LM_CLASSES
from vlft.backbones.loading import Device, describe, set_special_tokens
from vlft.backbones.processors import load_tokenizer, require_chat_template, special_token_ids
from vlft.backbones.sources import Kind, open_sources
from vlft.backbones.tokenizer import chat_tokenizer
from vlft.recipe.backbone import CausalLM
from vlft.types import Backbone


def _load(
    source: str, *, field: str, revision: str | None = None, trust_remote_code: bool = False
) -> Any:
    tokenizer = load_tokenizer(
        source, field=field, revision=revision, trust_remote_code=trust_remote_code
    )
    require_chat_template(tokenizer, field=field, source=source)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token  # padding is masked and never supervised
    return tokenizer


def _built_in(config: PreTrainedConfig) -> Any:
    del config  # one tokenizer fits all: its ids are the first few hundred
    return chat_tokenizer()


KIND = Kind(
    model_class=AutoModelForCausalLM,
    classes=CAUSAL_LM_CLASSES,
    token_ids=special_token_ids,
    built_in=_built_in,
    load=_load,
)


def build_causal_lm(section: CausalLM, device: Device) -> Backbone:
    """Build a text-only host; its processor is a tokenizer.

    Raises:
        BackboneError: It cannot be had, or is no causal language model.
    """
    opened = open_sources(section, KIND, type_name=section.type, device=device)
    set_special_tokens(opened.model, opened.processor, is_random=opened.is_random)
    model = opened.model
    layout = causal_lm_layout(model.config.model_type, model.base_model_prefix)
    return Backbone(
        model=model,
        processor=opened.processor,
        family=section.family,
        type=section.type,
        sites=layout.sites,
        towers=layout.towers,
        source=describe(section, model.config, processor=opened.processor_source),
        local_parts=("",) if opened.is_random else (),
    )
