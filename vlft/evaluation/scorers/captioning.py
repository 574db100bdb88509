"""Captions: generate one, and compare it with the recorded ones.

A record is a conversation that ends with a caption, or an image-text pair; ``meta["answers"]`` may
list several captions. Besides the metrics, ``words`` says how long the captions are: a change of
length moves ROUGE-L.
"""

from collections.abc import Iterator, Sequence
from math import fsum

from vlft.data.records import Pair, Record
from vlft.errors import EvaluationError, pick
from vlft.evaluation.answering import Answers
from vlft.evaluation.asking import (
    accepted_answers,
    answered,
    group_of,
    listed,
    picture,
    prompt_of,
    text_of,
    texts,
    token_limit,
)
from vlft.evaluation.benchmark import BenchmarkSpec
from vlft.evaluation.metrics import exact_match, share, share_per_group
from vlft.evaluation.requests import Asked, Generate, Request
from vlft.evaluation.scorer import Scored, Scorer
from vlft.evaluation.text_metrics import caption_words, rouge_l
from vlft.results import Metric, Sample
from vlft.types import Generates, Message

PAIR_PROMPTS = {
    "as_recorded": "Describe the image.",
    "short_caption": "Provide a one-sentence caption for the provided image.",
}
"""What is asked about the image of a pair, which has no question of its own."""


def ask(records: Sequence[Record], spec: BenchmarkSpec, via: type) -> Iterator[Request]:
    """Ask for captions.

    Raises:
        EvaluationError: A record does not end with a caption, or the benchmark says nothing about
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
    """Return the sample of a record and the caption that was written for it."""
    captions = _captions(record, spec)
    return Sample(
        id=record.id,
        group=group_of(record, spec),
        prediction=output,
        answer=captions[0],
        extra={"answers": [*captions]},
    )


def score(samples: Sequence[Sample], spec: BenchmarkSpec) -> Scored:
    """Return ``rouge_l``, ``exact_match`` and ``words``, the mean length (neither way is better).

    Raises:
        EvaluationError: There are no samples.
        UnknownNameError: The benchmark's ``extraction`` does not exist.
    """
    scores: dict[str, list[float]] = {"rouge_l": [], "exact_match": []}
    for sample in samples:
        said, captions = str(sample.prediction), listed(sample.extra.get("answers"))
        scores["rouge_l"].append(rouge_l(said, captions))
        same = [exact_match(said, text, normalization=spec.extraction) for text in captions]
        scores["exact_match"].append(float(any(same)))
    metrics = [share(name, values) for name, values in scores.items()]
    lengths = [len(caption_words(str(sample.prediction))) for sample in samples]
    metrics.append(Metric(name="words", value=fsum(lengths) / len(lengths), n=len(lengths)))
    main = scores.get(spec.metric, scores["rouge_l"])
    scored = [
        sample.model_copy(update={"score": value})
        for sample, value in zip(samples, main, strict=True)
    ]
    groups = {}
    if spec.group_by is not None:
        groups = share_per_group(spec.metric, main, [str(sample.group) for sample in samples])
    return Scored(scored, metrics, groups)


def _request(record: Record, spec: BenchmarkSpec) -> Generate:
    return Generate(_asked(record, spec), token_limit(spec))


def _asked(record: Record, spec: BenchmarkSpec) -> Asked:
    if isinstance(record, Pair):
        question = pick(PAIR_PROMPTS, spec.prompt_format, kind="prompt_format")
        shown = picture(record.image, record, spec)
        return Asked((Message("user", (0, question)),), (shown,))
    return prompt_of(answered(record, spec), spec)


def _captions(record: Record, spec: BenchmarkSpec) -> list[str]:
    """Return the right captions of a record."""
    if isinstance(record, Pair):
        captions = record.meta.get("answers")
        return [record.text] if captions is None else texts(captions, "answers", record, spec)
    conversation = answered(record, spec)
    if not text_of(conversation.messages[-1]):
        raise EvaluationError(f"{spec.name}, record {record.id}: the caption is empty")
    return accepted_answers(conversation, spec)


CAPTIONING = Scorer(requires=(Generates,), ask=ask, read=read, score=score, from_text=from_text)
