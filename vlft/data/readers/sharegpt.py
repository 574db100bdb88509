r"""ShareGPT's form, as LLaMA-Factory and ms-swift read it; LLaVA's JSON is the oldest case of it.

``{"conversations": [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value":
"A cat."}], "images": ["a.jpg"], "system": "Be short."}``
"""

from collections.abc import Collection, Sequence

from vlft.data.readers.fields import Pictures, conversation
from vlft.data.readers.rows import FormatRow, Rows
from vlft.data.readers.turns import Role, TurnForm, read_turns
from vlft.data.records import Conversation
from vlft.errors import DataError
from vlft.recipe.data import LlavaJson, ShareGpt
from vlft.types import Message


class ShareGptDataset:
    """Conversations of rows in ShareGPT's form.

    Args:
        section: The recipe's section.

    Raises:
        DataError: The data set cannot be opened, or lacks a column.
    """

    def __init__(self, section: ShareGpt) -> None:
        named = {
            setting: column
            for setting in ("messages_column", "images_column", "system_column")
            if (column := getattr(section, setting)) is not None
        }
        self.name = section.path
        self._rows = Rows(section, named)
        self._named = named
        self._turns = _names(section.messages_column, "conversations", "messages")
        self._images = _names(section.images_column, "images", "image")
        self._system = section.system_column or "system"
        self._form = TurnForm(
            role=_names(section.role_tag, "from", "role"),
            content=_names(section.content_tag, "value", "content"),
            roles=_roles(section),
        )
        there = self._rows.columns
        if there is not None and not set(there) & set(self._turns):
            raise DataError(
                f"{self.name}: found no column with the turns ({' or '.join(self._turns)}); there "
                f"is: {', '.join(there)}; set `messages_column`"
            )

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Conversation:
        """Read one row.

        Raises:
            RecordError: The row does not have the form above.
        """
        row = self._rows[index]
        for setting, column in self._named.items():
            row.get(column, setting=setting)
        turns, images = _present(row, self._turns), _present(row, self._images)
        pictures = Pictures(row.images(row.values.get(images), images))
        messages = read_turns(row, row.turns(turns), turns, pictures, self._form)
        system = row.place.typed(row.values.get(self._system) or "", str, self._system)
        if system.strip():
            messages = [Message("system", (system,)), *messages]
        return conversation(
            row.place,
            messages,
            pictures,
            fields=(turns, images),
            meta=row.meta((turns, images, self._system)),
        )


def llava_json(section: LlavaJson) -> ShareGptDataset:
    """Read LLaVA's JSON: ``conversations`` of ``human`` and ``gpt``, and ``image``.

    Raises:
        DataError: The data set cannot be opened, or lacks a column.
    """
    common = section.model_dump(exclude={"type"})
    return ShareGptDataset(
        ShareGpt(
            type="sharegpt",
            role_tag="from",
            content_tag="value",
            user_tag="human",
            assistant_tag="gpt",
            **common,
        )
    )


def _names(given: str | None, *usual: str) -> tuple[str, ...]:
    return usual if given is None else (given,)


def _roles(section: ShareGpt) -> dict[str, Role]:
    roles: dict[str, Role] = {section.system_tag: "system"}
    for name in _names(section.user_tag, "human", "user"):
        roles[name] = "user"
    for name in _names(section.assistant_tag, "gpt", "assistant"):
        roles[name] = "assistant"
    return roles


def _present(row: FormatRow, names: Sequence[str]) -> str:
    """The first of several names that the row has, or the first one."""
    there: Collection[str] = row.values
    return next((name for name in names if name in there), names[0])
