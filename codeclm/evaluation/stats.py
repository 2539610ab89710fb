"""Bootstrap intervals: how far a figure would move on another draw of the same kind of items."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

DRAWS = 5000


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % bootstrap interval over `items` items."""

    value: float
    low: float
    high: float
    items: int

    def percent(self) -> str:
        """A rate as people read it."""
        return f"{100 * self.value:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}]"


def mean(values: ArrayLike) -> Interval:
    """Mean of the values."""
    return _bootstrap(lambda v: v.mean(-1), values)


def median(values: ArrayLike) -> Interval:
    """Median of the values."""
    return _bootstrap(lambda v: np.median(v, -1), values)


def ratio(over: ArrayLike, under: ArrayLike) -> Interval:
    """Sum of `over` divided by sum of `under`, item by item resampled together.

    With word errors over words this is the word error rate of a corpus.
    """
    return _bootstrap(lambda a, b: a.sum(-1) / b.sum(-1), over, under)


def ratio_change(over: ArrayLike, before: ArrayLike, under: ArrayLike) -> Interval:
    """`ratio` of `over` minus that of `before`, paired: both of an item are resampled together."""
    return ratio(np.subtract(over, before), under)


def _bootstrap(figure: Callable[..., Any], *columns: ArrayLike) -> Interval:
    data = [np.asarray(column, dtype=np.float64) for column in columns]
    items = len(data[0])
    if items == 0:
        raise ValueError("no items to average: check the selection and the split names")
    if any(column.shape != (items,) for column in data):
        raise ValueError(f"columns of different shapes: {[column.shape for column in data]}")
    picks = np.random.default_rng(0).integers(items, size=(DRAWS, items))
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(figure(*data))
        sample = figure(*(column[picks] for column in data))
    low, high = np.nanquantile(sample, [0.025, 0.975])
    return Interval(value, float(low), float(high), items)
