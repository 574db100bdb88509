"""Find the texts of an image and the image of a text among all records of the benchmark.

An image may have several texts (``meta["answers"]``): any of them is right for it, and each of them
is a query of its own. Recall@k is 1 for a query that has a right candidate among the first k.

What equal texts of different images are is a setting. ``shared``: one candidate, and each of their
images is right for it. ``apart``, as COCO and Flickr30k are measured: one candidate each, and only
its own image is right for it; a copy of an image's text is no wrong answer for the image, as no
model could tell the two.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from math import comb
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vlft.data.records import Pair, Record
from vlft.errors import EvaluationError, pick
from vlft.evaluation.answering import Answers
from vlft.evaluation.asking import picture, texts
from vlft.evaluation.benchmark import BenchmarkSpec
from vlft.evaluation.metrics import rank_of_positive, recall_at, share, stacked
from vlft.evaluation.requests import EmbedImage, EmbedText, Request
from vlft.evaluation.scorer import Scored, Scorer, settings_of
from vlft.recipe.section import Section
from vlft.results import Metric, Sample
from vlft.types import Embeds

IMAGE_TO_TEXT, TEXT_TO_IMAGE = "image_to_text", "text_to_image"
DEPTHS = (1, 5, 10)

SIMILARITIES_AT_ONCE = 1 << 23
"""Similarities that are held in memory together; those of COCO are fifteen times as many."""

PROMPT_FORMATS = {"caption": "{text}"}
"""``caption``: the text as it stands."""


class RetrievalSettings(Section):
    """What a benchmark of retrieval may set."""

    equal_texts: Literal["shared", "apart"] = "shared"
    """Whether equal texts of different images are one candidate."""
    expected_texts: int | None = None
    """Texts of the full data; another number is told beside the result. Null: not checked."""


class Pool(NamedTuple):
    """Images and different texts, embedded.

    Attributes:
        ids: Id of each image's record.
        texts: The different texts.
        owned: Places in ``texts`` of each image's own ones, in the order of its record.
        image_vectors: One row per image.
        text_vectors: One row per different text.
    """

    ids: list[str]
    texts: list[str]
    owned: list[list[int]]
    image_vectors: Float[Tensor, "images width"]
    text_vectors: Float[Tensor, "texts width"]


class Found(NamedTuple):
    """What a model finds for queries.

    Attributes:
        ranks: Place of the best right candidate of each; 1 is the first.
        nearest: Index of the nearest candidate of each.
    """

    ranks: list[int]
    nearest: list[int]


def ask(records: Sequence[Record], spec: BenchmarkSpec, via: type) -> Iterator[Request]:
    """Ask for the embeddings of all images and texts.

    Raises:
        EvaluationError: A record is no image-text pair, or the benchmark has no tie rule.
    """
    if spec.tie_rule is None:
        raise EvaluationError(f"{spec.name}: scorer retrieval needs `tie_rule`")
    for record in records:
        pair = _pair(record, spec)
        yield EmbedImage(picture(pair.image, pair, spec))
        for text in _texts(pair, spec):
            yield _embed_text(text, spec)


def read(
    records: Sequence[Record], answers: Answers, spec: BenchmarkSpec, via: type
) -> Iterator[Sample]:
    """Yield samples of each record: its texts by its image, then its image by each of its texts.

    Raises:
        EvaluationError: An embedding is NaN or infinite.
    """
    apart = settings_of(spec, RetrievalSettings).equal_texts == "apart"
    pool = _pool([_pair(record, spec) for record in records], answers, spec)
    owners: list[list[int]] = [[] for _ in pool.texts]
    for image, owned in enumerate(pool.owned):
        for text in owned:
            owners[text].append(image)
    # Equal texts are compared once; apart, a text stands for as many candidates as it has owners.
    copies = [len(images) if apart else 1 for images in owners]
    by_image = _find(pool.image_vectors, pool.text_vectors, pool.owned, copies, spec)
    queries = [(image, text) for image, owned in enumerate(pool.owned) for text in owned]
    right = [[image] if apart else sorted(set(owners[text])) for image, text in queries]
    vectors = pool.text_vectors[[text for _, text in queries]]
    by_text = _find(vectors, pool.image_vectors, right, [1] * len(pool.ids), spec)

    place = 0
    for image, (record_id, owned) in enumerate(zip(pool.ids, pool.owned, strict=True)):
        yield Sample(
            id=f"{record_id}/{IMAGE_TO_TEXT}",
            group=IMAGE_TO_TEXT,
            prediction=pool.texts[by_image.nearest[image]],
            answer=pool.texts[owned[0]],
            extra={
                "rank": by_image.ranks[image],
                "right": sum(copies[text] for text in set(owned)),
                "candidates": sum(copies),
            },
        )
        for number in range(len(owned)):
            which = f"/{number}" if len(owned) > 1 else ""
            yield Sample(
                id=f"{record_id}/{TEXT_TO_IMAGE}{which}",
                group=TEXT_TO_IMAGE,
                prediction=pool.ids[by_text.nearest[place]],
                answer=record_id,
                extra={
                    "rank": by_text.ranks[place],
                    "right": len(right[place]),
                    "candidates": len(pool.ids),
                },
            )
            place += 1


def score(samples: Sequence[Sample], spec: BenchmarkSpec) -> Scored:
    """Return recall at 1, 5 and 10 in both directions.

    A sample's own score is the recall of the main metric, in which only the samples of its
    direction count.

    Raises:
        EvaluationError: A direction has no samples, or a sample has no rank.
    """
    facts = [_facts(sample, spec) for sample in samples]
    rows: dict[str, list[int]] = {IMAGE_TO_TEXT: [], TEXT_TO_IMAGE: []}
    for row, sample in enumerate(samples):
        if sample.group in rows:
            rows[sample.group].append(row)
    metrics, scored = [], list(samples)
    for direction, members in rows.items():
        for k in DEPTHS:
            metric = _recall(f"{direction}_recall@{k}", k, [facts[row] for row in members])
            metrics.append(metric)
            if metric.name == spec.metric:
                scored = [
                    _own_score(sample, fact.rank <= k, direction, len(members))
                    for sample, fact in zip(samples, facts, strict=True)
                ]
    return Scored(scored, metrics, {}, tuple(_notes(rows, spec)))


def _own_score(sample: Sample, found: bool, direction: str, size: int) -> Sample:
    weight = 1 / size if sample.group == direction else 0.0
    return sample.model_copy(update={"score": float(found), "weight": weight})


def _notes(rows: Mapping[str, Sequence[int]], spec: BenchmarkSpec) -> Iterator[str]:
    expected, found = settings_of(spec, RetrievalSettings).expected_texts, len(rows[TEXT_TO_IMAGE])
    if expected not in (None, found) and len(rows[IMAGE_TO_TEXT]) == spec.expected_n:
        yield f"the data have {found} texts, and the benchmark declares {expected}"


class _Facts(NamedTuple):
    rank: int
    right: int
    candidates: int


def _recall(name: str, k: int, facts: Sequence[_Facts]) -> Metric:
    found = recall_at(k, torch.tensor([fact.rank for fact in facts], dtype=torch.long))
    chances = [_chance(fact.candidates, fact.right, k) for fact in facts]
    return share(name, found.tolist(), chances=chances)


@cache
def _chance(candidates: int, right: int, k: int) -> float:
    """Return how likely k drawn candidates hold a right one: not all k of them are wrong."""
    return 1 - comb(candidates - right, k) / max(1, comb(candidates, k))


def _facts(sample: Sample, spec: BenchmarkSpec) -> _Facts:
    values = [sample.extra.get(name) for name in _Facts._fields]
    if not all(isinstance(value, int) for value in values):
        raise EvaluationError(
            f"{spec.name}, sample {sample.id}: expected whole numbers for "
            f"{', '.join(_Facts._fields)} in `extra`"
        )
    return _Facts(*(int(str(value)) for value in values))


def _pool(pairs: Sequence[Pair], answers: Answers, spec: BenchmarkSpec) -> Pool:
    own = [_texts(pair, spec) for pair in pairs]
    places: dict[str, int] = {}
    owned = [[places.setdefault(text, len(places)) for text in some] for some in own]
    images = stacked(answers[EmbedImage(picture(pair.image, pair, spec))] for pair in pairs)
    texts = stacked(answers[_embed_text(text, spec)] for text in places)
    _require_finite(images, [f"record {pair.id}" for pair in pairs], spec)
    _require_finite(texts, [f"text {text!r}" for text in places], spec)
    return Pool([pair.id for pair in pairs], list(places), owned, images, texts)


def _require_finite(
    vectors: Float[Tensor, "rows width"], names: Sequence[str], spec: BenchmarkSpec
) -> None:
    bad = (~vectors.isfinite()).any(dim=1).nonzero()
    if len(bad) > 0:
        raise EvaluationError(
            f"{spec.name}, {names[int(bad[0])]}: its embedding is NaN or infinite, and nothing is "
            "ranked; check the model's weights and its dtype"
        )


def _find(
    queries: Float[Tensor, "queries width"],
    candidates: Float[Tensor, "candidates width"],
    right: Sequence[Sequence[int]],
    copies: Sequence[int],
    spec: BenchmarkSpec,
) -> Found:
    """Rank candidates by cosine, a part of the queries at a time.

    Args:
        queries: One row each.
        candidates: One row each.
        right: Right candidates of each query.
        copies: How many candidates each one stands for.
        spec: The benchmark.
    """
    assert spec.tie_rule is not None
    found = Found([], [])
    size = max(1, SIMILARITIES_AT_ONCE // len(candidates))
    counted, wide = torch.tensor(copies), candidates.double().T
    for start in range(0, len(queries), size):
        # Rounded from double precision, equal vectors have equal cosines wherever they stand.
        similarity = (queries[start : start + size].double() @ wide).float()
        positive = torch.zeros_like(similarity, dtype=torch.bool)
        for row, places in enumerate(right[start : start + size]):
            positive[row, list(places)] = True
        ranks = rank_of_positive(similarity, positive, tie_rule=spec.tie_rule, copies=counted)
        found.ranks.extend(ranks.tolist())
        found.nearest.extend(similarity.argmax(dim=1).tolist())
    return found


def _texts(pair: Pair, spec: BenchmarkSpec) -> list[str]:
    """Return the texts of an image."""
    listed = pair.meta.get("answers")
    return [pair.text] if listed is None else texts(listed, "answers", pair, spec)


def _embed_text(text: str, spec: BenchmarkSpec) -> EmbedText:
    write = pick(PROMPT_FORMATS, spec.prompt_format, kind="prompt_format").format
    return EmbedText(write(text=text))


def _pair(record: Record, spec: BenchmarkSpec) -> Pair:
    if isinstance(record, Pair):
        return record
    raise EvaluationError(
        f"{spec.name}, record {record.id}: retrieval needs image-text pairs, not conversations"
    )


RETRIEVAL = Scorer(requires=(Embeds,), ask=ask, read=read, score=score, settings=RetrievalSettings)
