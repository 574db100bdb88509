"""What captions come to over a corpus: numbers with intervals, and a score for each caption."""

from collections.abc import Callable, Sequence
from functools import partial
from math import fsum
from typing import NamedTuple, TypeAlias

import numpy as np

from vlft.evaluation.captions.bleu import NUM_COUNTS, bleu, bleu_counts
from vlft.evaluation.captions.cider import cider_d
from vlft.evaluation.captions.java import java_metric
from vlft.evaluation.captions.ngrams import LONGEST
from vlft.evaluation.captions.rouge import rouge_l
from vlft.evaluation.metrics import share
from vlft.results import Metric
from vlft.results.statistics import percentile_interval, resampled_sums

BLEU = tuple(f"bleu_{size}" for size in range(1, LONGEST + 1))

Captions: TypeAlias = Sequence[Sequence[str]]
"""Words of one caption per image."""

References: TypeAlias = Sequence[Sequence[Sequence[str]]]
"""Words of the references of each image, at least one each."""


class Judged(NamedTuple):
    """A metric of captions.

    Attributes:
        each: Score of each caption.
        total: What any of them come to together; takes their numbers.
    """

    each: list[float]
    total: Callable[[Sequence[int]], Metric]


def _bleu(said: Captions, right: References) -> dict[str, Judged]:
    rows = [bleu_counts(*pair) for pair in zip(said, right, strict=True)]
    counts = np.array(rows, dtype=np.int64).reshape(-1, NUM_COUNTS)
    each = bleu(counts)
    return {
        name: Judged(each[:, place].tolist(), partial(_corpus_bleu, counts, place))
        for place, name in enumerate(BLEU)
    }


def _corpus_bleu(counts: np.ndarray, place: int, rows: Sequence[int]) -> Metric:
    taken = counts[np.asarray(rows)]
    return Metric(
        name=BLEU[place],
        value=float(bleu(taken.sum(axis=0))[place]),
        n=len(taken),
        interval=percentile_interval(bleu(resampled_sums(taken))[:, place]),
    )


def _rouge_l(said: Captions, right: References) -> dict[str, Judged]:
    return _mean("rouge_l", [rouge_l(*pair) for pair in zip(said, right, strict=True)])


def _cider(said: Captions, right: References) -> dict[str, Judged]:
    return _mean("cider", cider_d(said, right))


def _words(said: Captions, right: References) -> dict[str, Judged]:
    return _mean("words", [float(len(words)) for words in said])


def _mean(name: str, each: list[float]) -> dict[str, Judged]:
    values = np.array(each)

    def total(rows: Sequence[int]) -> Metric:
        taken = values[np.asarray(rows)]
        means = resampled_sums(taken[:, None])[:, 0] / len(taken)
        interval = percentile_interval(means)
        return Metric(name=name, value=fsum(taken) / len(taken), n=len(taken), interval=interval)

    return {name: Judged(each, total)}


def _exact_match(said: Captions, right: References) -> dict[str, Judged]:
    each = [
        float(any(list(words) == list(reference) for reference in captions))
        for words, captions in zip(said, right, strict=True)
    ]

    def total(rows: Sequence[int]) -> Metric:
        return share("exact_match", [each[row] for row in rows])

    return {"exact_match": Judged(each, total)}


def _with_java(name: str, said: Captions, right: References) -> dict[str, Judged]:
    value, each = java_metric(name, said, right)

    def total(rows: Sequence[int]) -> Metric:
        if len(rows) == len(each):
            return Metric(name=name, value=value, n=len(each))
        part = java_metric(name, [said[row] for row in rows], [right[row] for row in rows])
        return Metric(name=name, value=part[0], n=len(rows))

    return {name: Judged(each, total)}


METRICS: dict[str, Callable[[Captions, References], dict[str, Judged]]] = {
    "bleu": _bleu,
    "rouge_l": _rouge_l,
    "cider": _cider,
    "exact_match": _exact_match,
    "words": _words,
    "meteor": partial(_with_java, "meteor"),
    "spice": partial(_with_java, "spice"),
}
"""From captions and references to metrics by name. ``bleu``: four of them; ``exact_match``: the
same words as a reference; ``words``: how many there are, neither way being better; the last two
need Java. A group has its own BLEU, and a CIDEr with the document frequencies of all images."""
