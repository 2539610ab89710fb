"""Bootstrap intervals against closed forms."""

import numpy as np
import pytest

from codeclm.evaluation import stats


def test_mean_interval_is_about_two_standard_errors() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, size=400)
    found = stats.mean(values)
    error = values.std() / 20
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.2 * error)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.2 * error)
    assert found.items == 400


def test_ratio_pools_over_items() -> None:
    found = stats.ratio([1, 0, 5], [10, 10, 30])
    assert found.value == pytest.approx(6 / 50)
    assert found.low < found.value < found.high
    assert stats.ratio([0, 0], [3, 4]) == stats.Interval(0.0, 0.0, 0.0, 2)


def test_median_and_text() -> None:
    assert stats.median([1, 2, 30]).value == 2
    assert stats.mean([0.5, 0.5]).percent() == "50.0 % [50.0, 50.0]"
    assert str(stats.mean([0.5])) == "0.500 [0.500, 0.500]"


def test_same_seed_same_interval() -> None:
    values = np.arange(30.0)
    assert stats.mean(values, seed=1) == stats.mean(values, seed=1)
    assert stats.mean(values, seed=1) != stats.mean(values, seed=2)


def test_nothing_to_average() -> None:
    with pytest.raises(ValueError, match="no items"):
        stats.mean([])
    with pytest.raises(ValueError, match="different shapes"):
        stats.ratio([1, 2], [1])
