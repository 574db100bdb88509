r"""LLaVA's JSON: a list of records with ``conversations`` (from, value) and ``image``.

``[{"id": "7", "image": "a.jpg", "conversations": [{"from": "human", "value": "<image>\nWhat is
it?"}, {"from": "gpt", "value": "A cat."}]}]``; ``image`` may be a list, or absent for text alone.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from vlft.data.readers.fields import Place, conversation, image_root, json_row, marked_text
from vlft.data.readers.rows import existing_file, json_items
from vlft.data.records import Conversation, ImageRef
from vlft.recipe.data import LlavaJson
from vlft.types import Message

_ROLES: dict[str, Literal["system", "user", "assistant"]] = {
    "system": "system",
    "human": "user",
    "gpt": "assistant",
}


class LlavaJsonDataset:
    """Conversations of a LLaVA JSON file.

    Args:
        section: The recipe's section.

    Raises:
        DataError: The file does not exist or is no JSON list.
    """

    def __init__(self, section: LlavaJson) -> None:
        path = existing_file(section.path)
        self.name = section.path
        self._root = image_root(path, section.image_root)
        self._rows = json_items(path, limit=section.limit)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Conversation:
        """Read one item.

        Raises:
            RecordError: The item does not have the form above.
        """
        record, place = json_row(self._rows, index, dataset=self.name)
        turns = place.need(record, "conversations", list)
        numbers = itertools.count()
        messages = [
            _message(place, turn, f"conversations[{i}]", numbers) for i, turn in enumerate(turns)
        ]
        named = record.get("image")
        paths = [] if named is None else named if isinstance(named, list) else [named]
        images = [
            ImageRef(path=Path(place.typed(path, str, "image")), root=self._root) for path in paths
        ]
        meta = {
            key: value
            for key, value in record.items()
            if key not in ("id", "conversations", "image")
        }
        return conversation(place, messages, images, fields=("conversations", "image"), meta=meta)


def _message(place: Place, turn: Any, field: str, images: Iterator[int]) -> Message:
    turn = place.typed(turn, dict, field)
    speaker = place.need(turn, "from", str, inside=field)
    if speaker not in _ROLES:
        raise place.wrong(f"{field}.from", speaker, " | ".join(_ROLES))
    text = place.need(turn, "value", str, inside=field)
    return Message(_ROLES[speaker], marked_text(text, images))
