"""Find the text of an image and the image of a text among all records of the benchmark.

Records with the same text share it: the text is one candidate, and each of their images is right
for it. Recall@k is 1 for a query that has a right candidate among the first k.
"""

from collections.abc import Iterator, Sequence
from math import comb
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vlft.data.records import Pair, Record
from vlft.errors import EvaluationError, pick
from vlft.evaluation.answering import Answers
from vlft.evaluation.asking import picture
from vlft.evaluation.benchmark import BenchmarkSpec
from vlft.evaluation.metrics import rank_of_positive, recall_at, share, stacked
from vlft.evaluation.requests import EmbedImage, EmbedText, Request
from vlft.evaluation.scorer import Scored, Scorer
from vlft.results import Metric, Sample
from vlft.types import Embeds

IMAGE_TO_TEXT, TEXT_TO_IMAGE = "image_to_text", "text_to_image"
DEPTHS = (1, 5, 10)

PROMPT_FORMATS = {"caption": "{text}"}
"""``caption``: the text as it stands."""


class Pool(NamedTuple):
    """All candidates with their similarities.

    Attributes:
        similarity: Cosine of every image with every different text.
        matches: Whether the text is the image's.
        ids: Id of each image's record.
        texts: The different texts.
    """

    similarity: Float[Tensor, "images texts"]
    matches: Bool[Tensor, "images texts"]
    ids: list[str]
    texts: list[str]


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
        yield _embed_text(pair.text, spec)


def read(
    records: Sequence[Record], answers: Answers, spec: BenchmarkSpec, via: type
) -> Iterator[Sample]:
    """Yield two samples per record: its text by its image, then its image by its text.

    Raises:
        EvaluationError: A similarity is NaN or infinite.
    """
    assert spec.tie_rule is not None
    pool = _pool([_pair(record, spec) for record in records], answers, spec)
    of_image = rank_of_positive(pool.similarity, pool.matches, tie_rule=spec.tie_rule)
    of_text = rank_of_positive(pool.similarity.T, pool.matches.T, tie_rule=spec.tie_rule)
    nearest_text, nearest_image = pool.similarity.argmax(dim=1), pool.similarity.argmax(dim=0)
    own_text, images_of_text = pool.matches.int().argmax(dim=1), pool.matches.sum(dim=0)
    for number, record_id in enumerate(pool.ids):
        own = int(own_text[number])
        yield Sample(
            id=f"{record_id}/{IMAGE_TO_TEXT}",
            group=IMAGE_TO_TEXT,
            prediction=pool.texts[int(nearest_text[number])],
            answer=pool.texts[own],
            extra={"rank": int(of_image[number]), "right": 1, "candidates": len(pool.texts)},
        )
        yield Sample(
            id=f"{record_id}/{TEXT_TO_IMAGE}",
            group=TEXT_TO_IMAGE,
            prediction=pool.ids[int(nearest_image[own])],
            answer=record_id,
            extra={
                "rank": int(of_text[own]),
                "right": int(images_of_text[own]),
                "candidates": len(pool.ids),
            },
        )


def score(samples: Sequence[Sample], spec: BenchmarkSpec) -> Scored:
    """Return recall at 1, 5 and 10 in both directions; a sample's own score is recall at 1.

    Raises:
        EvaluationError: A direction has no samples, or a sample has no rank.
    """
    scored = [
        sample.model_copy(update={"score": float(_facts(sample, spec).rank <= 1)})
        for sample in samples
    ]
    metrics = [
        _recall(k, direction, scored, spec)
        for direction in (IMAGE_TO_TEXT, TEXT_TO_IMAGE)
        for k in DEPTHS
    ]
    return Scored(scored, metrics, groups={})


class _Facts(NamedTuple):
    rank: int
    right: int
    candidates: int


def _recall(k: int, direction: str, samples: Sequence[Sample], spec: BenchmarkSpec) -> Metric:
    facts = [_facts(sample, spec) for sample in samples if sample.group == direction]
    found = recall_at(k, torch.tensor([fact.rank for fact in facts], dtype=torch.long))
    # k drawn candidates miss all right ones with the probability that all k are wrong.
    chances = [
        1 - comb(fact.candidates - fact.right, k) / max(1, comb(fact.candidates, k))
        for fact in facts
    ]
    return share(f"{direction}_recall@{k}", found.tolist(), chances=chances)


def _facts(sample: Sample, spec: BenchmarkSpec) -> _Facts:
    values = [sample.extra.get(name) for name in _Facts._fields]
    if not all(isinstance(value, int) for value in values):
        raise EvaluationError(
            f"{spec.name}, sample {sample.id}: expected whole numbers for "
            f"{', '.join(_Facts._fields)} in `extra`"
        )
    return _Facts(*(int(str(value)) for value in values))


def _pool(pairs: Sequence[Pair], answers: Answers, spec: BenchmarkSpec) -> Pool:
    images = stacked(answers[EmbedImage(picture(pair.image, pair, spec))] for pair in pairs)
    columns = {text: place for place, text in enumerate(dict.fromkeys(p.text for p in pairs))}
    texts = stacked(answers[_embed_text(text, spec)] for text in columns)
    own = torch.tensor([columns[pair.text] for pair in pairs])
    matches = own[:, None] == torch.arange(len(columns))[None, :]
    return Pool(images @ texts.T, matches, [pair.id for pair in pairs], list(columns))


def _embed_text(text: str, spec: BenchmarkSpec) -> EmbedText:
    write = pick(PROMPT_FORMATS, spec.prompt_format, kind="prompt_format").format
    return EmbedText(write(text=text))


def _pair(record: Record, spec: BenchmarkSpec) -> Pair:
    if isinstance(record, Pair):
        return record
    raise EvaluationError(
        f"{spec.name}, record {record.id}: retrieval needs image-text pairs, not conversations"
    )


RETRIEVAL = Scorer(requires=(Embeds,), ask=ask, read=read, score=score)
