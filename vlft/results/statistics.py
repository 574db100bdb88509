"""Intervals of numbers, without torch."""

from collections.abc import Sequence
from fractions import Fraction
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

    Args:
        groups: Scores of each group, none of them empty.
        level: Coverage.
    """
    assert groups, "no groups"
    return stratified_interval(groups, [1 / len(groups)] * len(groups), level=level)


def stratified_interval(
    groups: Sequence[Sequence[float]], weights: Sequence[float], *, level: float = LEVEL
) -> Interval:
    """Return a bootstrap interval for a weighted sum of the means of groups.

    Samples are drawn anew within each group (Efron and Tibshirani, "An Introduction to the
    Bootstrap", 1993, sections 8.3 and 13.3: percentile interval), from a fixed seed: equal scores
    give an equal interval.

    Args:
        groups: Scores of each group, none of them empty.
        weights: What the mean of each group counts.
        level: Coverage.
    """
    generator = np.random.default_rng(0)
    sums = np.zeros(RESAMPLES)
    for scores, weight in zip(groups, weights, strict=True):
        values, counts = np.unique(np.asarray(scores, dtype=float), return_counts=True)
        size = max(1, COUNTS_AT_ONCE // len(values))
        for start in range(0, RESAMPLES, size):
            rows = slice(start, min(start + size, RESAMPLES))
            drawn = generator.multinomial(
                len(scores), counts / len(scores), size=rows.stop - rows.start
            )
            sums[rows] += weight * (drawn @ values) / len(scores)
    low, high = np.quantile(sums, [0.5 - level / 2, 0.5 + level / 2])
    return Interval(method="bootstrap", level=level, low=float(low), high=float(high))


COUNTS_AT_ONCE = 5_000_000
"""Counts of a bootstrap that are drawn together, to bound the memory that it takes."""


def resampled_sums(rows: np.ndarray) -> np.ndarray:
    """Return the sums of each column over bootstrap resamples of the rows.

    For numbers that are no mean, such as a ratio of sums. The draws have a fixed seed, and the
    order of the rows has no influence.

    Args:
        rows: One row of numbers per sample, at least one.

    Returns:
        ``RESAMPLES`` rows.
    """
    rows = rows[np.lexsort(rows.T)]
    generator, size = np.random.default_rng(0), len(rows)
    sums = np.empty((RESAMPLES, rows.shape[1]))
    for start in range(0, RESAMPLES, RESAMPLES_AT_ONCE):
        counts = [
            np.bincount(generator.integers(0, size, size), minlength=size)
            for _ in range(min(RESAMPLES_AT_ONCE, RESAMPLES - start))
        ]
        sums[start : start + len(counts)] = np.stack(counts) @ rows
    return sums


RESAMPLES_AT_ONCE = 50


def percentile_interval(values: np.ndarray, *, level: float = LEVEL) -> Interval:
    """Return the percentile interval of a number by what it came to on bootstrap resamples."""
    low, high = np.quantile(values, [0.5 - level / 2, 0.5 + level / 2])
    return Interval(method="bootstrap", level=level, low=float(low), high=float(high))


def mcnemar(better: int, worse: int) -> float:
    """Return the two-sided p of McNemar's exact test.

    McNemar, "Note on the sampling error of the difference between correlated proportions", 1947,
    with the binomial distribution in place of its approximation.

    Args:
        better: Samples that only the second model has right.
        worse: Samples that only the first model has right.
    """
    n, least = better + worse, min(better, worse)
    # the tail in whole numbers, so that no p is lost to rounding; each term from the one before
    ways = tail = 1
    for k in range(least):
        ways = ways * (n - k) // (k + 1)
        tail += ways
    return min(1.0, float(Fraction(2 * tail, 2**n)))


def sign_flips(differences: Sequence[float]) -> float:
    """Return the two-sided p of a permutation test on paired differences.

    Under the null hypothesis each difference may as well have the other sign (Fisher, "The Design
    of Experiments", 1935, section 21). 10,000 draws from a fixed seed, the data counted as one.

    Args:
        differences: One per pair.
    """
    values = np.asarray(differences, dtype=float)
    values = values[values != 0]
    if len(values) == 0:
        return 1.0
    generator = np.random.default_rng(0)
    found, size = 0, max(1, FLIPS_AT_ONCE // len(values))
    for start in range(0, FLIPS, size):
        signs = generator.integers(0, 2, size=(min(size, FLIPS - start), len(values))) * 2 - 1
        # a little slack, since sums in another order may differ in the last bits
        found += int((abs(signs @ values) >= abs(values.sum()) * (1 - 1e-12)).sum())
    return (found + 1) / (FLIPS + 1)


FLIPS = 10_000
FLIPS_AT_ONCE = 20_000_000
"""Signs that are drawn together, to bound the memory that it takes."""
