"""The canonical records: conversations, image-text pairs, labeled images, or rankings.

A record is light: text, and references to images that are opened in the data-loading workers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from PIL.Image import Image

from vlft.types import Message


@dataclass(frozen=True)
class ImageRef:
    """Where an image comes from: exactly one of ``path``, ``data`` and ``draw``.

    Attributes:
        path: A file, as the data set names it.
        root: Folder that ``path`` is relative to and may not leave.
        data: The bytes of an image file.
        draw: Gives the RGB image. It must pickle (a partial of a module-level function does), since
            it is called in the workers.
        box: Left, top, right and bottom edge of the part that is meant, in pixels of the upright
            image; None: all of it. What lies outside of the image is black.
        content: What tells a drawn image from others; None: it is one of its own.
    """

    path: Path | None = None
    root: Path | None = None
    data: bytes | None = None
    draw: Callable[[], Image] | None = None
    box: tuple[float, float, float, float] | None = None
    content: str | None = None

    def __post_init__(self) -> None:
        given = sum(source is not None for source in (self.path, self.data, self.draw))
        assert given == 1, f"an ImageRef has exactly one source, not {given}"
        assert self.path is None or self.root is not None, "a path needs the root it may not leave"


@dataclass(frozen=True)
class Conversation:
    """Turns of text and images that end with, or contain, the assistant's answers.

    Attributes:
        id: Names the record in messages to the user.
        messages: The turns; images are indices into ``images``.
        images: Every image that the turns name, in order.
        meta: What else the data set says, as plain values.
    """

    id: str
    messages: tuple[Message, ...]
    images: tuple[ImageRef, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Pair:
    """An image and a text that describes it.

    Attributes:
        id: Names the record in messages to the user.
        image: The image.
        text: Its caption.
        meta: What else the data set says, as plain values.
    """

    id: str
    image: ImageRef
    text: str
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Labeled:
    """An image and the class that it belongs to.

    Attributes:
        id: Names the record in messages to the user.
        image: The image.
        label: Name of its class.
        meta: What else the data set says, as plain values.
    """

    id: str
    image: ImageRef
    label: str
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Item:
    """A text, an image, or both.

    Attributes:
        text: As the data set writes it; a mark in it may say where the image belongs.
        image: The image; None: there is none.
        instruction: What the item is for, where the data set keeps that apart from the text; None:
            the text says it.
    """

    text: str
    image: ImageRef | None = None
    instruction: str | None = None


@dataclass(frozen=True, eq=False)
class Ranking:
    """A query and its candidates, of which the first one is right.

    Attributes:
        id: Names the record in messages to the user.
        query: What is asked.
        pool: The different candidates of all queries of a data set, which share it.
        candidates: Places in the pool, at least one; the data set may list a candidate twice.
        meta: What else the data set says, as plain values.
    """

    id: str
    query: Item
    pool: tuple[Item, ...]
    candidates: np.ndarray
    meta: Mapping[str, Any] = field(default_factory=dict)


Record: TypeAlias = Conversation | Pair | Labeled | Ranking


def images_of(record: Record) -> tuple[ImageRef, ...]:
    """The images of a record, in order."""
    if isinstance(record, Conversation):
        return record.images
    if isinstance(record, Ranking):
        items = (record.query, *(record.pool[place] for place in record.candidates))
        return tuple(item.image for item in items if item.image is not None)
    return (record.image,)


def count_of_images(number: int) -> str:
    """Say how many images, for messages."""
    return "1 image" if number == 1 else f"{number} images"


@runtime_checkable
class Records(Protocol):
    """A map-style data set of records; constructing it opens no image."""

    name: str
    """Names the data set in messages to the user."""

    def __len__(self) -> int:
        """Number of records."""
        ...

    def __getitem__(self, index: int) -> Record:
        """Read one record.

        Raises:
            RecordError: The record does not have the declared form.
        """
        ...
