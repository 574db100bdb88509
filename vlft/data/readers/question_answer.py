"""Questions and answers in columns of their own, with images and options where there are some."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from vlft.data.readers.choices import LETTERS, with_choices
from vlft.data.readers.fields import Pictures, conversation, marked_text
from vlft.data.readers.rows import FormatRow, Rows, listed
from vlft.data.readers.turns import ROLE_CONTENT, read_turns
from vlft.data.records import Conversation
from vlft.recipe.data import QuestionAnswer
from vlft.types import Message

_EXPECTED_ANSWER = "text, a number, or a list of them (there would be nothing to learn but silence)"


class QuestionAnswerDataset:
    """Conversations of one question and its answer, or of TRL's ``prompt`` and ``completion``.

    ``meta`` holds the other columns; ``options``, the texts of the options; and ``answers``, every
    answer where the row lists several.

    Args:
        section: The recipe's section.

    Raises:
        DataError: The data set cannot be opened, or lacks a column.
    """

    def __init__(self, section: QuestionAnswer) -> None:
        self.name = section.path
        self._section = section
        options = section.options_column
        self._options = (options,) if isinstance(options, str) else options or ()
        named = {
            "question_column": section.question_column,
            "answer_column": section.answer_column,
            "image_column": section.image_column,
            "system_column": section.system_column,
        }
        columns = {setting: column for setting, column in named.items() if column is not None}
        self._used = (*columns.values(), *self._options)
        self._rows = Rows(section, columns)
        for column in self._options:
            self._rows.require("options_column", column)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Conversation:
        """Read one row.

        Raises:
            RecordError: A field is missing, empty or of another type, or its image is none.
        """
        row, section = self._rows[index], self._section
        pictures = Pictures(self._images(row))
        options = self._choices(row)
        answer, answers = self._answer(row, options)
        question = self._question(row, options, pictures)
        said = _turns(row, answer, section.answer_column, pictures)
        turns = [*self._system(row), *question, *said]
        meta = row.meta(self._used)
        meta |= {"options": options} if options else {}
        meta |= {"answers": answers} if len(answers) > 1 else {}
        image = section.image_column or "image_column"
        fields = (section.question_column, image)
        return conversation(row.place, turns, pictures, fields=fields, meta=meta)

    def _images(self, row: FormatRow) -> list[Any]:
        column = self._section.image_column
        if column is None:
            return []
        return row.images(row.get(column, setting="image_column"), column)

    def _system(self, row: FormatRow) -> list[Message]:
        column = self._section.system_column
        if column is None:
            return []
        text = row.place.typed(row.get(column, setting="system_column") or "", str, column)
        return [Message("system", (text,))] if text.strip() else []

    def _question(self, row: FormatRow, options: list[str], pictures: Pictures) -> list[Message]:
        column = self._section.question_column
        value = row.get(column, setting="question_column")
        if isinstance(value, list) and not options:
            return read_turns(row, value, column, pictures, ROLE_CONTENT)
        text = row.place.typed(value, str, column)
        if not text.strip():
            raise row.place.wrong(column, text, "text that is not empty")
        asked = with_choices([text], options) if options else text
        return [Message("user", marked_text(asked, pictures))]

    def _choices(self, row: FormatRow) -> list[str]:
        """The texts of the options; those that a row leaves empty at the end do not count."""
        if not self._options:
            return []
        values = [row.get(column, setting="options_column") for column in self._options]
        if isinstance(self._section.options_column, str):
            (value,) = map(listed, values)
            values = row.place.typed(value, list, self._options[0])
        while values and values[-1] in (None, ""):
            values = values[:-1]
        texts = [_text(value) for value in values]
        if not 2 <= len(texts) <= len(LETTERS) or any(not text for text in texts):
            raise row.place.wrong(
                ", ".join(self._options), values, f"2 to {len(LETTERS)} options, none of them empty"
            )
        return [text for text in texts if text]

    def _answer(self, row: FormatRow, options: list[str]) -> tuple[Any, list[str]]:
        """What is learned, and every answer that the row lists."""
        column = self._section.answer_column
        value = row.get(column, setting="answer_column")
        if _is_turns(value):
            return value, []
        # A text is one answer even where it looks like a list: "[12, 40, 96, 80]" may be a box.
        answers = [_text(one) for one in (value if isinstance(value, list) else [value])]
        if not answers or any(not answer for answer in answers):
            raise row.place.wrong(column, value, _EXPECTED_ANSWER)
        texts = [answer for answer in answers if answer]
        answer = Counter(texts).most_common(1)[0][0]
        if options:
            number = _option(answer, options)
            if number is None:
                expected = f"one of the options ({', '.join(options)}), its letter, or its index"
                raise row.place.wrong(column, value, expected)
            answer = LETTERS[number]
        return answer, texts


def _turns(row: FormatRow, answer: Any, column: str, pictures: Pictures) -> list[Message]:
    if isinstance(answer, list):
        return read_turns(row, answer, column, pictures, ROLE_CONTENT)
    return [Message("assistant", (answer,))]


def _is_turns(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and isinstance(value[0], dict)
        and ("role" in value[0])
    )


def _text(value: object) -> str | None:
    """An answer or option as text; of VQA's objects their ``answer``. None: it is nothing."""
    if isinstance(value, Mapping):
        value = value.get("answer")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(value).strip() or None


def _option(answer: str, options: list[str]) -> int | None:
    """The option that an answer names: by its text, its letter, or its index from 0."""
    if answer in options:
        return options.index(answer)
    if len(answer) == 1 and answer.upper() in LETTERS[: len(options)]:
        return LETTERS.index(answer.upper())
    return int(answer) if answer.isdecimal() and int(answer) < len(options) else None
