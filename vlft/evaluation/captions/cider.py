"""CIDEr-D: what every harness prints as CIDEr.

Vedantam et al., "CIDEr: Consensus-based Image Description Evaluation", 2015 (arXiv 1411.5726),
section 5.3: cosines of n-gram counts, weighted by how rare an n-gram is among images, with clipped
counts, a Gaussian penalty on the difference of lengths (sigma 6), and a factor of 10. Document
frequencies come from the references in use, so the number of a part of a data set is not comparable
with that of the whole; with one image all weights, and the number, are 0.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from math import exp, fsum, log, sqrt
from typing import NamedTuple

from vlft.evaluation.captions.ngrams import LONGEST, ngram_counts

SIGMA = 6.0
FACTOR = 10.0
"""Highest score of a caption."""

Ngram = tuple[str, ...]


class _Vector(NamedTuple):
    weights: dict[Ngram, float]
    norms: tuple[float, ...]
    length: int


def cider_d(
    hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]
) -> list[float]:
    """Return the CIDEr-D of each caption, in 0..10; a corpus has their mean.

    Args:
        hypotheses: Words of each image's caption.
        references: Words of each image's references, at least one each.
    """
    counted = [[ngram_counts(words) for words in captions] for captions in references]
    images: Counter[Ngram] = Counter()
    for captions in counted:
        images.update(set().union(*captions))
    total = log(len(references)) if references else 0.0
    rarity = {ngram: total - log(count) for ngram, count in images.items()}
    return [
        _similarity(
            _vector(ngram_counts(words), rarity, total),
            [_vector(counts, rarity, total) for counts in captions],
        )
        for words, captions in zip(hypotheses, counted, strict=True)
    ]


def _vector(counts: Counter[Ngram], rarity: Mapping[Ngram, float], unseen: float) -> _Vector:
    weights = {ngram: count * rarity.get(ngram, unseen) for ngram, count in counts.items()}
    squares = [0.0] * LONGEST
    for ngram, weight in weights.items():
        squares[len(ngram) - 1] += weight * weight
    # COCO's evaluation takes the number of pairs of words for the length
    length = sum(count for ngram, count in counts.items() if len(ngram) == 2)
    return _Vector(weights, tuple(map(sqrt, squares)), length)


def _similarity(said: _Vector, references: Sequence[_Vector]) -> float:
    """Return the mean over lengths of n-grams and over references."""
    values = []
    for right in references:
        products = [0.0] * LONGEST
        for ngram, weight in said.weights.items():
            other = right.weights.get(ngram)
            if other:
                products[len(ngram) - 1] += min(weight, other) * other
        penalty = exp(-((said.length - right.length) ** 2) / (2 * SIGMA**2))
        values += [
            penalty * product / (one * other) if one and other else 0.0
            for product, one, other in zip(products, said.norms, right.norms, strict=True)
        ]
    return FACTOR * fsum(values) / len(values)
