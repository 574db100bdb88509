r"""Messages JSONL: one conversation per line, with ``messages`` and ``images``.

``{"id": "7", "messages": [{"role": "user", "content": "<image>\nWhat is it?"}, ...],
"images": ["a.jpg"]}``; content may also be a list of ``{"type": "image"}`` and
``{"type": "text", "text": ...}``.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vlft.data.readers.fields import Place, conversation, image_root, json_row, marked_text
from vlft.data.readers.rows import existing_file, lines
from vlft.data.records import Conversation, ImageRef
from vlft.recipe.data import Messages
from vlft.types import Message

_ROLES = ("system", "user", "assistant")


class MessagesDataset:
    """Conversations of a JSONL file.

    Args:
        section: The recipe's section.

    Raises:
        DataError: The file does not exist.
    """

    def __init__(self, section: Messages) -> None:
        path = existing_file(section.path)
        self.name = section.path
        self._root = image_root(path, section.image_root)
        self._rows = lines(path, limit=section.limit)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Conversation:
        """Read one line.

        Raises:
            RecordError: The line does not have the form above.
        """
        record, place = json_row(self._rows, index, dataset=self.name)
        turns = place.need(record, "messages", list)
        numbers = itertools.count()
        messages = [
            _message(place, turn, f"messages[{i}]", numbers) for i, turn in enumerate(turns)
        ]
        paths = place.typed(record.get("images") or [], list, "images")
        images = [
            ImageRef(path=Path(place.typed(path, str, f"images[{i}]")), root=self._root)
            for i, path in enumerate(paths)
        ]
        meta = {
            key: value for key, value in record.items() if key not in ("id", "messages", "images")
        }
        return conversation(place, messages, images, fields=("messages", "images"), meta=meta)


def _message(place: Place, turn: Any, field: str, images: Iterator[int]) -> Message:
    turn = place.typed(turn, dict, field)
    role = place.need(turn, "role", str, inside=field)
    if role not in _ROLES:
        raise place.wrong(f"{field}.role", role, " | ".join(_ROLES))
    if isinstance(turn.get("content"), list):
        parts = [
            _part(place, part, f"{field}.content[{i}]", images)
            for i, part in enumerate(turn["content"])
        ]
        return Message(role, tuple(parts))
    return Message(role, marked_text(place.need(turn, "content", str, inside=field), images))


def _part(place: Place, part: Any, field: str, images: Iterator[int]) -> str | int:
    part = place.typed(part, dict, field)
    if part == {"type": "image"}:
        return next(images)
    if part.keys() == {"type", "text"} and part["type"] == "text":
        return place.need(part, "text", str, inside=field)
    expected = '{"type": "text", "text": ...} or {"type": "image"}, whose path stands in `images`'
    raise place.wrong(field, part, expected)
