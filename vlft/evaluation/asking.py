"""What scorers that ask questions share: prompts from records, and the answers beside them."""

from collections.abc import Callable, Sequence
from math import isfinite

from vlft.data.records import Conversation, ImageRef, Record
from vlft.errors import EvaluationError, pick
from vlft.evaluation.benchmark import BenchmarkSpec
from vlft.evaluation.requests import Asked, Picture
from vlft.types import Message

SHORT_ANSWER = "Answer the question using a single word or phrase."
"""The instruction of LLaVA-1.5 (arXiv 2310.03744, table 7)."""


def _as_recorded(record: Conversation) -> tuple[Message, ...]:
    return record.messages[:-1]


def _short_answer(record: Conversation) -> tuple[Message, ...]:
    return with_line(record.messages[:-1], SHORT_ANSWER)


PROMPT_FORMATS: dict[str, Callable[[Conversation], tuple[Message, ...]]] = {
    "as_recorded": _as_recorded,
    "short_answer": _short_answer,
}
"""``as_recorded``: the turns before the last answer, word for word; ``short_answer``: the same, and
a line that asks for a word or phrase."""


def with_line(messages: Sequence[Message], line: str) -> tuple[Message, ...]:
    """Return turns whose last one has a further line of text."""
    *before, last = messages
    return (*before, Message(last.role, (*last.content, f"\n{line}")))


def answered(record: Record, spec: BenchmarkSpec) -> Conversation:
    """Return a record that ends with an answer to a question.

    Raises:
        EvaluationError: It does not.
    """
    if (
        isinstance(record, Conversation)
        and len(record.messages) > 1
        and record.messages[-1].role == "assistant"
    ):
        return record
    raise EvaluationError(
        f"{spec.name}, record {record.id}: expected a conversation that ends with the right answer"
    )


def token_limit(spec: BenchmarkSpec) -> int:
    """Return the longest answer that a benchmark declares, in tokens.

    Raises:
        EvaluationError: It declares none.
    """
    if spec.max_new_tokens is None:
        raise EvaluationError(f"{spec.name}: scorer {spec.scorer} needs `max_new_tokens`")
    return spec.max_new_tokens


def group_of(record: Record, spec: BenchmarkSpec) -> str | None:
    """Return the group that a record counts in; None for a benchmark without groups.

    Raises:
        EvaluationError: The record does not name its group.
    """
    if spec.group_by is None:
        return None
    if spec.group_by not in record.meta:
        raise EvaluationError(
            f"{spec.name}, record {record.id}: no {spec.group_by!r} in its meta; "
            "change `group_by`, or null for no groups"
        )
    return str(record.meta[spec.group_by])


def prompt_of(record: Conversation, spec: BenchmarkSpec) -> Asked:
    """Return the prompt of a record in the benchmark's format.

    Raises:
        UnknownNameError: There is no such format.
    """
    write = pick(PROMPT_FORMATS, spec.prompt_format, kind="prompt_format")
    return with_images(write(record), record, spec)


def with_images(messages: tuple[Message, ...], record: Conversation, spec: BenchmarkSpec) -> Asked:
    """Return turns with the images of their record."""
    pictures = [picture(ref, record, spec, number) for number, ref in enumerate(record.images)]
    return Asked(messages, tuple(pictures))


def picture(ref: ImageRef, record: Record, spec: BenchmarkSpec, number: int = 0) -> Picture:
    """Return an image of a record, to be decoded when it is asked about."""
    return Picture(ref, spec.name, record.id, number, spec.max_image_pixels)


def text_of(message: Message) -> str:
    """Return the text of a turn, without its images."""
    return "".join(piece for piece in message.content if isinstance(piece, str)).strip()


def accepted_answers(record: Conversation, spec: BenchmarkSpec) -> list[str]:
    """Return every right answer: those of ``meta["answers"]``, else the recorded one alone.

    Raises:
        EvaluationError: ``answers`` is there and is no list of texts.
    """
    if "answers" not in record.meta:
        return [text_of(record.messages[-1])]
    return texts(record.meta["answers"], "answers", record, spec)


def texts(value: object, field: str, record: Record, spec: BenchmarkSpec) -> list[str]:
    """Return a list of texts that stands in a record's meta.

    Raises:
        EvaluationError: It is none, or empty.
    """
    listed = isinstance(value, list | tuple) and all(isinstance(text, str) for text in value)
    if not listed or not value:
        raise EvaluationError(
            f"{spec.name}, record {record.id}: field `{field}`: found {value!r}, expected a list "
            "of texts"
        )
    return [str(text) for text in value]  # type: ignore[attr-defined]


def require_values(
    values: Sequence[float | int], number: int, record: Record, spec: BenchmarkSpec
) -> None:
    """Refuse values of options that cannot be compared.

    Raises:
        EvaluationError: They are fewer or more than the options, or one is NaN or infinite.
    """
    if len(values) != number:
        raise EvaluationError(
            f"{spec.name}, record {record.id}: found {len(values)} scores, expected {number}, one "
            "for each option in the official order"
        )
    if not all(map(isfinite, values)):
        raise EvaluationError(
            f"{spec.name}, record {record.id}: the scores are {[*values]}, and numbers that are "
            "NaN or infinite cannot be compared; check the model's weights and its dtype"
        )


def listed(value: object) -> list[str]:
    """Return what ``texts`` put into a sample, read back from its ``extra``."""
    return [str(text) for text in value] if isinstance(value, list) else []
