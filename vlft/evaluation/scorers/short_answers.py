"""Open questions, judged by several published metrics at once.

A record is a conversation that ends with an answer; ``meta["answers"]`` may list every accepted
one. ``exact_match``, ``anls``, ``relaxed_accuracy`` and ``token_f1`` take the nearest of them;
``vqa_accuracy`` is given where every record has ten.
"""

from collections.abc import Iterator, Sequence

from vlft.data.records import Record
from vlft.errors import EvaluationError
from vlft.evaluation.answering import Answers
from vlft.evaluation.asking import (
    accepted_answers,
    answered,
    group_of,
    listed,
    prompt_of,
    text_of,
    token_limit,
)
from vlft.evaluation.benchmark import BenchmarkSpec
from vlft.evaluation.metrics import exact_match, share, share_per_group
from vlft.evaluation.requests import Generate, Request
from vlft.evaluation.scorer import Scored, Scorer
from vlft.evaluation.text_metrics import NUM_VQA_ANSWERS, TEXT_METRICS
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
    """Return the sample of a record and what was said about it.

    Raises:
        EvaluationError: The record's ``answers`` are no texts.
    """
    conversation = answered(record, spec)
    return Sample(
        id=record.id,
        group=group_of(record, spec),
        prediction=output,
        answer=text_of(conversation.messages[-1]),
        extra={
            "question": text_of(prompt_of(conversation, spec).messages[-1]),
            "answers": [*accepted_answers(conversation, spec)],
        },
    )


def score(samples: Sequence[Sample], spec: BenchmarkSpec) -> Scored:
    """Return every metric over all samples, and the main one per group.

    A sample's own score is that of the main metric.

    Raises:
        EvaluationError: There are no samples, a sample has no answers, or ``vqa_accuracy`` is
            wanted and a sample has not ten.
        UnknownNameError: The benchmark's ``extraction`` does not exist.
    """
    accepted = [_answers(sample, spec) for sample in samples]
    scores = {
        "exact_match": [
            _exact(sample, answers, spec) for sample, answers in zip(samples, accepted, strict=True)
        ]
    }
    for name, judge in TEXT_METRICS.items():
        if name != "vqa_accuracy" or _has_ten_answers(samples, spec):
            scores[name] = [
                judge(str(sample.prediction), answers)
                for sample, answers in zip(samples, accepted, strict=True)
            ]
    main = scores.get(spec.metric, scores["exact_match"])
    scored = [
        sample.model_copy(update={"score": value})
        for sample, value in zip(samples, main, strict=True)
    ]
    groups = {}
    if spec.group_by is not None:
        groups = share_per_group(spec.metric, main, [str(sample.group) for sample in samples])
    return Scored(scored, [share(name, values) for name, values in scores.items()], groups)


def _request(record: Record, spec: BenchmarkSpec) -> Generate:
    return Generate(prompt_of(answered(record, spec), spec), token_limit(spec))


def _answers(sample: Sample, spec: BenchmarkSpec) -> list[str]:
    answers = listed(sample.extra.get("answers"))
    if not answers:
        raise EvaluationError(f"{spec.name}, sample {sample.id}: expected `answers` in `extra`")
    return answers


def _exact(sample: Sample, answers: Sequence[str], spec: BenchmarkSpec) -> float:
    said = str(sample.prediction)
    return float(
        any(exact_match(said, answer, normalization=spec.extraction) for answer in answers)
    )


def _has_ten_answers(samples: Sequence[Sample], spec: BenchmarkSpec) -> bool:
    counts = ((one.id, len(_answers(one, spec))) for one in samples)
    other = next((found for found in counts if found[1] != NUM_VQA_ANSWERS), None)
    if other is not None and spec.metric == "vqa_accuracy":
        raise EvaluationError(
            f"{spec.name}, sample {other[0]}: vqa_accuracy needs {NUM_VQA_ANSWERS} `answers` in "
            f"every record, and here are {other[1]}: add them, or use another metric "
            "(exact_match, anls, relaxed_accuracy, token_f1)"
        )
    return other is None


SHORT_ANSWERS = Scorer(requires=(Generates,), ask=ask, read=read, score=score, from_text=from_text)
