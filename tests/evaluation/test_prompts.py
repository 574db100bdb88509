import pytest

from vlft.data.chat import ChatFormat
from vlft.errors import EvaluationError
from vlft.evaluation.prompts import continued
from vlft.types import Message, Prompt

ASKED = Prompt((Message("user", ("what color?",)),))

SPACED = (
    "{% for m in messages %}{% if m.role == 'user' %}USER: {{ m.content }} "
    "{% else %}ASSISTANT: {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
"""A template like LLaVA's: the blank before an answer is no part of the generation prompt."""

THINKING = (
    "{% for m in messages %}<{{ m.role }}>"
    "{% if m.role == 'assistant' %}think: nothing. {% endif %}{{ m.content }}{{ eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)
"""A template that writes something between the generation prompt and the answer."""

SHOUTING = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content | upper }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture
def chat(host):
    def make(template=None):
        tokenizer = host("tiny_llama").processor
        if template is not None:
            tokenizer.chat_template = template
        return ChatFormat(tokenizer)

    original = host("tiny_llama").processor.chat_template
    yield make
    host("tiny_llama").processor.chat_template = original


@pytest.mark.parametrize(
    ("template", "answer", "tokens"),
    [
        (None, "red", ["red"]),
        (None, "red circle", ["red", "Ġcircle"]),
        (SPACED, "red", ["Ġred"]),  # the token holds the blank that the template writes
        (THINKING, "red", ["Ġred"]),  # what the template says on its own is not scored
    ],
)
def test_the_tail_is_what_the_answer_adds(chat, template, answer, tokens):
    form = chat(template)
    text, tail = continued(form, ASKED, answer)
    assert form.tokenizer.convert_ids_to_tokens(tail) == tokens
    assert text.endswith(answer)
    whole = form.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert whole[-len(tail) :] == tail


def test_an_answer_that_also_stands_in_the_prompt_is_found_behind_it(chat):
    text, tail = continued(chat(), ASKED, "what color?")
    assert text.count("what color?") == 2
    assert len(tail) == 3


@pytest.mark.parametrize(("template", "answer"), [(SHOUTING, "red"), (None, ""), (None, " ")])
def test_an_answer_that_the_template_does_not_write_is_refused(chat, template, answer):
    with pytest.raises(EvaluationError, match="cannot be scored"):
        continued(chat(template), ASKED, answer)
