"""Questions with options: the model writes a letter or an option, or ranks the options.

A record is a conversation that ends with the right option or its letter, and lists the options in
``meta["options"]``. The same records serve both scorers: ``multiple_choice`` generates and reads
the output, ``option_likelihood`` takes the option with the highest log-likelihood.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from pydantic import JsonValue

from vlft.data.readers.choices import INSTRUCTION, LETTERS
from vlft.data.records import Conversation, Record
from vlft.errors import EvaluationError, pick
from vlft.evaluation.asking import (
    answered,
    group_of,
    listed,
    require_finite,
    text_of,
    texts,
    token_limit,
    with_images,
    with_line,
)
from vlft.evaluation.benchmark import BenchmarkSpec
from vlft.evaluation.metrics import share, share_per_group
from vlft.evaluation.options import EXTRACTIONS
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


def predict(
    model: Generates, batches: Iterable[Sequence[Record]], spec: BenchmarkSpec
) -> Iterator[Sample]:
    """Yield one sample per record; its prediction is the output.

    Raises:
        EvaluationError: A record has no options, or its answer is none of them.
        RecordError: An image is bad.
    """
    limit = token_limit(spec)
    write = pick(PROMPT_FORMATS, spec.prompt_format, kind="prompt_format")
    for batch in batches:
        asked = [_asked(record, spec) for record in batch]
        prompts = [
            with_images(write(record, options), record, spec) for record, options, _ in asked
        ]
        outputs = model.generate(prompts, max_new_tokens=limit)
        for (record, options, right), output in zip(asked, outputs, strict=True):
            yield _sample(record, options, right, output, spec)


def predict_likelihood(
    model: Scores, batches: Iterable[Sequence[Record]], spec: BenchmarkSpec
) -> Iterator[Sample]:
    """Yield one sample per record; its prediction is the option of the highest log-likelihood.

    Under ``lettered`` the letters are compared, else the texts of the options: sums over tokens,
    not divided by their number. Of equal options the one that stands first is the prediction.

    Raises:
        EvaluationError: A record has no options, its answer is none of them, or a log-likelihood
            is NaN or infinite.
        RecordError: An image is bad.
    """
    write = pick(PROMPT_FORMATS, spec.prompt_format, kind="prompt_format")
    for batch in batches:
        asked = [_asked(record, spec) for record in batch]
        prompts = [
            with_images(write(record, options), record, spec) for record, options, _ in asked
        ]
        as_letters = spec.prompt_format == "lettered"
        found = model.score(
            prompts,
            [list(LETTERS[: len(opts)]) if as_letters else opts for _, opts, _ in asked],
        )
        for (record, options, right), values in zip(asked, found, strict=True):
            require_finite(values, record, spec)
            best = max(range(len(options)), key=values.__getitem__)
            extra: dict[str, JsonValue] = {"log_likelihoods": [*values]}
            yield _sample(record, options, right, options[best], spec, extra)


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


def _asked(record: Record, spec: BenchmarkSpec) -> tuple[Conversation, list[str], int]:
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
    return conversation, options, right


def _sample(
    record: Conversation,
    options: list[str],
    right: int,
    prediction: str,
    spec: BenchmarkSpec,
    extra: dict[str, JsonValue] | None = None,
) -> Sample:
    return Sample(
        id=record.id,
        group=group_of(record, spec),
        prediction=prediction,
        answer=options[right],
        extra={
            "question": text_of(record.messages[-2]),
            "options": [*options],
            **(extra or {}),
        },
    )


MULTIPLE_CHOICE = Scorer(requires=(Generates,), predict=predict, score=score)
OPTION_LIKELIHOOD = Scorer(requires=(Scores,), predict=predict_likelihood, score=score)
