"""The built-in tokenizer: whole words, bytes for the rest, prompts that are prefixes."""

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlft.backbones.tokenizer import (
    SPECIAL_TOKENS,
    VOCABULARY_SIZE,
    WORDS,
    chat_tokenizer,
    text_tokenizer,
)

TOKENIZER = chat_tokenizer()
FIELDS = (
    "image_token_id",
    "pad_token_id",
    "padding_side",
    "model_max_length",
    "chat_template",
    "all_special_tokens",
)
WORD_LIST = WORDS.read_text(encoding="utf-8").split()


def is_plain(text):
    return not any(token in text for token in SPECIAL_TOKENS)


TEXTS = st.one_of(
    st.lists(st.sampled_from(WORD_LIST), max_size=12).map(" ".join), st.text(max_size=40)
).filter(is_plain)


def ids_of(messages, *, prompt):
    text = TOKENIZER.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)
    return TOKENIZER(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("blank", ["", " "])
def test_every_word_is_one_token_with_and_without_a_blank(blank):
    words = {word: TOKENIZER(blank + word, add_special_tokens=False) for word in WORD_LIST}
    assert [word for word, out in words.items() if len(out["input_ids"]) != 1] == []


def test_words_after_words_are_one_token_each():
    words = [word for word in WORD_LIST if word.isalpha()]
    assert len(TOKENIZER(" ".join(words))["input_ids"]) == len(words)


@settings(deadline=None)  # the first call builds the tokenizer
@given(TEXTS)
def test_any_text_comes_back(text):
    assert TOKENIZER.decode(TOKENIZER(text)["input_ids"]) == text


@settings(deadline=None)  # the first call builds the tokenizer
@given(TEXTS)
def test_ids_fit_the_tiny_embeddings(text):
    assert all(0 <= index < VOCABULARY_SIZE for index in TOKENIZER(text)["input_ids"])


@settings(deadline=None)  # the first call builds the tokenizer
@given(question=TEXTS, answer=TEXTS)
def test_a_prompt_and_its_answer_tokenize_to_the_ids_of_the_whole(question, answer):
    asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]
    said = [{"role": "assistant", "content": [{"type": "text", "text": answer}]}]
    prompt = ids_of(asked, prompt=True)
    tail = TOKENIZER(answer + TOKENIZER.eos_token, add_special_tokens=False)["input_ids"]
    assert ids_of(asked + said, prompt=False) == prompt + tail


@settings(deadline=None)  # the first call builds the tokenizer
@given(question=TEXTS, answer=TEXTS)
def test_only_answers_and_their_end_are_marked_for_the_loss(question, answer):
    messages = [
        {"role": "system", "content": "short"},
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer},
        {"role": "user", "content": "more?"},
        {"role": "assistant", "content": [{"type": "text", "text": "no"}]},
    ]
    out = TOKENIZER.apply_chat_template(
        messages, return_dict=True, return_assistant_tokens_mask=True, tokenize=True
    )
    marked = [i for i, m in zip(out["input_ids"], out["assistant_masks"], strict=True) if m]
    assert TOKENIZER.decode(marked) == f"{answer}</s>no</s>"


def test_a_string_and_a_list_render_alike():
    as_list = [{"role": "user", "content": [{"type": "text", "text": "what is red?"}]}]
    as_text = [{"role": "user", "content": "what is red?"}]
    assert ids_of(as_list, prompt=True) == ids_of(as_text, prompt=True)


def test_the_end_token_is_not_the_one_that_clip_mistreats():
    assert TOKENIZER.eos_token_id != 2


def test_contrastive_texts_are_wrapped_once():
    tokens = text_tokenizer(64).convert_ids_to_tokens(text_tokenizer(64)("red")["input_ids"])
    assert tokens == ["<s>", "red", "</s>"]


@pytest.mark.slow
def test_a_fresh_process_reads_back_equal_tokenizers(tmp_path):
    text = "a red circle, naïve 赤い円"
    tokenizers = {"chat": chat_tokenizer(), "text": text_tokenizer(64)}
    expected = []
    for name, tokenizer in tokenizers.items():
        tokenizer.save_pretrained(tmp_path / name)
        expected.append([getattr(tokenizer, field) for field in FIELDS])
        expected[-1].append(tokenizer(text)["input_ids"])
    code = (
        "import json, sys; from transformers import AutoTokenizer; "
        "folder, text, *fields = sys.argv[1:]; "
        "ts = [AutoTokenizer.from_pretrained(f'{folder}/{name}') for name in ('chat', 'text')]; "
        "print(json.dumps([[*(getattr(t, f) for f in fields), t(text)['input_ids']] for t in ts]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), text, *FIELDS],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == expected
