"""Captions: generate one, and compare it with the recorded ones.

A record is a conversation that ends with a caption, or an image-text pair; ``meta["answers"]`` may
list several captions. ``extraction`` names the tokenizer (``vlft.evaluation.captions``).
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Literal

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
from vlft.evaluation.captions.corpus import METRICS, Judged
from vlft.evaluation.captions.tokenizers import TOKENIZERS
from vlft.evaluation.requests import Asked, Generate, Request
from vlft.evaluation.scorer import Scored, Scorer, settings_of
from vlft.recipe.section import Section
from vlft.results import Metric, Sample
from vlft.types import Generates, Message

PAIR_PROMPTS = {
    "as_recorded": "Describe the image.",
    "brief": "Describe the image briefly.",
    "short_caption": "Provide a one-sentence caption for the provided image.",
    "picture_of": "a picture of",
}
"""What is asked about the image of a pair, which has no question of its own. ``brief`` and
``short_caption`` are lmms-eval's wordings for COCO's Karpathy split and for Flickr30k;
``picture_of`` is what BLIP and ADEM-VL train captions to go on from."""


class CaptioningSettings(Section):
    """What a benchmark of captions may set."""

    metrics: tuple[
        Literal["bleu", "rouge_l", "cider", "exact_match", "words", "meteor", "spice"], ...
    ] = ("rouge_l", "exact_match", "words")
    """What is computed, in this order: ``bleu`` gives ``bleu_1`` to ``bleu_4``."""


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
    """Return the metrics that the benchmark lists; a sample's own score is that of its caption.

    BLEU is counted over the corpus and so no mean of the samples' scores.

    Raises:
        EvaluationError: There are no samples, a setting is wrong, or a metric or the tokenizer
            needs what is not installed.
        UnknownNameError: There is no such tokenizer.
    """
    if not samples:
        raise EvaluationError(f"{spec.name}: no captions to score; the data set is empty")
    split = pick(TOKENIZERS, spec.extraction, kind="extraction")
    captions = [listed(sample.extra.get("answers")) for sample in samples]
    _require(captions, samples, spec)
    said = split([str(sample.prediction) for sample in samples])
    flat = split([text for right in captions for text in right])
    ends = [0, *accumulate(len(right) for right in captions)]
    right = [flat[start:end] for start, end in pairwise(ends)]

    judged: dict[str, Judged] = {}
    for name in settings_of(spec, CaptioningSettings).metrics:
        judged |= METRICS[name](said, right)
    scored: list[Sample] = list(samples)
    groups: dict[str, tuple[Metric, ...]] = {}
    if spec.metric in judged:  # else the driver says which metrics there are
        main = judged[spec.metric]
        pairs = zip(samples, main.each, strict=True)
        scored = [sample.model_copy(update={"score": value}) for sample, value in pairs]
        if spec.group_by is not None:
            groups = {name: (main.total(rows),) for name, rows in _rows(samples).items()}
    every = range(len(samples))
    metrics: list[Metric] = [one.total(every) for one in judged.values()]
    return Scored(scored, metrics, groups, tuple(_notes(metrics, said)))


def _rows(samples: Sequence[Sample]) -> dict[str, list[int]]:
    """Return the places of each group's samples, groups in alphabetical order."""
    rows: dict[str, list[int]] = {name: [] for name in sorted({str(s.group) for s in samples})}
    for row, sample in enumerate(samples):
        rows[str(sample.group)].append(row)
    return rows


def _notes(metrics: Sequence[Metric], said: Sequence[Sequence[str]]) -> Iterator[str]:
    if any(metric.name == "cider" for metric in metrics):
        yield (
            f"cider is CIDEr-D, from 0 to 10, with the document frequencies of the {len(said)} "
            "images that were measured"
        )
    silent = sum(not words for words in said)
    if silent:
        yield f"{silent} captions have no words and score 0"


def _require(
    captions: Sequence[Sequence[str]], samples: Sequence[Sample], spec: BenchmarkSpec
) -> None:
    for right, sample in zip(captions, samples, strict=True):
        if not right:
            raise EvaluationError(
                f"{spec.name}, sample {sample.id}: expected a list of right captions as `answers` "
                "in `extra`"
            )


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


CAPTIONING = Scorer(
    requires=(Generates,),
    ask=ask,
    read=read,
    score=score,
    from_text=from_text,
    settings=CaptioningSettings,
)
