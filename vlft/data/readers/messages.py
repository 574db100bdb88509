r"""Messages: rows with ``messages`` (role, content) and ``images``.

``{"id": "7", "messages": [{"role": "user", "content": "<image>\nWhat is it?"}, ...],
"images": ["a.jpg"]}``; content may also be a list of parts as chat templates and OpenAI's API take
them, with images inside the list.
"""

from vlft.data.readers.fields import Pictures, conversation
from vlft.data.readers.rows import Rows, listed
from vlft.data.readers.turns import ROLE_CONTENT, read_turns
from vlft.data.records import Conversation
from vlft.recipe.data import Messages


class MessagesDataset:
    """Conversations of rows with ``messages``.

    Args:
        section: The recipe's section.

    Raises:
        DataError: The data set cannot be opened, or has no column ``messages``.
    """

    def __init__(self, section: Messages) -> None:
        self.name = section.path
        self._rows = Rows(section, {"type": "messages"})  # another name is another format

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Conversation:
        """Read one row.

        Raises:
            RecordError: The row does not have the form above.
        """
        row = self._rows[index]
        turns = row.turns("messages")
        images = row.place.typed(listed(row.values.get("images") or []), list, "images")
        pictures = Pictures(row.images(images, "images"))
        messages = read_turns(row, turns, "messages", pictures, ROLE_CONTENT)
        meta = row.meta(("messages", "images"))
        return conversation(row.place, messages, pictures, fields=("messages", "images"), meta=meta)
