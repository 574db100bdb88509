"""Which class is an image of: by the logits of a classifier, or zero-shot by the texts of classes.

A record is an image with a label. Hosts with a head choose among their own classes; hosts with one
space for images and texts choose the class whose prompt is nearest (Radford et al., CLIP, 2021,
arXiv 2103.00020, section 3.1.4), among ``labels`` or, without them, all labels of the records.
"""

import json
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from vlft.data.records import Labeled, Record
from vlft.errors import EvaluationError, near, pick, unknown
from vlft.evaluation.answering import Answers
from vlft.evaluation.asking import group_of, picture
from vlft.evaluation.benchmark import BenchmarkSpec
from vlft.evaluation.metrics import rank_of_positive, share, share_per_group, stacked
from vlft.evaluation.requests import Classify, ClassNames, EmbedImage, EmbedText, Request
from vlft.evaluation.scorer import Scored, Scorer
from vlft.results import Sample
from vlft.types import Classifies, Embeds

DEPTHS = (1, 5)

PROMPT_FORMATS = {"photo": "a photo of a {label}.", "label": "{label}"}
"""Texts of the classes for hosts that embed; classifiers take none. A format that holds ``{label}``
is a template of one's own."""


def ask(records: Sequence[Record], spec: BenchmarkSpec, via: type) -> Iterator[Request]:
    """Ask for class scores, or for the embeddings of images and of the texts of the classes.

    Raises:
        EvaluationError: A record has no label, or there is no tie rule.
    """
    if spec.tie_rule is None:
        raise EvaluationError(f"{spec.name}: scorer classification needs `tie_rule`")
    labeled = [_labeled(record, spec) for record in records]
    if via is Classifies:
        yield ClassNames()
        yield from (Classify(picture(record.image, record, spec)) for record in labeled)
        return
    yield from (EmbedText(_text(label, spec)) for label in _labels(labeled, spec))
    yield from (EmbedImage(picture(record.image, record, spec)) for record in labeled)


def read(
    records: Sequence[Record], answers: Answers, spec: BenchmarkSpec, via: type
) -> Iterator[Sample]:
    """Yield one sample per record; its prediction is the class of the highest score.

    Raises:
        EvaluationError: A label is no class, or a score is NaN or infinite.
    """
    labeled = [_labeled(record, spec) for record in records]
    shown = [picture(record.image, record, spec) for record in labeled]
    if via is Classifies:
        classes = json.loads(answers[ClassNames()])
        scores = stacked(answers[Classify(one)] for one in shown)
    else:
        classes = _labels(labeled, spec)
        texts = stacked(answers[EmbedText(_text(label, spec))] for label in classes)
        scores = stacked(answers[EmbedImage(one)] for one in shown) @ texts.T
    yield from _samples(labeled, scores, classes, spec)


def score(samples: Sequence[Sample], spec: BenchmarkSpec) -> Scored:
    """Return ``accuracy`` and, of more than five classes, ``top_5_accuracy``.

    Raises:
        EvaluationError: There are no samples, or one has no rank.
    """
    ranks = [_number(sample, "rank", spec) for sample in samples]
    counts = [_number(sample, "classes", spec) for sample in samples]
    scored = [
        sample.model_copy(update={"score": float(rank <= 1)})
        for sample, rank in zip(samples, ranks, strict=True)
    ]
    metrics = [
        share(
            "accuracy" if depth == 1 else f"top_{depth}_accuracy",
            [float(rank <= depth) for rank in ranks],
            chances=[min(1.0, depth / count) for count in counts],
        )
        for depth in DEPTHS
        if depth == 1 or max(counts, default=0) > depth
    ]
    groups = {}
    if spec.group_by is not None:
        names = [str(sample.group) for sample in samples]
        hits = [float(rank <= 1) for rank in ranks]
        chances = [1 / count for count in counts]
        groups = share_per_group("accuracy", hits, names, chances=chances)
    return Scored(scored, metrics, groups)


def _samples(
    records: Sequence[Labeled],
    scores: Float[Tensor, "images classes"],
    classes: Sequence[str],
    spec: BenchmarkSpec,
) -> Iterator[Sample]:
    assert spec.tie_rule is not None
    places = {label: place for place, label in enumerate(classes)}
    right = torch.tensor([_place(record, places, spec) for record in records])
    positive = right[:, None] == torch.arange(len(classes))[None, :]
    ranks = rank_of_positive(scores, positive, tie_rule=spec.tie_rule)
    best = scores.argmax(dim=1)
    for number, record in enumerate(records):
        yield Sample(
            id=record.id,
            group=group_of(record, spec),
            prediction=classes[int(best[number])],
            answer=record.label,
            extra={"rank": int(ranks[number]), "classes": len(classes)},
        )


def _labels(records: Sequence[Labeled], spec: BenchmarkSpec) -> tuple[str, ...]:
    """Return what a zero-shot classifier chooses from."""
    labels = spec.labels or tuple(sorted({record.label for record in records}))
    if len(set(labels)) < len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        raise EvaluationError(f"{spec.name}: labels: {twice!r} is listed twice; take one out")
    return labels


def _text(label: str, spec: BenchmarkSpec) -> str:
    own = "{label}" in spec.prompt_format
    template = (
        spec.prompt_format
        if own
        else pick(PROMPT_FORMATS, spec.prompt_format, kind="prompt_format")
    )
    return template.replace("{label}", label.replace("_", " "))


def _place(record: Labeled, places: dict[str, int], spec: BenchmarkSpec) -> int:
    if record.label not in places:
        many = len(places) > 60
        guess = near(record.label, places)
        hint = f" Did you mean {guess!r}?" if guess else ""
        problem = (
            f"unknown class {record.label!r}.{hint} The model has {len(places)} classes"
            if many
            else unknown("class", record.label, places)
        )
        raise EvaluationError(f"{spec.name}, record {record.id}: {problem}")
    return places[record.label]


def _labeled(record: Record, spec: BenchmarkSpec) -> Labeled:
    if isinstance(record, Labeled):
        return record
    raise EvaluationError(
        f"{spec.name}, record {record.id}: expected an image with a label "
        "(data.type: classification)"
    )


def _number(sample: Sample, field: str, spec: BenchmarkSpec) -> int:
    value = sample.extra.get(field)
    if not isinstance(value, int):
        raise EvaluationError(
            f"{spec.name}, sample {sample.id}: expected a whole number for `{field}` in `extra`"
        )
    return value


CLASSIFICATION = Scorer(requires=(Classifies, Embeds), ask=ask, read=read, score=score)
