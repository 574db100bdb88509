"""MMRA: questions about two images, in eleven subtasks and on two levels (arXiv 2407.17379).

The same records serve both scorers. ``mmra`` takes the likeliest of the option letters, or of Yes
and No; ``mmra_generate`` generates and reads the output as the official script does.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from pydantic import JsonValue

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
)
from vlft.evaluation.benchmark import BenchmarkSpec
from vlft.evaluation.metrics import macro_share, share, share_per_group
from vlft.evaluation.mmra_parse import LETTERS, POLICIES
from vlft.evaluation.mmra_prompts import Prompts, prompts_of
from vlft.evaluation.requests import Asked, Generate, Request, Score
from vlft.evaluation.scorer import Scored, Scorer, settings_of
from vlft.recipe.section import Section
from vlft.results import Metric, Sample
from vlft.types import Generates, Message, Scores

LEVELS = ("entity", "image")


class MmraSettings(Section):
    """What a benchmark's ``settings`` may hold."""

    input: Literal["images_question", "question_only"] = "images_question"
    """What is shown: the paper's IQ or QO."""
    template: str | None = None
    """File with one's own copy of the official prompts, for ``prompt_format: template``."""


def ask_likelihood(records: Sequence[Record], spec: BenchmarkSpec, via: type) -> Iterator[Request]:
    """Ask for the likelihoods of the letters, or of Yes and No.

    Raises:
        EvaluationError: A record is no question of MMRA, or the prompts cannot be written.
    """
    settings, prompts = _how(spec)
    for record in records:
        asked = _asked(record, spec)
        yield Score(_prompt(asked, settings, prompts, spec), asked.answers)


def read_likelihood(
    records: Sequence[Record], answers: Answers, spec: BenchmarkSpec, via: type
) -> Iterator[Sample]:
    """Yield one sample per record; its prediction is the answer of the highest log-likelihood.

    Raises:
        EvaluationError: A log-likelihood is NaN or infinite.
    """
    noted = _noted(spec)
    for record, request in zip(records, ask_likelihood(records, spec, via), strict=True):
        values = [likelihood.total for likelihood in answers[request]]
        yield _with(from_scores(record, values, spec), noted)


def ask(records: Sequence[Record], spec: BenchmarkSpec, via: type) -> Iterator[Request]:
    """Ask for an answer in words.

    Raises:
        EvaluationError: A record is no question of MMRA, or the prompts cannot be written.
    """
    settings, prompts = _how(spec)
    for record in records:
        asked = _asked(record, spec)
        yield Generate(_prompt(asked, settings, prompts, spec), token_limit(spec))


def read(
    records: Sequence[Record], answers: Answers, spec: BenchmarkSpec, via: type
) -> Iterator[Sample]:
    """Yield one sample per record; its prediction is the output."""
    noted = _noted(spec)
    for record, request in zip(records, ask(records, spec, via), strict=True):
        yield _with(from_text(record, answers[request], spec), noted)


def from_text(record: Record, output: str, spec: BenchmarkSpec) -> Sample:
    """Return the sample of a record and what was said about it: a letter, Yes, No, a sentence."""
    return _sample(_asked(record, spec), output, spec)


def from_scores(record: Record, values: Sequence[float], spec: BenchmarkSpec) -> Sample:
    """Return the sample of a record whose options, or Yes and No, have these values.

    Of equal values the first one wins.

    Raises:
        EvaluationError: A value is NaN or infinite, or their number is not that of the options.
    """
    asked = _asked(record, spec)
    require_values(values, len(asked.answers), record, spec)
    best = max(range(len(values)), key=values.__getitem__)
    return _with(_sample(asked, asked.answers[best], spec), {"values": [*values]})


def from_choice(record: Record, choice: int, spec: BenchmarkSpec) -> Sample:
    """Return the sample of a record and the index of the option that was chosen.

    Raises:
        EvaluationError: There is no such option.
    """
    asked = _asked(record, spec)
    if not 0 <= choice < len(asked.answers):
        raise EvaluationError(
            f"{spec.name}, record {record.id}: found choice {choice}, expected 0 to "
            f"{len(asked.answers) - 1}, the index of one of {', '.join(asked.answers)}"
        )
    return _sample(asked, asked.answers[choice], spec)


def score(samples: Sequence[Sample], spec: BenchmarkSpec) -> Scored:
    """Return shares of right answers, and the share of outputs that say none (``unparsed``).

    ``accuracy`` counts every sample alike (the paper's Overall), ``macro_accuracy`` every subtask;
    ``entity_accuracy`` and ``image_accuracy`` are the two levels. An output that cannot be read, or
    is empty, is wrong.

    Raises:
        EvaluationError: There are no samples, or one is of another scorer.
        UnknownNameError: The benchmark's ``extraction`` does not exist.
    """
    parse = pick(POLICIES, spec.extraction, kind="extraction")
    asked = [_of_sample(sample, spec) for sample in samples]
    # Empty outputs are wrong whatever the policy: upstream leaves them out, or guesses.
    said = [
        parse(text, one.kind, one.options) if (text := str(sample.prediction)).strip() else None
        for sample, one in zip(samples, asked, strict=True)
    ]
    scores = [
        float(found is not None and found.lower() == str(sample.answer).lower())
        for sample, found in zip(samples, said, strict=True)
    ]
    scored = [
        sample.model_copy(update={"score": value, "extra": {**sample.extra, "read_as": found}})
        for sample, value, found in zip(samples, scores, said, strict=True)
    ]
    chances = [1 / len(one.options) for one in asked]
    subtasks = [one.subtask for one in asked]
    metrics: list[Metric] = [
        share("accuracy", scores, chances=chances),
        macro_share("macro_accuracy", scores, subtasks, chances=chances),
    ]
    for level in LEVELS:
        rows = [row for row, one in enumerate(asked) if one.level == level]
        if rows:
            own = [chances[row] for row in rows]
            metrics.append(share(f"{level}_accuracy", [scores[row] for row in rows], chances=own))
    unparsed = share("unparsed", [float(found is None) for found in said])
    metrics.append(unparsed.model_copy(update={"direction": "lower"}))
    groups = {}
    if spec.group_by is not None:
        names = [str(sample.group) for sample in samples]
        groups = share_per_group("accuracy", scores, names, chances=chances)
    return Scored(scored, metrics, groups, tuple(_notes(samples)))


class _Question(NamedTuple):
    record: Conversation
    kind: str
    options: list[str]
    answers: tuple[str, ...]
    text: str


class _Facts(NamedTuple):
    subtask: str
    level: str
    kind: str
    options: list[str]


def _asked(record: Record, spec: BenchmarkSpec) -> _Question:
    """Return a record, and what may be answered: letters, or Yes and No."""
    conversation = answered(record, spec)
    missing = [key for key in _Facts._fields if key not in record.meta]
    if missing:
        raise EvaluationError(
            f"{spec.name}, record {record.id}: no `{missing[0]}` in its meta: records of this "
            "scorer come from `data.type: mmra`"
        )
    options = texts(record.meta["options"], "options", record, spec)
    kind = str(record.meta["kind"])
    answers = tuple(options if kind == "yes_no" else LETTERS[: len(options)])
    return _Question(conversation, kind, options, answers, text_of(conversation.messages[-2]))


def _how(spec: BenchmarkSpec) -> tuple[MmraSettings, Prompts]:
    settings = settings_of(spec, MmraSettings)
    return settings, prompts_of(spec, settings.template)


def _prompt(
    asked: _Question, settings: MmraSettings, prompts: Prompts, spec: BenchmarkSpec
) -> Asked:
    """Write the images in their order, then the text."""
    text = prompts.write(asked.text, [] if asked.kind == "yes_no" else asked.options)
    if settings.input == "question_only":
        return Asked((Message("user", (text,)),))
    images = range(len(asked.record.images))
    return with_images((Message("user", (*images, text)),), asked.record, spec)


def _sample(asked: _Question, prediction: str, spec: BenchmarkSpec) -> Sample:
    meta = asked.record.meta
    return Sample(
        id=asked.record.id,
        group=group_of(asked.record, spec),
        prediction=prediction,
        answer=text_of(asked.record.messages[-1]),
        extra={
            "question": asked.text,
            "subtask": str(meta["subtask"]),
            "level": str(meta["level"]),
            "kind": asked.kind,
            "options": [*asked.options],
        },
    )


def _with(sample: Sample, further: Mapping[str, JsonValue]) -> Sample:
    return sample.model_copy(update={"extra": {**sample.extra, **further}})


def _noted(spec: BenchmarkSpec) -> dict[str, JsonValue]:
    """Return what a sample should say of its prompt: the hash of the user's templates."""
    _, prompts = _how(spec)
    return {} if prompts.digest is None else {"template": prompts.digest}


def _of_sample(sample: Sample, spec: BenchmarkSpec) -> _Facts:
    extra: Mapping[str, Any] = sample.extra
    missing = [key for key in _Facts._fields if key not in extra]
    options = listed(extra.get("options"))
    if missing or not options:
        raise EvaluationError(
            f"{spec.name}, sample {sample.id}: expected `{(missing or ['options'])[0]}` in `extra`"
        )
    return _Facts(str(extra["subtask"]), str(extra["level"]), str(extra["kind"]), options)


def _notes(samples: Sequence[Sample]) -> Iterator[str]:
    ties = 0
    for sample in samples:
        values = [float(value) for value in listed(sample.extra.get("values"))]
        ties += bool(values) and values.count(max(values)) > 1
    if ties:
        yield f"{ties} samples have equal highest values: the first of these options is taken"
    templates = sorted({str(one.extra["template"]) for one in samples if "template" in one.extra})
    if templates:
        yield f"prompts: the user's templates with the hash {', '.join(templates)}"


MMRA = Scorer(
    requires=(Scores,),
    ask=ask_likelihood,
    read=read_likelihood,
    score=score,
    from_text=from_text,
    from_scores=from_scores,
    from_choice=from_choice,
    settings=MmraSettings,
)
MMRA_GENERATE = Scorer(
    requires=(Generates,),
    ask=ask,
    read=read,
    score=score,
    from_text=from_text,
    from_scores=from_scores,
    from_choice=from_choice,
    settings=MmraSettings,
)
