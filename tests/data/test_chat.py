"""Which characters of a rendered conversation are answers, for templates of many shapes."""

import pytest
from transformers import CLIPImageProcessor, LlavaProcessor

from vlft.backbones.tokenizer import chat_tokenizer
from vlft.data.chat import ChatFormat
from vlft.errors import BackboneError, DataError
from vlft.types import Message

BODY = (
    "{% if message.content is string %}{{ message.content }}"
    "{% else %}{{ message.content[-1].text }}{% endif %}"
)

# Written for this test, in the shapes that hosts use; <user>, <assistant> and </s> are special.
TEMPLATES = {
    "marked": (
        "{{ bos_token }}{% for message in messages %}<{{ message.role }}>"
        "{% if message.role == 'assistant' %}{% generation %}" + BODY + "</s>{% endgeneration %}"
        "{% else %}" + BODY + "{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    ),
    "marked, end outside": (
        "{% for message in messages %}<{{ message.role }}>"
        "{% if message.role == 'assistant' %}{% generation %}" + BODY + "{% endgeneration %}"
        "{% else %}" + BODY + "{% endif %} </s>\n{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    ),
    "unmarked": (
        "{% for message in messages %}<{{ message.role }}>\n" + BODY + "</s>\n{% endfor %}"
        "{% if add_generation_prompt %}<assistant>\n{% endif %}"
    ),
    "no end of turn": (
        "{% for message in messages %}{{ message.role | upper }}: " + BODY + " {% endfor %}"
        "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
    ),
    "no generation prompt": (
        "{% for message in messages %}{% if message.role == 'user' %}[Q] {% else %}[A] {% endif %}"
        + BODY + "{% if message.role == 'assistant' %}</s>{% endif %}{% endfor %}"
    ),
    "end after the last only": (
        "{% for message in messages %}<{{ message.role }}>" + BODY
        + "{% if loop.last and message.role == 'assistant' %}</s>{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    ),
    "thinks before the last": (
        "{% for message in messages %}<{{ message.role }}>"
        "{% if loop.last and message.role == 'assistant' %}<think></think>{% endif %}"
        + BODY + "</s>{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
    ),
}  # fmt: skip

TWO_TURNS = (
    Message("user", ("what is red",)),
    Message("assistant", ("the ball",)),
    Message("user", ("and blue",)),
    Message("assistant", ("the box",)),
)

ANSWERS = {
    "marked": ["the ball</s>", "the box</s>"],
    "marked, end outside": ["the ball </s>", "the box </s>"],
    "unmarked": ["the ball</s>", "the box</s>"],
    "no end of turn": [" the ball ", " the box</s>"],
    "no generation prompt": ["the ball</s>", "the box</s>"],
    "end after the last only": ["the ball", "the box</s>"],
    "thinks before the last": ["the ball</s>", "<think></think>the box</s>"],
}


def chat(template, *, images=False):
    tokenizer = chat_tokenizer()
    tokenizer.chat_template = template
    if not images:
        return ChatFormat(tokenizer)
    return ChatFormat(LlavaProcessor(CLIPImageProcessor(), tokenizer, chat_template=template))


@pytest.mark.parametrize("images", [False, True])
@pytest.mark.parametrize("name", TEMPLATES)
def test_answers_and_their_end_are_found(name, images):
    rendered = chat(TEMPLATES[name], images=images).render_answers(TWO_TURNS)
    assert [rendered.text[start:end] for start, end in rendered.answers] == ANSWERS[name]


@pytest.mark.parametrize("name", ["marked", "marked, end outside", "unmarked", "no end of turn"])
def test_prompt_and_answer_join_to_the_conversation(name):
    """What a host reads before it answers is what stood before the answer in training."""
    host_format = chat(TEMPLATES[name])
    prompt = host_format.render(TWO_TURNS[:3], add_generation_prompt=True)
    text, answers = host_format.render_answers(TWO_TURNS)
    assert text[: answers[-1][0]] == prompt


def test_answer_that_cannot_be_told_apart_is_refused():
    same = (*TWO_TURNS[:1], Message("assistant", ("box",)), *TWO_TURNS[2:])
    with pytest.raises(DataError, match=r"messages\[1\] .'box'. cannot be told apart"):
        chat(TEMPLATES["thinks before the last"]).render_answers(same)


def test_refusal_of_the_template_is_passed_on():
    refusal = "{{ raise_exception('no system turn') }}"
    template = "{% if messages[0].role == 'system' %}" + refusal + "{% endif %}</s>"
    strict = chat(template)
    with pytest.raises(
        DataError, match=r"refuses the turns .system, user.: no system turn; change"
    ):
        strict.render((Message("system", ("be short",)), Message("user", ("hi",))))


def test_bos_is_never_doubled():
    with_bos = chat(TEMPLATES["marked"], images=True)
    without = chat(TEMPLATES["unmarked"], images=True)
    assert not with_bos.adds_special_tokens(with_bos.render(TWO_TURNS))
    assert without.adds_special_tokens(without.render(TWO_TURNS))
    text_only = chat(TEMPLATES["unmarked"])
    assert not text_only.adds_special_tokens(text_only.render(TWO_TURNS))


def test_host_without_template_or_end_is_refused():
    with pytest.raises(BackboneError, match=r"has no chat template; give a `processor`"):
        chat(None)
    tokenizer = chat_tokenizer()
    tokenizer.chat_template = TEMPLATES["no end of turn"]
    tokenizer.eos_token = None
    with pytest.raises(BackboneError, match=r"so it cannot learn to stop"):
        ChatFormat(tokenizer)
