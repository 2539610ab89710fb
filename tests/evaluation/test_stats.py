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


def test_change_is_paired() -> None:
    draw = np.random.default_rng(0)
    words, before = np.full(200, 10.0), draw.integers(0, 8, 200)
    always_one_more = stats.ratio_change(before + 1, before, words)
    assert [always_one_more.value, always_one_more.low, always_one_more.high] == pytest.approx(
        [0.1] * 3
    )
    after = draw.integers(0, 8, 200)
    found = stats.ratio_change(after, before, words)
    assert found.value == pytest.approx(
        stats.ratio(after, words).value - stats.ratio(before, words).value
    )
    error = (after - before).std() / 10 / np.sqrt(200)
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_median_and_text() -> None:
    assert stats.median([1, 2, 30]).value == 2
    assert stats.mean([0.5, 0.5]).percent() == "50.0 % [50.0, 50.0]"


def test_the_same_values_have_the_same_interval() -> None:
    assert stats.mean(np.arange(30.0)) == stats.mean(np.arange(30.0))


def test_nothing_to_average() -> None:
    with pytest.raises(ValueError, match="no items"):
        stats.mean([])
    with pytest.raises(ValueError, match="different shapes"):
        stats.ratio([1, 2], [1])
