"""Bootstrap intervals: how far a figure would move on another draw of the same kind of items."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % bootstrap interval over `items` items."""

    value: float
    low: float
    high: float
    items: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def percent(self) -> str:
        """The same in percent, for rates."""
        return f"{100 * self.value:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}]"


def mean(values: ArrayLike, *, seed: int = 0, draws: int = 5000) -> Interval:
    """Mean of the values."""
    return _bootstrap(lambda v: v.mean(-1), [values], seed, draws)


def median(values: ArrayLike, *, seed: int = 0, draws: int = 5000) -> Interval:
    """Median of the values."""
    return _bootstrap(lambda v: np.median(v, -1), [values], seed, draws)


def ratio(over: ArrayLike, under: ArrayLike, *, seed: int = 0, draws: int = 5000) -> Interval:
    """Sum of `over` divided by sum of `under`, item by item resampled together.

    With word errors over words this is the word error rate of a corpus.
    """
    return _bootstrap(lambda a, b: a.sum(-1) / b.sum(-1), [over, under], seed, draws)


def ratio_change(over: ArrayLike, before: ArrayLike, under: ArrayLike) -> Interval:
    """`ratio` of `over` minus that of `before`, paired: both of an item are resampled together."""
    return ratio(np.subtract(over, before), under)


def _bootstrap(
    figure: Callable[..., Any], columns: Sequence[ArrayLike], seed: int, draws: int
) -> Interval:
    data = [np.asarray(column, dtype=np.float64) for column in columns]
    items = len(data[0])
    if items == 0:
        raise ValueError("no items to average: check the selection and the split names")
    if any(column.shape != (items,) for column in data):
        raise ValueError(f"columns of different shapes: {[column.shape for column in data]}")
    picks = np.random.default_rng(seed).integers(items, size=(draws, items))
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(figure(*data))
        sample: Floats = figure(*(column[picks] for column in data))
    low, high = np.nanquantile(sample, [0.025, 0.975])
    return Interval(value, float(low), float(high), items)
