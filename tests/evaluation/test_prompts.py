import pytest

from vlft.backbones import build
from vlft.data.chat import ChatFormat
from vlft.errors import EvaluationError
from vlft.evaluation.prompts import continued, image_markup
from vlft.recipe.backbone import ImageTextToText
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
    (row,) = continued(form, ASKED, [answer])
    (tail,) = row.tails
    assert form.tokenizer.convert_ids_to_tokens(tail) == tokens
    whole = form.tokenizer(row.text, add_special_tokens=False)["input_ids"]
    assert whole[-len(row.ending) :] == row.ending
    if row.shared:
        joined = form.tokenizer(row.text + answer, add_special_tokens=False)["input_ids"]
        assert joined == whole + tail
    else:
        assert row.text.endswith(answer)
        assert whole[-len(tail) :] == tail


def test_an_answer_that_also_stands_in_the_prompt_is_found_behind_it(chat):
    (row,) = continued(chat(), ASKED, ["what color?"])
    assert row.text.count("what color?") == 2
    assert len(row.tails[0]) == 3


def test_continuations_of_one_token_share_a_row(chat):
    rows = continued(chat(), ASKED, ["red", "the red circle", "blue"])
    assert [(row.places, row.shared) for row in rows] == [([0, 2], True), ([1], False)]
    assert not rows[0].text.endswith("red")
    assert [len(tail) for tail in rows[0].tails] == [1, 1]


@pytest.mark.parametrize(("template", "answer"), [(SHOUTING, "red"), (None, ""), (None, " ")])
def test_an_answer_that_the_template_does_not_write_is_refused(chat, template, answer):
    with pytest.raises(EvaluationError, match="cannot be scored"):
        continued(chat(template), ASKED, [answer])


@pytest.mark.parametrize(
    ("config", "markup"),
    [
        ("tiny_llava", "<image>"),
        ("tiny_smolvlm", "<image>"),  # its template drops a blank beside an image
        ("tiny_paligemma", "<image>"),  # images come before everything else
        ("tiny_internvl", "<IMG_CONTEXT>"),  # its template adds a line end
        ("tiny_qwen2_5_vl", "<|vision_start|><|image_pad|><|vision_end|>"),
    ],
)
def test_the_marks_of_an_image_are_read_off_the_template(config, markup):
    backbone = build(ImageTextToText(type="image_text_to_text", config=config))
    assert image_markup(ChatFormat(backbone.processor)) == markup
