"""Prompts for a generative host, and which tokens a continuation adds to them."""

from collections.abc import Sequence
from typing import NamedTuple

from PIL.Image import Image

from vlft.data.chat import ChatFormat
from vlft.errors import EvaluationError
from vlft.types import Message, Prompt


class Continued(NamedTuple):
    """A prompt with a continuation.

    Attributes:
        text: Both, ending with the continuation's last letter.
        tail: Ids of the tokens that the continuation adds.
    """

    text: str
    tail: list[int]


def ordered_images(prompt: Prompt) -> list[Image]:
    """Return the images in the order in which the turns name them."""
    pieces = [piece for message in prompt.messages for piece in message.content]
    return [prompt.images[piece] for piece in pieces if isinstance(piece, int)]


def check_prompt(prompt: Prompt, *, placeholders: Sequence[str]) -> None:
    """Refuse what the host would misread.

    Args:
        prompt: The prompt.
        placeholders: Tokens that stand for images in this host; none for text-only hosts.

    Raises:
        EvaluationError: An image for a text-only host, or the placeholder inside the text.
    """
    if not placeholders and prompt.images:
        raise EvaluationError("the host takes text only, and the prompt has an image")
    texts = [piece for turn in prompt.messages for piece in turn.content if isinstance(piece, str)]
    for token in placeholders:
        if any(token in text for text in texts):
            raise EvaluationError(
                f"the prompt's text holds {token!r}, which stands for an image in this host: "
                "leave it out; images are passed beside the text"
            )


def continued(chat: ChatFormat, prompt: Prompt, continuation: str) -> Continued:
    """Write a prompt with a continuation as the assistant's turn.

    The template decides what stands between the two, as in training. Its end-of-turn token is left
    out. Where prompt and continuation meet inside one token, that token is the continuation's.

    Raises:
        EvaluationError: The continuation is empty, or the template does not write it as it is.
    """
    start = chat.render(prompt.messages, add_generation_prompt=True)
    whole = chat.render((*prompt.messages, Message("assistant", (continuation,))))
    found = whole.find(continuation, len(start)) if whole.startswith(start) else -1
    if not continuation.strip() or found < 0:
        raise EvaluationError(
            f"the continuation {continuation!r} cannot be scored: it is empty, or the host's chat "
            "template rewrites it"
        )
    text = whole[: found + len(continuation)]
    before = chat.tokenizer(whole[:found], add_special_tokens=False)["input_ids"]
    after = chat.tokenizer(text, add_special_tokens=False)["input_ids"]
    pairs = zip(before, after, strict=False)
    common = next((place for place, (a, b) in enumerate(pairs) if a != b), len(before))
    return Continued(text, after[common:])
