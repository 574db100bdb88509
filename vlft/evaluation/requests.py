"""What a benchmark asks a model: a few kinds of requests, each with a key that names its content.

Requests hold texts and references to images, so that a whole benchmark can be laid out, made unique
and compared with a log before anything is decoded. Two requests with one key have one answer.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from hashlib import sha256
from typing import Any, TypeAlias

import numpy as np

from vlft.data.images import check_image, open_image
from vlft.data.records import ImageRef
from vlft.types import Likelihood, Message, Prompt


class once:  # noqa: N801  reads like functools.cached_property
    """A property that is computed once.

    That of functools takes a lock in Python 3.11, which costs more than what is computed here.
    """

    def __init__(self, compute: Callable[[Any], Any]) -> None:
        self.compute = compute
        self.name = compute.__name__
        self.__doc__ = compute.__doc__

    def __get__(self, owner: Any, kind: type | None = None) -> Any:
        """Compute the value, and leave it where it is found first from now on."""
        value = owner.__dict__[self.name] = self.compute(owner)
        return value


TEXTS_PER_IMAGE = 4
"""Texts that share a batch where one image would: a text tower sees far fewer tokens."""


@dataclass(frozen=True)
class Picture:
    """An image, and the record that it came with.

    Attributes:
        ref: Where the image is.
        dataset: Name of the benchmark, for messages.
        record_id: Id of the record, for messages.
        number: Which of the record's images it is.
        max_pixels: A larger image is refused before it is decoded (width times height).
    """

    ref: ImageRef
    dataset: str
    record_id: str
    number: int
    max_pixels: int

    @once
    def identity(self) -> list[str | float]:
        """What tells it from other images of one data set: file or content, and the part of it.

        A drawn image is told by its record, unless its content is known.
        """
        if self.ref.path is not None:
            source = f"file:{self.ref.root}/{self.ref.path}"
        elif self.ref.data is not None:
            source = f"sha256:{sha256(self.ref.data).hexdigest()}"
        else:
            source = self.ref.content or f"drawn:{self.record_id}/{self.number}"
        return [source, *(self.ref.box or ())]

    def check(self) -> None:
        """Look at the image without decoding it, unless its bytes lie in a row.

        Raises:
            RecordError: It is bad, or too large.
        """
        if self.ref.content is not None:
            self.open()
        check_image(
            self.ref, dataset=self.dataset, record_id=self.record_id, max_pixels=self.max_pixels
        )

    def open(self) -> Any:
        """Decode the image.

        Raises:
            RecordError: It is bad, or too large.
        """
        return open_image(
            self.ref,
            dataset=self.dataset,
            record_id=self.record_id,
            max_pixels=self.max_pixels,
        )


@dataclass(frozen=True)
class Asked:
    """A prompt whose images are not decoded yet.

    Attributes:
        messages: The turns; the last one is the user's.
        pictures: Images that the turns refer to by index.
    """

    messages: tuple[Message, ...]
    pictures: tuple[Picture, ...] = ()

    def open(self) -> Prompt:
        """Decode the images.

        Raises:
            RecordError: One of them is bad, or too large.
        """
        return Prompt(self.messages, tuple(picture.open() for picture in self.pictures))


class Request:
    """Base of all kinds; its fields are all that its answer depends on, beside the model."""

    @once
    def key(self) -> str:
        """Sixteen bytes of a hash, as text: equal for equal requests only."""
        text = ascii((type(self).__name__, _content(self)))  # a third of the time of JSON
        return sha256(text.encode()).hexdigest()[:32]

    @property
    def pictures(self) -> list[Picture]:
        """Its images."""
        return [part for part in _parts(self) if isinstance(part, Picture)]

    @once
    def has_images(self) -> bool:
        """Whether there is any image in it."""
        return bool(self.pictures)

    @once
    def length(self) -> int:
        """Characters of its texts, for batches of alike lengths."""
        return sum(len(part) for part in _parts(self) if isinstance(part, str))

    @property
    def batched_with(self) -> tuple[str | int, ...]:
        """Requests may share a batch where this is equal."""
        return type(self).__name__, self.has_images


@dataclass(frozen=True)
class Generate(Request):
    """Continue a prompt with text; answered by ``str``."""

    asked: Asked
    max_new_tokens: int

    @property
    def batched_with(self) -> tuple[str | int, ...]:
        """Requests may share a batch where this is equal."""
        return (*super().batched_with, self.max_new_tokens)


@dataclass(frozen=True)
class Score(Request):
    """Give the log-likelihood of continuations; answered by a ``Likelihood`` for each."""

    asked: Asked
    continuations: tuple[str, ...]


@dataclass(frozen=True)
class EmbedPrompt(Request):
    """Embed a prompt with its images; answered by a vector of unit length.

    Attributes:
        asked: The prompt.
        chat_template: Whether the host's template writes the turns.
    """

    asked: Asked
    chat_template: bool

    @property
    def batched_with(self) -> tuple[str | int, ...]:
        """Requests may share a batch where this is equal."""
        return (*super().batched_with, self.chat_template)


@dataclass(frozen=True)
class EmbedImage(Request):
    """Embed an image; answered by a vector of unit length."""

    picture: Picture


@dataclass(frozen=True)
class EmbedText(Request):
    """Embed a text; answered by a vector of unit length."""

    text: str


@dataclass(frozen=True)
class Classify(Request):
    """Give class scores of an image; answered by a vector of logits."""

    picture: Picture


@dataclass(frozen=True)
class ClassNames(Request):
    """Name the classes, in the order of the logits; answered by a list of texts as JSON."""


Answer: TypeAlias = str | tuple[Likelihood, ...] | np.ndarray
"""Of the kind that the request says."""


def _content(value: Any) -> Any:
    """Return what a request consists of as plain values."""
    if isinstance(value, Picture):
        return value.identity
    if isinstance(value, tuple):
        return [_content(part) for part in value]
    names = _fields(type(value))
    return value if names is None else [_content(getattr(value, name)) for name in names]


def _parts(value: Any) -> Iterator[Any]:
    """Yield the pictures, texts and numbers of a request."""
    names = None if isinstance(value, Picture) else _fields(type(value))
    if isinstance(value, tuple):
        for part in value:
            yield from _parts(part)
    elif names is None:
        yield value
    else:
        for name in names:
            yield from _parts(getattr(value, name))


@cache
def _fields(kind: type) -> tuple[str, ...] | None:
    """Return the names of a record's fields; None of what is no record."""
    return tuple(field.name for field in fields(kind)) if is_dataclass(kind) else None
