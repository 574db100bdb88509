"""Which class is an image of: by the logits of a classifier, or zero-shot by the texts of classes.

A record is an image with a label. Hosts with a head choose among their own classes; hosts with one
space for images and texts choose the class whose prompt is nearest (Radford et al., CLIP, 2021,
arXiv 2103.00020, section 3.1.4), among ``labels`` or, without them, all labels of the records.
"""

from collections.abc import Iterable, Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from vlft.data.records import Labeled, Record
from vlft.errors import EvaluationError, near, pick, unknown
from vlft.evaluation.asking import group_of, opened
from vlft.evaluation.benchmark import BenchmarkSpec
from vlft.evaluation.metrics import rank_of_positive, share, share_per_group
from vlft.evaluation.scorer import Scored, Scorer
from vlft.results import Sample
from vlft.types import Classifies, Embeds

DEPTHS = (1, 5)

PROMPT_FORMATS = {"photo": "a photo of a {label}.", "label": "{label}"}
"""Texts of the classes for hosts that embed; classifiers take none. A format that holds ``{label}``
is a template of one's own."""


def predict(
    model: Classifies | Embeds, batches: Iterable[Sequence[Record]], spec: BenchmarkSpec
) -> Iterator[Sample]:
    """Yield one sample per record; its prediction is the class of the highest score.

    Raises:
        EvaluationError: A record has no label, or one that is no class; there is no tie rule; or a
            score is NaN or infinite.
        RecordError: An image is bad.
    """
    if spec.tie_rule is None:
        raise EvaluationError(f"{spec.name}: scorer classification needs `tie_rule`")
    records: list[Labeled] = []
    parts: list[Tensor] = []
    for batch in batches:
        labeled = [_labeled(record, spec) for record in batch]
        images = [opened(record.image, record, spec) for record in labeled]
        records += labeled
        found = (
            model.classify(images) if isinstance(model, Classifies) else model.embed_images(images)
        )
        parts.append(found)
    scores, classes = torch.cat(parts), _classes(model, records, spec)
    if not isinstance(model, Classifies):
        scores = scores @ model.embed_texts([_text(label, spec) for label in classes]).T
    yield from _samples(records, scores, classes, spec)


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


def _classes(
    model: Classifies | Embeds, records: Sequence[Labeled], spec: BenchmarkSpec
) -> tuple[str, ...]:
    if isinstance(model, Classifies):
        return model.classes
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


CLASSIFICATION = Scorer(requires=(Classifies, Embeds), predict=predict, score=score)
