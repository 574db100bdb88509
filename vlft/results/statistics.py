"""Intervals of numbers, without torch."""

from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist

import numpy as np

from vlft.results.records import Interval

LEVEL = 0.95
"""Coverage of every interval."""

RESAMPLES = 2000
"""Resamples of a bootstrap; the ends of its interval move by about 2 % of its width."""


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


def macro_interval(groups: Sequence[Sequence[float]], *, level: float = LEVEL) -> Interval:
    """Return a bootstrap interval for the unweighted mean of the means of groups.

    Samples are drawn anew within each group (Efron and Tibshirani, "An Introduction to the
    Bootstrap", 1993, sections 8.3 and 13.3: percentile interval), from a fixed seed: equal scores
    give an equal interval.

    Args:
        groups: Scores of each group, none of them empty.
        level: Coverage.
    """
    assert groups, "no groups"
    generator = np.random.default_rng(0)
    means = np.zeros(RESAMPLES)
    for scores in groups:
        values, counts = np.unique(np.asarray(scores, dtype=float), return_counts=True)
        drawn = generator.multinomial(len(scores), counts / len(scores), size=RESAMPLES)
        means += drawn @ values / len(scores)
    means /= len(groups)
    low, high = np.quantile(means, [0.5 - level / 2, 0.5 + level / 2])
    return Interval(method="bootstrap", level=level, low=float(low), high=float(high))
