"""MMRA (arXiv 2407.17379): a question about two images, with three or four options or yes and no.

Columns: ``Task``, ``QA_type``, ``question``, ``image1``, ``image2``, ``options`` (the text of a
Python dict from letters to texts, or null) and ``answer`` (a letter, or Yes or No). Rows have no
id: a record's id is the number of its row, the first one's 0, in the order of the files' names.
"""

import ast
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from vlft.data.readers.fields import Place
from vlft.data.readers.rows import Rows
from vlft.data.records import Conversation
from vlft.errors import near
from vlft.recipe.data.benchmarks import Mmra
from vlft.types import Message


class Subtask(NamedTuple):
    """One of the eleven subtasks.

    Attributes:
        short: Abbreviation in the paper's table.
        level: ``entity``: about single objects; ``image``: about images as wholes.
    """

    short: str
    level: str


SUBTASKS: dict[str, Subtask] = {
    "RelativePosition": Subtask("RP", "entity"),
    "UsageSimilarity": Subtask("US", "entity"),
    "MentalitySimilarity": Subtask("MS", "entity"),
    "SimilarMaterial": Subtask("SM", "entity"),
    "AppearanceSimilarity": Subtask("AS", "entity"),
    "NearSameEntity": Subtask("NSE", "entity"),
    "Environments": Subtask("Env", "image"),
    "LayOut": Subtask("LO", "image"),
    "SimilarEvent": Subtask("SimE", "image"),
    "SubEvent": Subtask("SubE", "image"),
    "ObservationAngle": Subtask("OA", "image"),
}
"""Name of a subtask to what is known of it."""

KINDS = {"Choice QA": "choice", "Chooice QA": "choice", "True or false QA": "yes_no"}
"""``QA_type`` to the kind of question. The misspelled one occurs: the official script builds a
prompt for it, and then judges the row by the answer to the row before."""

YES_NO = ("Yes", "No")
NUMBERS_OF_OPTIONS = (3, 4)
_LETTERS = "ABCD"
_COLUMNS = ("Task", "QA_type", "question", "image1", "image2", "options", "answer")


class MmraDataset:
    """Conversations with two images and a question, and the letter, Yes or No as their answer.

    ``meta`` holds ``subtask``, ``level``, ``kind`` (``choice`` or ``yes_no``) and ``options``.

    Args:
        section: The benchmark's section.

    Raises:
        DataError: The data set cannot be opened, or lacks a column.
    """

    def __init__(self, section: Mmra) -> None:
        self.name = section.path
        self._rows = Rows(section, {})
        for column in _COLUMNS:
            self._rows.require("path", column)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Conversation:
        """Read one row.

        Raises:
            RecordError: The row lacks a field, or one has a value that MMRA does not know.
        """
        row = self._rows[index]
        place, values = row.place, row.values
        subtask = _subtask(place, place.need(values, "Task", str))
        kind = _kind(place, place.need(values, "QA_type", str))
        options = _options(place, values.get("options")) if kind == "choice" else list(YES_NO)
        said = place.need(values, "answer", str)
        answers = list(_LETTERS[: len(options)]) if kind == "choice" else options
        answer = next((one for one in answers if one.lower() == said.strip().lower()), None)
        if answer is None:
            raise place.wrong("answer", said, f"one of {', '.join(answers)}")
        question = place.need(values, "question", str).strip()
        if not question:
            raise place.wrong("question", question, "text that is not empty")
        images = tuple(
            row.image(row.get(column, setting="path"), column) for column in ("image1", "image2")
        )
        return Conversation(
            id=str(index),
            messages=(Message("user", (0, 1, question)), Message("assistant", (answer,))),
            images=images,
            meta=row.meta(_COLUMNS)
            | {
                "subtask": subtask,
                "level": SUBTASKS[subtask].level,
                "kind": kind,
                "options": options,
            },
        )


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).casefold()


_SPELLINGS = {_plain(name): name for name in SUBTASKS} | {
    _plain(subtask.short): name for name, subtask in SUBTASKS.items()
}


def _subtask(place: Place, name: str) -> str:
    """Return a subtask by its name, or its abbreviation, in any case, with blanks or without."""
    plain = _plain(name)
    if plain in _SPELLINGS:
        return _SPELLINGS[plain]
    guess = near(plain, _SPELLINGS)
    hint = f" (did you mean {_SPELLINGS[guess]!r}?)" if guess else ""
    raise place.wrong("Task", name, f"one of {', '.join(SUBTASKS)}{hint}")


def _kind(place: Place, name: str) -> str:
    if name.strip() not in KINDS:
        raise place.wrong("QA_type", name, f"one of {', '.join(KINDS)}")
    return KINDS[name.strip()]


def _options(place: Place, value: object) -> list[str]:
    """Return the texts of the options in the order of their letters."""
    letters = [list(_LETTERS[:number]) for number in NUMBERS_OF_OPTIONS]
    expected = "the text of a Python dict with the keys A, B, C, or A, B, C, D"
    found: Any = value
    if isinstance(value, str):
        try:
            found = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            raise place.wrong("options", value, expected) from None
    if not isinstance(found, Mapping) or sorted(map(str, found)) not in letters:
        raise place.wrong("options", value, expected)
    return [str(found[letter]) for letter in sorted(found)]
