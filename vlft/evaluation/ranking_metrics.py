"""The ranking metrics of MMEB's leaderboard, at 1, 5 and 10.

By definition those of VLM2Vec (TIGER-AI-Lab/VLM2Vec, ``src/utils/eval_utils/metrics.py``), with one
correction: there, labels pass through a Python set before they meet their relevance, so graded nDCG
changes from process to process. Here every label keeps its own relevance.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import fsum, log2

import numpy as np

CUTOFFS = (1, 5, 10)

FAMILIES = (
    "hit", "ndcg_linear", "ndcg_exponential", "precision", "recall", "f1", "map", "mrr"
)  # fmt: skip

NAMES = tuple(f"{family}@{k}" for family in FAMILIES for k in CUTOFFS)
"""Names of all metrics, in the order of the leaderboard's reports."""


def ranking_metrics(
    prediction: Sequence[str],
    label: str | Sequence[str],
    relevance: Sequence[float | int] | None = None,
) -> dict[str, float]:
    """Return all metrics of one query.

    Args:
        prediction: Different candidates, the best first.
        label: The right one, or all right ones; of repeated ones the first counts.
        relevance: How relevant each label is, which only nDCG asks; None: all alike.
    """
    assert len(set(prediction)) == len(prediction), "a candidate is ranked twice"
    labels = [label] if isinstance(label, str) else list(label)
    grades = [1.0] * len(labels) if relevance is None else list(relevance)
    relevances: dict[str, float | int] = {}
    for name, grade in zip(labels, grades, strict=True):
        relevances.setdefault(name, grade)
    found: dict[str, float] = {}
    for k in CUTOFFS:
        found |= {
            f"{family}@{k}": value for family, value in _at(k, prediction, relevances).items()
        }
    return {name: found[name] for name in NAMES}


def mean_metrics(queries: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of every metric over queries, at least one; by numpy, as in the reports."""
    rows = list(queries)
    assert rows, "no queries"
    return {name: float(np.mean([row[name] for row in rows])) for name in NAMES}


def metrics_at_rank(rank: int) -> dict[str, float]:
    """Return all metrics of a query with one right candidate, which has this rank; 1 is first."""
    ranks = range(1, max(CUTOFFS) + 1)
    return ranking_metrics([str(place) for place in ranks], str(rank))


def _at(
    k: int, prediction: Sequence[str], relevances: Mapping[str, float | int]
) -> dict[str, float]:
    """Return the metrics at one cutoff."""
    shown = prediction[:k]
    ranks = [rank for rank, name in enumerate(shown, start=1) if name in relevances]
    # k counts in full where fewer candidates are ranked; no label at all is found completely.
    precision = len(ranks) / k
    recall = len(ranks) / len(relevances) if relevances else 1.0
    both = precision + recall
    hits = [(number + 1) / rank for number, rank in enumerate(ranks)]
    return {
        "hit": float(bool(ranks)),
        "ndcg_linear": _ndcg(shown, relevances, k, exponential=False),
        "ndcg_exponential": _ndcg(shown, relevances, k, exponential=True),
        "precision": precision,
        "recall": recall,
        "f1": 2 * (precision * recall) / both if both else 0.0,
        "map": fsum(hits) / min(len(relevances), k) if hits else 0.0,
        "mrr": 1 / ranks[0] if ranks else 0.0,
    }


def _ndcg(
    shown: Sequence[str], relevances: Mapping[str, float | int], k: int, *, exponential: bool
) -> float:
    """Return the discounted gain over that of the best order (Jarvelin and Kekalainen, 2002)."""

    def gained(grades: Iterable[float | int]) -> float:
        total = 0.0
        for rank, grade in enumerate(grades, start=1):
            # added one by one, in the order of the ranks, which gives upstream's last digit
            total += (2**grade - 1 if exponential else grade) / log2(rank + 1)
        return total

    best = gained(sorted(relevances.values(), reverse=True)[:k])
    return gained(relevances.get(name, 0) for name in shown) / best if best > 0 else 0.0
