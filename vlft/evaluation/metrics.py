"""Metrics as pure functions of strings, numbers and tensors: no model, no data set, no files."""

import re
from collections.abc import Callable, Iterable, Sequence
from math import fsum

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, finfo

from vlft.errors import EvaluationError, pick
from vlft.evaluation.benchmark import TieRule
from vlft.results import Metric
from vlft.results.statistics import macro_interval, wilson


def share(name: str, scores: Sequence[float], *, chances: Sequence[float] | None = None) -> Metric:
    """Return the mean of scores in 0..1 with its Wilson interval.

    Args:
        name: Name of the metric.
        scores: One per sample.
        chances: What guessing gives for each sample; None when that is not known.

    Raises:
        EvaluationError: There are no scores.
    """
    if not scores:
        raise EvaluationError(f"{name}: no samples to score; the data set or the group is empty")
    total = fsum(scores)  # exact, so that the order of samples changes no digit
    return Metric(
        name=name,
        value=total / len(scores),
        n=len(scores),
        interval=wilson(total, len(scores)),
        chance=None if chances is None else fsum(chances) / len(chances),
    )


def share_per_group(
    name: str,
    scores: Sequence[float],
    groups: Sequence[str],
    *,
    chances: Sequence[float] | None = None,
) -> dict[str, tuple[Metric, ...]]:
    """Return ``share`` of each group, groups in alphabetical order."""
    members: dict[str, list[int]] = {group: [] for group in sorted(set(groups))}
    for row, group in enumerate(groups):
        members[group].append(row)
    return {
        group: (
            share(
                name,
                [scores[row] for row in rows],
                chances=None if chances is None else [chances[row] for row in rows],
            ),
        )
        for group, rows in members.items()
    }


def macro_share(
    name: str,
    scores: Sequence[float],
    groups: Sequence[str],
    *,
    chances: Sequence[float] | None = None,
) -> Metric:
    """Return the unweighted mean of the means of groups, with a bootstrap interval.

    Args:
        name: Name of the metric.
        scores: One per sample, in 0..1.
        groups: The group that each sample counts in.
        chances: What guessing gives for each sample; None when that is not known.

    Raises:
        EvaluationError: There are no scores.
    """
    if not scores:
        raise EvaluationError(f"{name}: no samples to score; the data set or the group is empty")

    def by_group(values: Sequence[float]) -> list[list[float]]:
        members: dict[str, list[float]] = {group: [] for group in sorted(set(groups))}
        for group, value in zip(groups, values, strict=True):
            members[group].append(value)
        return list(members.values())

    def mean_of_means(values: Sequence[float]) -> float:
        means = [fsum(members) / len(members) for members in by_group(values)]
        return fsum(means) / len(means)

    return Metric(
        name=name,
        value=mean_of_means(scores),
        n=len(scores),
        interval=macro_interval(by_group(scores)),
        chance=None if chances is None else mean_of_means(chances),
    )


def _verbatim(text: str) -> str:
    return text.strip()


def _plain(text: str) -> str:
    words = re.sub(r"\s+", " ", text).strip().casefold()
    return words.rstrip(".!").rstrip()


NORMALIZATIONS: dict[str, Callable[[str], str]] = {"verbatim": _verbatim, "plain": _plain}
"""How a text is prepared before it is compared, output and answer alike. ``verbatim``: surrounding
blanks go. ``plain``: also letter case, repeated blanks, and full stops or exclamation marks at the
end."""


def exact_match(prediction: str, answer: str, *, normalization: str) -> bool:
    """Whether two texts are equal after normalization.

    Args:
        prediction: What the model said.
        answer: What is right.
        normalization: A key of ``NORMALIZATIONS``.

    Raises:
        UnknownNameError: There is no such normalization.
    """
    normalize = pick(NORMALIZATIONS, normalization, kind="extraction")
    return normalize(prediction) == normalize(answer)


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Return the cosine of two vectors of unit length; equal vectors give equal numbers."""
    return float((one * other).sum())


def stacked(vectors: Iterable[np.ndarray]) -> Float[Tensor, "rows width"]:
    """Put the vectors of answers below each other."""
    return torch.from_numpy(np.stack(list(vectors)))


def rank_of_positive(
    similarity: Float[Tensor, "queries candidates"],
    positive: Bool[Tensor, "queries candidates"],
    *,
    tie_rule: TieRule,
    copies: Int[Tensor, " candidates"] | None = None,
) -> Int[Tensor, " queries"]:
    """Return, per query, the rank of its best right candidate: 1 is first.

    The order of the candidates has no influence.

    Args:
        similarity: Higher is nearer.
        positive: Which candidates are right; at least one per query.
        tie_rule: Whether a wrong candidate of equal similarity stands before or behind.
        copies: How many equal candidates each one stands for; None: one.

    Raises:
        EvaluationError: A similarity is NaN or infinite.
    """
    if not similarity.isfinite().all():
        row = int((~similarity.isfinite()).any(dim=1).nonzero()[0])
        raise EvaluationError(f"query {row}: a similarity is NaN or infinite; nothing is ranked")
    assert positive.any(dim=1).all(), "a query has no right candidate"
    lowest = finfo(similarity.dtype).min
    best = similarity.masked_fill(~positive, lowest).amax(dim=1, keepdim=True)
    ahead = similarity > best if tie_rule == "for_model" else similarity >= best
    before = ahead & ~positive
    if copies is None:
        return 1 + before.sum(dim=1)
    return 1 + (before.double() @ copies.double()).long()  # whole numbers, and so exact


def recall_at(k: int, ranks: Int[Tensor, " queries"]) -> Float[Tensor, " queries"]:
    """Return 1 for each query with a right candidate among the first ``k``, else 0."""
    return (ranks <= k).float()
