"""Questions with short answers: generate, then compare with the right answer.

A record is a conversation that ends with the right answer; all before it is the prompt. Records may
say in ``meta["options"]`` which answers a question leaves open: chance is then known, and outputs
that are none of them are counted.
"""

from collections.abc import Iterator, Sequence

from pydantic import JsonValue

from vlft.data.records import Record
from vlft.errors import EvaluationError
from vlft.evaluation.answering import Answers
from vlft.evaluation.asking import answered, group_of, prompt_of, text_of, token_limit
from vlft.evaluation.benchmark import BenchmarkSpec
from vlft.evaluation.metrics import exact_match, share, share_per_group
from vlft.evaluation.requests import Generate, Request
from vlft.evaluation.scorer import Scored, Scorer
from vlft.results import Sample
from vlft.types import Generates


def ask(records: Sequence[Record], spec: BenchmarkSpec, via: type) -> Iterator[Request]:
    """Ask for answers.

    Raises:
        EvaluationError: A record does not end with an answer, or the benchmark says nothing about
            the length of outputs.
    """
    return (_request(record, spec) for record in records)


def read(
    records: Sequence[Record], answers: Answers, spec: BenchmarkSpec, via: type
) -> Iterator[Sample]:
    """Yield one sample per record."""
    for record in records:
        yield from_text(record, answers[_request(record, spec)], spec)


def from_text(record: Record, output: str, spec: BenchmarkSpec) -> Sample:
    """Return the sample of a record and what was said about it."""
    conversation = answered(record, spec)
    extra: dict[str, JsonValue] = {"question": text_of(prompt_of(conversation, spec).messages[-1])}
    if "options" in record.meta:
        extra["options"] = list(record.meta["options"])
    return Sample(
        id=record.id,
        group=group_of(record, spec),
        prediction=output,
        answer=text_of(conversation.messages[-1]),
        extra=extra,
    )


def score(samples: Sequence[Sample], spec: BenchmarkSpec) -> Scored:
    """Return ``accuracy``, over all and per group, and ``not_an_option`` where options are known.

    Raises:
        EvaluationError: There are no samples, or a prediction is no text.
        UnknownNameError: The benchmark's ``extraction`` does not exist.
    """
    scored = [
        sample.model_copy(update={"score": float(_matches(sample, sample.answer, spec))})
        for sample in samples
    ]
    scores = [sample.score or 0.0 for sample in scored]
    options = [sample.extra.get("options") for sample in scored]
    known = [choices for choices in options if isinstance(choices, list)]
    chances = [1 / len(choices) for choices in known] if len(known) == len(options) else None
    metrics = [share("accuracy", scores, chances=chances)]
    if chances is not None:
        strays = [
            float(not any(_matches(sample, choice, spec) for choice in choices))
            for sample, choices in zip(scored, known, strict=True)
        ]
        stray = share("not_an_option", strays)
        metrics.append(stray.model_copy(update={"direction": "lower"}))
    groups = {}
    if spec.group_by is not None:
        names = [str(sample.group) for sample in scored]
        groups = share_per_group("accuracy", scores, names, chances=chances)
    return Scored(scored, metrics, groups)


def _request(record: Record, spec: BenchmarkSpec) -> Generate:
    return Generate(prompt_of(answered(record, spec), spec), token_limit(spec))


def _matches(sample: Sample, answer: object, spec: BenchmarkSpec) -> bool:
    if not isinstance(sample.prediction, str) or not isinstance(answer, str):
        raise EvaluationError(
            f"{spec.name}, sample {sample.id}: prediction {sample.prediction!r} and answer "
            f"{answer!r} must be text"
        )
    return exact_match(sample.prediction, answer, normalization=spec.extraction)


QUESTION_ANSWERING = Scorer(
    requires=(Generates,), ask=ask, read=read, score=score, from_text=from_text
)
