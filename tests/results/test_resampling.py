"""Bootstrap intervals of numbers that are no mean."""

import numpy as np
import pytest

from vlft.results.statistics import RESAMPLES, percentile_interval, resampled_sums


def test_sums_are_those_of_as_many_rows_and_their_order_means_nothing():
    rows = np.column_stack([np.ones(40), np.arange(40)])
    sums = resampled_sums(rows)
    assert sums.shape == (RESAMPLES, 2)
    assert set(sums[:, 0]) == {40.0}
    shuffled = np.random.default_rng(1).permutation(rows)
    assert np.array_equal(resampled_sums(shuffled), sums)


def test_the_interval_of_a_mean_is_that_of_theory():
    values = np.random.default_rng(0).normal(size=400)
    interval = percentile_interval(resampled_sums(values[:, None])[:, 0] / 400)
    half = 1.96 * values.std() / 20
    assert (interval.high - interval.low) / 2 == pytest.approx(half, rel=0.05)
    assert (interval.high + interval.low) / 2 == pytest.approx(values.mean(), abs=half / 5)


def test_columns_of_one_row_stay_together():
    """A ratio that is the same in every row is the same in every resample."""
    size = np.random.default_rng(0).integers(1, 9, 30)
    sums = resampled_sums(np.column_stack([size * 3, size]))
    assert set(sums[:, 0] / sums[:, 1]) == {3.0}


def test_the_end_of_an_interval_is_a_percentile():
    interval = percentile_interval(np.arange(1001.0), level=0.9)
    assert (interval.low, interval.high) == pytest.approx((50, 950))
    assert (interval.method, interval.level) == ("bootstrap", 0.9)
