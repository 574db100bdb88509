"""Questions with options: the model writes a letter or an option, or ranks the options.

A record is a conversation that ends with the right option or its letter, and lists the options in
``meta["options"]``. The same records serve both scorers: ``multiple_choice`` generates and reads
the output, ``option_likelihood`` takes the option with the highest log-likelihood.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from pydantic import JsonValue

from vlft.data.readers.choices import INSTRUCTION, LETTERS
from vlft.data.records import Conversation, Record
from vlft.errors import EvaluationError, pick
from vlft.evaluation.answering import Answers
from vlft.evaluation.asking import (
    answered,
    group_of,
    listed,
    require_values,
    text_of,
    texts,
    token_limit,
    with_images,
    with_line,
)
from vlft.evaluation.benchmark import BenchmarkSpec
from vlft.evaluation.metrics import share, share_per_group
from vlft.evaluation.options import EXTRACTIONS
from vlft.evaluation.requests import Asked, Generate, Request, Score
from vlft.evaluation.scorer import Scored, Scorer
from vlft.results import Metric, Sample
from vlft.types import Generates, Message, Scores


def _as_recorded(record: Conversation, options: Sequence[str]) -> tuple[Message, ...]:
    return record.messages[:-1]


def _lettered(record: Conversation, options: Sequence[str]) -> tuple[Message, ...]:
    lines = [f"{letter}. {text}" for letter, text in zip(LETTERS, options, strict=False)]
    if "\n".join(lines) in text_of(record.messages[-2]):
        return _as_recorded(record, options)
    return with_line(record.messages[:-1], "\n".join([*lines, INSTRUCTION]))


PROMPT_FORMATS: dict[str, Callable[[Conversation, Sequence[str]], tuple[Message, ...]]] = {
    "as_recorded": _as_recorded,
    "lettered": _lettered,
}
"""``as_recorded``: the question as it stands, for records that show the options themselves;
``lettered``: the question, the options as lines ``A. ...``, and LLaVA-1.5's line that asks for the
letter (arXiv 2310.03744, table 7), as ``data.type: question_answer`` writes them; a question
with these lines is left as it is."""


def ask(records: Sequence[Record], spec: BenchmarkSpec, via: type) -> Iterator[Request]:
    """Ask for an answer in words.

    Raises:
        EvaluationError: A record has no options, or its answer is none of them.
    """
    return (Generate(_prompt(_asked(record, spec), spec), token_limit(spec)) for record in records)


def read(
    records: Sequence[Record], answers: Answers, spec: BenchmarkSpec, via: type
) -> Iterator[Sample]:
    """Yield one sample per record; its prediction is the output."""
    for record, request in zip(records, ask(records, spec, via), strict=True):
        yield from_text(record, answers[request], spec)


def from_text(record: Record, output: str, spec: BenchmarkSpec) -> Sample:
    """Return the sample of a record and what was said about it."""
    return _sample(_asked(record, spec), output, spec)


def ask_likelihood(records: Sequence[Record], spec: BenchmarkSpec, via: type) -> Iterator[Request]:
    """Ask for the likelihoods of the options.

    Under ``lettered`` the letters are compared, else the texts of the options: sums over tokens,
    not divided by their number.

    Raises:
        EvaluationError: A record has no options, or its answer is none of them.
    """
    for record in records:
        asked = _asked(record, spec)
        as_letters = spec.prompt_format == "lettered"
        said = LETTERS[: len(asked.options)] if as_letters else asked.options
        yield Score(_prompt(asked, spec), tuple(said))


def read_likelihood(
    records: Sequence[Record], answers: Answers, spec: BenchmarkSpec, via: type
) -> Iterator[Sample]:
    """Yield one sample per record; its prediction is the option of the highest log-likelihood.

    Of equal options the one that stands first is the prediction.

    Raises:
        EvaluationError: A log-likelihood is NaN or infinite.
    """
    for record, request in zip(records, ask_likelihood(records, spec, via), strict=True):
        values = [likelihood.total for likelihood in answers[request]]
        yield from_scores(record, values, spec)


def from_scores(record: Record, values: Sequence[float], spec: BenchmarkSpec) -> Sample:
    """Return the sample of a record whose options have these values, in their order.

    Raises:
        EvaluationError: A value is NaN or infinite, or their number is not that of the options.
    """
    asked = _asked(record, spec)
    require_values(values, len(asked.options), record, spec)
    best = max(range(len(values)), key=values.__getitem__)
    return _sample(asked, asked.options[best], spec, {"log_likelihoods": [*values]})


def score(samples: Sequence[Sample], spec: BenchmarkSpec) -> Scored:
    """Return ``accuracy``, over all and per group, and the share of outputs that say no option.

    Raises:
        EvaluationError: There are no samples.
        UnknownNameError: The benchmark's ``extraction`` does not exist.
    """
    extract = pick(EXTRACTIONS, spec.extraction, kind="extraction")
    options = [listed(sample.extra.get("options")) for sample in samples]
    said = [
        extract(str(sample.prediction), choices)
        for sample, choices in zip(samples, options, strict=True)
    ]
    scored = [
        sample.model_copy(
            update={
                "score": float(place is not None and choices[place] == sample.answer),
                "extra": {**sample.extra, "read_as": None if place is None else choices[place]},
            }
        )
        for sample, choices, place in zip(samples, options, said, strict=True)
    ]
    scores = [sample.score or 0.0 for sample in scored]
    chances = [1 / len(choices) for choices in options]
    metrics: list[Metric] = [share("accuracy", scores, chances=chances)]
    unread = share("unreadable", [float(place is None) for place in said])
    metrics.append(unread.model_copy(update={"direction": "lower"}))
    groups = {}
    if spec.group_by is not None:
        names = [str(sample.group) for sample in scored]
        groups = share_per_group("accuracy", scores, names, chances=chances)
    return Scored(scored, metrics, groups)


class _Question(NamedTuple):
    record: Conversation
    options: list[str]
    right: int


def _asked(record: Record, spec: BenchmarkSpec) -> _Question:
    """Return a record, its options and the index of the right one."""
    conversation = answered(record, spec)
    if "options" not in record.meta:
        raise EvaluationError(
            f"{spec.name}, record {record.id}: no `options` in its meta, expected a list of texts; "
            f"there is: {', '.join(record.meta) or 'nothing'}"
        )
    options = texts(record.meta["options"], "options", record, spec)
    answer = text_of(conversation.messages[-1])
    right = EXTRACTIONS["option"](answer, options)
    if right is None and len(answer) == 1 and answer.upper() in LETTERS[: len(options)]:
        right = LETTERS.index(answer.upper())
    if right is None or len(set(options)) < len(options) or len(options) > len(LETTERS):
        raise EvaluationError(
            f"{spec.name}, record {record.id}: the answer {answer!r} must be one of at most "
            f"{len(LETTERS)} different options, or its letter; options: {', '.join(options)}"
        )
    return _Question(conversation, options, right)


def _prompt(asked: _Question, spec: BenchmarkSpec) -> Asked:
    write = pick(PROMPT_FORMATS, spec.prompt_format, kind="prompt_format")
    return with_images(write(asked.record, asked.options), asked.record, spec)


def _sample(
    asked: _Question,
    prediction: str,
    spec: BenchmarkSpec,
    extra: dict[str, JsonValue] | None = None,
) -> Sample:
    return Sample(
        id=asked.record.id,
        group=group_of(asked.record, spec),
        prediction=prediction,
        answer=asked.options[asked.right],
        extra={
            "question": text_of(asked.record.messages[-2]),
            "options": [*asked.options],
            **(extra or {}),
        },
    )


MULTIPLE_CHOICE = Scorer(
    requires=(Generates,), ask=ask, read=read, score=score, from_text=from_text
)
OPTION_LIKELIHOOD = Scorer(
    requires=(Scores,),
    ask=ask_likelihood,
    read=read_likelihood,
    score=score,
    from_scores=from_scores,
)
