"""What readers share: checks that name file, row, field, value and expectation; image marks."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from vlft.data.readers.rows import Rows
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


def json_row(rows: Rows, index: int, *, dataset: str) -> tuple[dict[str, Any], Place]:
    """Parse a row that must be a JSON object.

    Returns:
        The object, and its place for further messages.

    Raises:
        RecordError: The row is not UTF-8, not JSON, or no object.
    """
    row = rows.place(index)
    place = Place(dataset, row, row)
    try:
        value = json.loads(rows.read(index).decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise place.error(
            f"not UTF-8 text ({error.reason} at byte {error.start}); re-encode it"
        ) from error
    except json.JSONDecodeError as error:
        raise place.error(
            f"not valid JSON: {error.msg} at column {error.colno}; expected one object"
        ) from error
    record = place.typed(value, dict, "record")
    named = record.get("id")
    return record, Place(dataset, row, row if named is None else str(named))


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


def conversation(
    place: Place,
    messages: list[Message],
    images: list[ImageRef],
    *,
    fields: tuple[str, str],
    meta: Mapping[str, Any],
) -> Conversation:
    """Join checked parts to a record.

    Args:
        place: Where the record stands.
        messages: Its turns.
        images: Its images.
        fields: What the format calls turns and images.
        meta: What else it says.

    Raises:
        RecordError: Marks and images differ in number, or there is no answer to learn.
    """
    turns, pictures = fields
    marks = sum(isinstance(part, int) for message in messages for part in message.content)
    if marks != len(images):
        raise place.error(
            f"placeholder mismatch: found {marks} {MARK} marks in `{turns}`, expected "
            f"{len(images)}, one for each image in `{pictures}`"
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
    return Conversation(place.record_id, tuple(messages), tuple(images), meta)


def image_root(file: Path, given: str | None) -> Path:
    """The folder that image paths are relative to and may not leave."""
    return file.parent if given is None else Path(given).expanduser()
