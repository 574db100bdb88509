"""Turns of a conversation: who speaks, and text and images in the order in which they stand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from vlft.data.readers.fields import Pictures, marked_text
from vlft.data.readers.rows import FormatRow
from vlft.types import Message

Role: TypeAlias = Literal["system", "user", "assistant"]

_TEXT_PART = {"type", "text"}
_IMAGE_PARTS = ("image", "image_url", "input_image")
_IMAGE_KEYS = ("image", "image_url", "path", "url", "bytes", "base64")

_PARTS = (
    '{"type": "text", "text": ...}, {"type": "image"} (whose path stands in a column of its own), '
    '{"type": "image", "image": ...} or {"type": "image_url", "image_url": {"url": ...}}'
)


@dataclass(frozen=True)
class TurnForm:
    """How a format writes a turn.

    Attributes:
        role: Keys that may hold the speaker; the first one that is there counts.
        content: Keys that may hold what is said.
        roles: Name of a speaker to its role.
    """

    role: tuple[str, ...]
    content: tuple[str, ...]
    roles: Mapping[str, Role]


ROLE_CONTENT = TurnForm(
    role=("role",),
    content=("content",),
    roles={"system": "system", "user": "user", "assistant": "assistant"},
)
"""Turns as chat templates and OpenAI's API write them."""


def read_turns(
    row: FormatRow, turns: Sequence[Any], field: str, pictures: Pictures, form: TurnForm
) -> list[Message]:
    """Read the turns of a field.

    Args:
        row: The row they are in.
        turns: The field's value.
        field: Its name.
        pictures: Numbers the images that they name.
        form: How a turn is written.

    Raises:
        RecordError: A turn does not have this form.
    """
    return [
        _message(row, turn, f"{field}[{number}]", pictures, form)
        for number, turn in enumerate(turns)
    ]


def _message(row: FormatRow, turn: Any, field: str, pictures: Pictures, form: TurnForm) -> Message:
    place = row.place
    turn = place.typed(turn, dict, field)
    speaker = place.need(turn, _present(turn, form.role), str, inside=field)
    if speaker not in form.roles:
        expected = " | ".join(form.roles)
        raise place.wrong(f"{field}.{_present(turn, form.role)}", speaker, expected)
    key = _present(turn, form.content)
    content = turn.get(key)
    if isinstance(content, list):
        parts = [
            _part(row, part, f"{field}.{key}[{number}]", pictures)
            for number, part in enumerate(content)
        ]
        return Message(form.roles[speaker], tuple(part for part in parts if part != ""))
    text = place.need(turn, key, str, inside=field)
    return Message(form.roles[speaker], marked_text(text, pictures))


def _part(row: FormatRow, part: Any, field: str, pictures: Pictures) -> str | int:
    place = row.place
    whole = place.typed(part, dict, field)
    # Arrow gives every part of a list the keys of all of them; those of others are null.
    part = {key: value for key, value in whole.items() if value is not None}
    kind = part.get("type")
    if kind == "text" and part.keys() == _TEXT_PART:
        return place.need(part, "text", str, inside=field)
    others = part.keys() - {"type", "index", "detail", *_IMAGE_KEYS}
    if kind not in _IMAGE_PARTS or others:
        raise place.wrong(field, whole, _PARTS)
    inline = next((key for key in _IMAGE_KEYS if key in part), None)
    if inline is not None:
        return pictures.inline(row.image(part[inline], f"{field}.{inline}"))
    number = part.get("index", pictures.marks)  # TRL's data sets count images so
    if number != pictures.marks:
        expected = f"{pictures.marks}: images are named in the order in which they are listed"
        raise place.wrong(f"{field}.index", number, expected)
    return next(pictures)


def _present(turn: Mapping[str, Any], keys: Sequence[str]) -> str:
    return next((key for key in keys if turn.get(key) is not None), keys[0])
