"""Language models as parts: which classes generate text, and their tokenizer with images."""

from typing import Any

import jinja2
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from vlft.backbones.processors import load_tokenizer
from vlft.errors import BackboneError

CAUSAL_LM_CLASSES: dict[str, str] = dict(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
"""``model_type`` to the class of transformers that generates text with it."""

IMAGE_TOKEN = "<image>"

PLAIN_CHAT_TEMPLATE = """\
{%- if bos_token -%}{{- bos_token -}}{%- endif -%}
{%- for message in messages -%}
{%- if message.role == 'user' -%}{{- 'USER: ' -}}
{%- elif message.role == 'assistant' -%}{{- 'ASSISTANT:' -}}{%- endif -%}
{%- if message.role == 'assistant' -%}
{%- generation -%}
{{- ' ' -}}
{%- if message.content is string -%}
{{- message.content -}}
{%- else -%}
{%- for part in message.content -%}{{- part.text -}}{%- endfor -%}
{%- endif -%}
{{- eos_token -}}
{%- endgeneration -%}
{%- else -%}
{%- if message.content is string -%}
{{- message.content -}}
{%- else -%}
{%- for part in message.content -%}
{{- '<image>\\n' if part.type == 'image' else part.text -}}
{%- endfor -%}
{%- endif -%}
{{- ' ' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- 'ASSISTANT:' -}}{%- endif -%}
"""
"""The conversation format of LLaVA-1.5 (arXiv 2310.03744), for language models that have none."""


def multimodal_tokenizer(source: str, *, field: str) -> Any:
    """Read a language model's tokenizer and make it speak of images.

    It gets an image token and, where there is none, a padding token; its chat template is kept when
    it renders images and is LLaVA-1.5's otherwise.

    Args:
        source: Hub id or folder.
        field: Field of the recipe that named it.

    Raises:
        BackboneError: It cannot be had, or has no end token.
    """
    tokenizer = load_tokenizer(
        source, field=field, extra_special_tokens={"image_token": IMAGE_TOKEN}
    )
    if tokenizer.eos_token is None:
        raise BackboneError(
            f"{field}: the tokenizer of {source!r} has no end token, so answers could not end; "
            "name a processor that has one as `backbone.processor:`"
        )
    if tokenizer.pad_token is None:
        tokenizer.add_special_tokens({"pad_token": "<pad>"})
    if not _renders_images(tokenizer):
        tokenizer.chat_template = PLAIN_CHAT_TEMPLATE
    return tokenizer


def _renders_images(tokenizer: Any) -> bool:
    if tokenizer.chat_template is None:
        return False
    turn = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "?"}]}
    try:
        text = tokenizer.apply_chat_template([turn], tokenize=False)
    except (TypeError, ValueError, jinja2.TemplateError):  # written for text only
        return False
    return text.count(tokenizer.image_token) == 1
