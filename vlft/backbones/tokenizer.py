"""The built-in tokenizer: hosts with random weights work without downloading a vocabulary.

Byte-level, with one token for each word of ``configs/words.txt`` (the words of the generated
world), with and without a blank before it; all other text falls back to its bytes. Nothing is
trained, so the ids are the same on every machine.
"""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

WORDS = Path(__file__).parent / "configs" / "words.txt"

VOCABULARY_SIZE = 768
"""Embedding rows of the tiny configurations; the tokenizer itself may use fewer."""

SPECIAL_TOKENS = ("<pad>", "<s>", "<image>", "</s>", "<system>", "<user>", "<assistant>")
"""In the order of their ids. ``</s>`` must not be 2: with that id CLIP's text tower in transformers
takes the token with the highest id, not the end of the text, as the text's embedding."""

CHAT_TEMPLATE = """\
{{- bos_token -}}
{%- for message in messages -%}
{{- '<' + message.role + '>' -}}
{%- if message.role == 'assistant' -%}
{%- generation -%}
{%- if message.content is string -%}
{{- message.content -}}
{%- else -%}
{%- for part in message.content -%}{{- part.text -}}{%- endfor -%}
{%- endif -%}
{{- eos_token -}}
{%- endgeneration -%}
{%- elif message.content is string -%}
{{- message.content -}}
{%- else -%}
{%- for part in message.content -%}
{{- '<image>' if part.type == 'image' else part.text -}}
{%- endfor -%}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<assistant>' -}}{%- endif -%}
"""
"""``<s><user><image>question<assistant>answer</s>``. A role is one special token, so the ids of a
prompt are a prefix of those of prompt and answer, whatever the answer starts with."""


@functools.cache
def _tokenizer(*, wrap_text: bool) -> Tokenizer:
    words = WORDS.read_text(encoding="utf-8").split()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    # ByteLevel writes a blank as the visible letter "Ġ".
    tokens = [*SPECIAL_TOKENS, *alphabet, *words, *(f"Ġ{word}" for word in words)]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    assert len(vocabulary) <= VOCABULARY_SIZE, f"{len(vocabulary)} tokens; shorten {WORDS.name}"
    # Without merges a word outside the vocabulary stays bytes; `ignore_merges` looks words up.
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS]
    )
    if wrap_text:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>",
            special_tokens=[(token, vocabulary[token]) for token in ("<s>", "</s>")],
        )
    return tokenizer


def chat_tokenizer() -> PreTrainedTokenizerFast:
    """Return the tokenizer of generative hosts, with a chat template and no automatic tokens."""
    return PreTrainedTokenizerFast(
        tokenizer_object=_tokenizer(wrap_text=False),
        chat_template=CHAT_TEMPLATE,
        **_options(),
    )


def family_tokenizer(
    template: str, *, named: Mapping[str, str], unnamed: Sequence[str] = (), **special: str | None
) -> PreTrainedTokenizerFast:
    """Return the tokenizer of a family with special tokens and a turn format of its own.

    Args:
        template: Chat template.
        named: Special tokens that the family's processor asks the tokenizer for, by attribute.
        unnamed: Further special tokens.
        **special: ``eos_token``, ``bos_token`` and the like where they are not the built-in ones.
    """
    tokens = [*named.values(), *unnamed, *(token for token in special.values() if token)]
    backend = Tokenizer.from_str(_tokenizer(wrap_text=False).to_str())
    backend.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in dict.fromkeys(tokens)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        chat_template=template,
        **{**_options(), **special, "extra_special_tokens": dict(named)},
    )


def text_tokenizer(max_length: int) -> PreTrainedTokenizerFast:
    """Return the tokenizer of contrastive hosts, which wraps each text in ``<s>`` and ``</s>``.

    Args:
        max_length: Tokens that the text tower takes; truncation keeps ``</s>``.
    """
    return PreTrainedTokenizerFast(
        tokenizer_object=_tokenizer(wrap_text=True), model_max_length=max_length, **_options()
    )


def _options() -> dict:
    return {
        "pad_token": "<pad>",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "extra_special_tokens": {"image_token": "<image>"},
        "padding_side": "right",
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
    }
