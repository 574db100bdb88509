"""Prompts for a generative host, and which tokens a continuation adds to them."""

from collections.abc import Sequence
from typing import NamedTuple

from PIL.Image import Image

from vlft.data.chat import ChatFormat
from vlft.errors import EvaluationError
from vlft.types import Message, Prompt


class Continued(NamedTuple):
    """A prompt with one or several continuations, as one row of a forward pass.

    Attributes:
        text: The prompt and its continuation, ending with the continuation's last letter; of
            continuations of one token each, what comes before them, which is the same for all.
        tails: Ids of the tokens that each continuation adds; several only where each is one token
            that comes right after ``text``.
        places: Which continuations these are.
        shared: Whether the tails come after ``text``, and are not its end.
        ending: Ids of the last tokens of ``text``.
    """

    text: str
    tails: list[list[int]]
    places: list[int]
    shared: bool
    ending: list[int]


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


def continued(chat: ChatFormat, prompt: Prompt, continuations: Sequence[str]) -> list[Continued]:
    """Write a prompt with continuations as the assistant's turn, in as few rows as possible.

    The template decides what stands between the two, as in training. Its end-of-turn token is left
    out. Where prompt and continuation meet inside one token, that token is the continuation's.
    Continuations of one token, such as letters, are read off one row.

    Raises:
        EvaluationError: A continuation is empty, or the template does not write it as it is.
    """
    start = chat.render(prompt.messages, add_generation_prompt=True)
    written = [_written(chat, prompt, start, continuation) for continuation in continuations]
    prefixes = list(dict.fromkeys(prefix for prefix, _ in written))
    texts = [*prefixes, *(text for _, text in written)]
    tokens = chat.tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
    before = dict(zip(prefixes, tokens, strict=False))
    shared: dict[str, Continued] = {}
    alone: list[Continued] = []
    for place, ((prefix, text), after) in enumerate(
        zip(written, tokens[len(prefixes) :], strict=True)
    ):
        pairs = zip(before[prefix], after, strict=False)
        common = next((at for at, (a, b) in enumerate(pairs) if a != b), len(before[prefix]))
        tail = after[common:]
        if len(tail) == 1 and common == len(before[prefix]):
            row = shared.setdefault(
                prefix, Continued(prefix, [], [], shared=True, ending=after[common - 1 : common])
            )
            row.tails.append(tail)
            row.places.append(place)
        else:
            alone.append(Continued(text, [tail], [place], shared=False, ending=tail))
    return [*shared.values(), *alone]


def _written(chat: ChatFormat, prompt: Prompt, start: str, continuation: str) -> tuple[str, str]:
    """Return the text before a continuation, and the text that ends with it."""
    whole = chat.render((*prompt.messages, Message("assistant", (continuation,))))
    found = whole.find(continuation, len(start)) if whole.startswith(start) else -1
    if not continuation.strip() or found < 0:
        raise EvaluationError(
            f"the continuation {continuation!r} cannot be scored: it is empty, or the host's "
            "chat template rewrites it"
        )
    return whole[:found], whole[: found + len(continuation)]


def image_markup(chat: ChatFormat) -> str:
    """Return what the host's chat template writes for an image, without blanks around it."""
    text = chat.render([Message("user", (_PROBE,))]).partition(_PROBE)[0]
    shown = chat.render([Message("user", (0, _PROBE))]).partition(_PROBE)[0]
    if shown.endswith(text):  # the image comes before everything else
        return shown.removesuffix(text).strip()
    pairs = enumerate(zip(text, shown, strict=False))
    start = next((at for at, (one, other) in pairs if one != other), len(text))
    return shown[start:].strip()


_PROBE = "vlftprobe"
