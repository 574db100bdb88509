"""Metrics as pure functions of strings, numbers and tensors: no model, no data set, no files."""

import re
from collections.abc import Callable, Sequence
from math import fsum, sqrt
from statistics import NormalDist

from jaxtyping import Bool, Float, Int
from torch import Tensor, finfo

from vlft.errors import EvaluationError, pick
from vlft.evaluation.benchmark import TieRule
from vlft.results import Interval, Metric

LEVEL = 0.95
"""Coverage of every interval."""


def wilson(successes: int | float, n: int, *, level: float = LEVEL) -> Interval:
    """Return Wilson's score interval for a share.

    Wilson, "Probable inference, the law of succession, and statistical inference", 1927; without
    continuity correction.

    Args:
        successes: Sum of scores in 0..1; the interval is exact theory for scores of 0 and 1.
        n: Number of scores, at least 1.
        level: Coverage.
    """
    assert 0 <= successes <= n, f"{successes} successes in {n}"
    assert n > 0, "no samples"
    z = NormalDist().inv_cdf(0.5 + level / 2)
    share = successes / n
    shrink = 1 + z * z / n
    center = (share + z * z / (2 * n)) / shrink
    half = z / shrink * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At 0 and n the closed form is exactly 0 and 1; rounding would leave it beside them.
    low = 0.0 if successes == 0 else max(0.0, center - half)
    high = 1.0 if successes == n else min(1.0, center + half)
    return Interval(method="wilson", level=level, low=low, high=high)


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


def rank_of_positive(
    similarity: Float[Tensor, "queries candidates"],
    positive: Bool[Tensor, "queries candidates"],
    *,
    tie_rule: TieRule,
) -> Int[Tensor, " queries"]:
    """Return, per query, the rank of its best right candidate: 1 is first.

    The order of the candidates has no influence.

    Args:
        similarity: Higher is nearer.
        positive: Which candidates are right; at least one per query.
        tie_rule: Whether a wrong candidate of equal similarity stands before or behind.

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
    return 1 + (ahead & ~positive).sum(dim=1)


def recall_at(k: int, ranks: Int[Tensor, " queries"]) -> Float[Tensor, " queries"]:
    """Return 1 for each query with a right candidate among the first ``k``, else 0."""
    return (ranks <= k).float()
