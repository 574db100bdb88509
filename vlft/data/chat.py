"""Conversations as text: the host's chat template, and which characters of it the loss may see."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from jinja2 import TemplateError
from transformers.utils.chat_template_utils import render_jinja_template

from vlft.backbones.processors import tokenizer_of
from vlft.data.process import is_processor
from vlft.errors import BackboneError, DataError
from vlft.types import Message

Span = tuple[int, int]
"""Start and end of a piece of text, in characters."""

_ANSWER = "vlftprobe"  # stands for an answer when the template is asked how one ends


class Rendered(NamedTuple):
    """A conversation as text.

    Attributes:
        text: What is tokenized; one placeholder per image.
        answers: The assistant's answers, each with its end-of-turn token.
    """

    text: str
    answers: tuple[Span, ...]


class ChatFormat:
    """The chat template of a host.

    Answers are found by the template's own ``{% generation %}`` marks, or, where it has none, by
    rendering the turns before an answer as a prompt and the turns up to it, and comparing.

    Args:
        processor: A transformers processor, or a tokenizer for text-only hosts.

    Raises:
        BackboneError: The host has no chat template, or nothing that could end an answer.
    """

    def __init__(self, processor: Any) -> None:
        self.takes_images = is_processor(processor)
        self.tokenizer: Any = tokenizer_of(processor)
        self.template = _template(processor)
        self._marks_answers = re.search(r"\{%-?\s*generation\s*-?%\}", self.template) is not None
        self._variables: dict[str, Any] = self.tokenizer.special_tokens_map
        asked = [Message("user", ("x",))]
        self._opens_turn = self.render(asked) != self.render(asked, add_generation_prompt=True)
        self.end_of_turn = self._end_of_turn()
        """The token the template puts after the last answer; empty when it puts none."""
        if not self.end_of_turn and self.tokenizer.eos_token is None:
            raise BackboneError(
                "the host's chat template puts no token after an answer and its tokenizer has no "
                "eos_token, so it cannot learn to stop; give a `processor` whose tokenizer has one"
            )

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool = False) -> str:
        """Render turns to text, with the opening of the assistant's turn when asked.

        Raises:
            DataError: The template refuses the turns.
        """
        return self._render(messages, add_generation_prompt=add_generation_prompt)[0]

    def render_answers(self, messages: Sequence[Message]) -> Rendered:
        """Render a whole conversation and find the answers in it.

        A host whose template ends no answer learns to stop by its ``eos_token``, which is put after
        the last answer.

        Raises:
            DataError: The template refuses the turns, or an answer cannot be told apart.
        """
        if self._marks_answers:
            text, spans = self._render(messages, marked=True)
        else:
            text = self.render(messages)
            spans = self._compare(messages, text)
        answers = [self._with_end_of_turn(text, span) for span in spans]
        if answers and not self.end_of_turn and messages[-1].role == "assistant":
            start, end = answers[-1]
            text = text[:end].rstrip() + self.tokenizer.eos_token
            answers[-1] = (start, len(text))
        return Rendered(text, tuple(answers))

    def adds_special_tokens(self, text: str) -> bool:
        """Whether the tokenizer should add its own special tokens (transformers' convention).

        A processor adds them unless the template wrote the BOS token; a tokenizer leaves them to
        the template. So a BOS token is never doubled.
        """
        bos = self.tokenizer.bos_token
        return self.takes_images and not (bos is not None and text.startswith(bos))

    def _render(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = False,
        marked: bool = False,
    ) -> tuple[str, list[Span]]:
        try:
            # The annotation says str; what comes back is a list of texts and one of spans.
            rendered: Any = render_jinja_template(
                conversations=[[self._plain(message) for message in messages]],
                chat_template=self.template,
                add_generation_prompt=add_generation_prompt,
                return_assistant_tokens_mask=marked,
                **self._variables,
            )
        except TemplateError as error:
            roles = ", ".join(message.role for message in messages)
            raise DataError(
                f"the host's chat template refuses the turns ({roles}): {error}; change the roles "
                "or give a `processor` with another template"
            ) from error
        texts, spans = rendered
        return texts[0], spans[0] if marked else []

    def _plain(self, message: Message) -> dict[str, Any]:
        """A turn as templates expect it: content lists for processors, text for tokenizers."""
        if not self.takes_images:
            return {"role": message.role, "content": "".join(map(str, message.content))}
        parts = [
            {"type": "text", "text": part} if isinstance(part, str) else {"type": "image"}
            for part in message.content
        ]
        return {"role": message.role, "content": parts}

    def _end_of_turn(self) -> str:
        probe = [Message("user", ("x",)), Message("assistant", (_ANSWER,))]
        text = self.render(probe)
        tail = text[text.rfind(_ANSWER) + len(_ANSWER) :].lstrip()
        tokens = {*self.tokenizer.all_special_tokens, *self.tokenizer.get_added_vocab()}
        return max((token for token in tokens if tail.startswith(token)), key=len, default="")

    def _with_end_of_turn(self, text: str, span: Span) -> Span:
        """Stretch or trim an answer so that it ends with the end-of-turn token."""
        start, end = span
        if not self.end_of_turn:
            return span
        body = text[start:end].rstrip()
        if body.endswith(self.end_of_turn):
            return start, start + len(body)
        rest = text[end:].lstrip()
        if rest.startswith(self.end_of_turn):
            return start, len(text) - len(rest) + len(self.end_of_turn)
        return span

    def _compare(self, messages: Sequence[Message], text: str) -> list[Span]:
        spans = []
        after = 0
        for index, message in enumerate(messages):
            if message.role != "assistant":
                continue
            answer = "".join(part for part in message.content if isinstance(part, str)).strip()
            span = self._by_prefix(messages, index, text) or _only(answer, text, after)
            if span is None:
                raise DataError(
                    f"the answer in messages[{index}] ({answer[:40]!r}) cannot be told apart in "
                    "the rendered conversation, because the host's chat template rewrites earlier "
                    "turns; give a `processor` whose template has {% generation %} marks"
                )
            if not self._opens_turn:
                # What the template writes before an answer is then part of the span: leave it out.
                span = (max(span[0], text.find(answer, *span)), span[1])
            spans.append(span)
            after = span[1]
        return spans

    def _by_prefix(self, messages: Sequence[Message], index: int, text: str) -> Span | None:
        if index == 0:
            return None
        prompt = self.render(messages[:index], add_generation_prompt=True)
        last = index == len(messages) - 1
        turns = text if last else self.render(messages[: index + 1])
        nested = turns.startswith(prompt) and text.startswith(turns)
        return (len(prompt), len(turns)) if nested else None


def _template(processor: Any) -> str:
    template = processor.chat_template
    if isinstance(template, dict):
        template = template.get("default")
    if template is None:
        raise BackboneError(
            f"the host's {type(processor).__name__} has no chat template; give a `processor` that "
            "has one"
        )
    return template


def _only(answer: str, text: str, after: int) -> Span | None:
    """Where an answer stands in the text, if in one place only."""
    if not answer or text.count(answer, after) != 1:
        return None
    start = text.index(answer, after)
    return start, start + len(answer)
