"""What readers share: checks that name file, row, field, value and expectation; image marks."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from vlft.data.records import Conversation, ImageRef
from vlft.errors import RecordError
from vlft.types import Message

MARK = "<image>"
"""Stands in a text where an image belongs."""

Value = TypeVar("Value")

_NAMES: Mapping[type, str] = {
    str: "text",
    int: "a whole number",
    list: "a list",
    dict: "an object",
}


@dataclass(frozen=True)
class Place:
    """Where a value stands, for messages.

    Attributes:
        dataset: The data set's name: its file.
        row: Line, item or key in the file.
        record_id: The record's id; the row where it has none.
    """

    dataset: str
    row: str
    record_id: str

    def error(self, problem: str) -> RecordError:
        """An error about this record, naming the row when the id does not."""
        where = "" if self.row == self.record_id else f"{self.row}, "
        return RecordError(where + problem, dataset=self.dataset, record_id=self.record_id)

    def wrong(self, field: str, value: object, expected: str) -> RecordError:
        """An error about the value of a field."""
        return self.error(f"field `{field}`: found {shown(value)}, expected {expected}")

    def need(
        self, fields: Mapping[str, Any], key: str, kind: type[Value], *, inside: str = ""
    ) -> Value:
        """Return a field that must be there with a value of a type.

        Args:
            fields: The object that has the field.
            key: The field.
            kind: Type of its value.
            inside: Where the object stands in the record, such as ``messages[0]``.

        Raises:
            RecordError: The field is missing or of another type.
        """
        name = f"{inside}.{key}" if inside else key
        if key not in fields:
            there = ", ".join(map(str, fields)) or "nothing"
            raise self.error(
                f"field `{name}` is missing, expected {_NAMES[kind]}; there is: {there}"
            )
        return self.typed(fields[key], kind, name)

    def typed(self, value: object, kind: type[Value], field: str) -> Value:
        """Return a value that must have a type.

        Raises:
            RecordError: It has another one.
        """
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.wrong(field, value, _NAMES[kind])
        return value


def shown(value: object) -> str:
    """A value as it stands in the file, shortened."""
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= 60 else f"{text[:57]}..."


def marked_text(text: str, images: Iterator[int]) -> tuple[str | int, ...]:
    """Split a text at its image marks.

    One line break beside a mark belongs to the mark: how images and text are set apart is the
    business of the host's chat template.

    Args:
        text: Text with ``<image>`` marks.
        images: Gives the index of the next image.

    Returns:
        Pieces of text and indices of images; empty pieces are left out.
    """
    first, *others = text.split(MARK)
    pieces: list[str | int] = [first.removesuffix("\n") if others else first]
    for number, piece in enumerate(others, start=1):
        after = piece.removeprefix("\n")
        pieces += [next(images), after if number == len(others) else after.removesuffix("\n")]
    return tuple(piece for piece in pieces if piece != "")


class Pictures(Iterator[int]):
    """The images of a row, numbered in the order in which its turns name them.

    Args:
        listed: Images that stand in a column of their own; each ``<image>`` mark means the next.
    """

    def __init__(self, listed: Sequence[ImageRef]) -> None:
        self.listed = tuple(listed)
        self.used: list[ImageRef] = []
        self.marks = 0

    def __next__(self) -> int:
        """Number the next listed image, for a mark."""
        self.marks += 1
        # A mark too many is told by ``conversation``, once all are counted.
        return self.inline(self.listed[min(self.marks, len(self.listed)) - 1]) if self.listed else 0

    def inline(self, image: ImageRef) -> int:
        """Number an image that stands in a turn itself."""
        self.used.append(image)
        return len(self.used) - 1


def conversation(
    place: Place,
    messages: Sequence[Message],
    pictures: Pictures,
    *,
    fields: tuple[str, str],
    meta: Mapping[str, Any],
) -> Conversation:
    """Join checked parts to a record.

    Where no turn names an image, the listed ones stand before the first question, as in TRL and
    ms-swift.

    Args:
        place: Where the record stands.
        messages: Its turns.
        pictures: Its images.
        fields: What the format calls turns and images.
        meta: What else it says.

    Raises:
        RecordError: Marks and images differ in number, or there is no answer to learn.
    """
    turns, images = fields
    if pictures.listed and not pictures.marks and any(turn.role == "user" for turn in messages):
        messages = _images_first(messages, len(pictures.listed))
        pictures.used = [*pictures.listed, *pictures.used]
    elif pictures.marks != len(pictures.listed):
        raise place.error(
            f"placeholder mismatch: found {pictures.marks} {MARK} marks in `{turns}`, expected "
            f"{len(pictures.listed)}, one for each image in `{images}`"
        )
    answers = [index for index, message in enumerate(messages) if message.role == "assistant"]
    if not answers:
        raise place.error(f"field `{turns}`: found no answer, expected at least one assistant turn")
    for index in answers:
        if not any(isinstance(part, str) and part.strip() for part in messages[index].content):
            raise place.error(
                f"field `{turns}[{index}]`: found an empty answer, expected text (there would be "
                "nothing to learn but silence)"
            )
    return Conversation(place.record_id, tuple(messages), tuple(pictures.used), meta)


def _images_first(messages: Sequence[Message], number: int) -> list[Message]:
    first = next(index for index, turn in enumerate(messages) if turn.role == "user")
    moved = [
        replace(turn, content=tuple(p + number if isinstance(p, int) else p for p in turn.content))
        for turn in messages
    ]
    moved[first] = replace(moved[first], content=(*range(number), *moved[first].content))
    return moved
