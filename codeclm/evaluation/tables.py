"""Tables and charts of a report, as values."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from codeclm.evaluation import stats
from codeclm.evaluation.items import Row


class Cell(NamedTuple):
    """A figure for programs, and how people read it; `detail` is its interval."""

    value: Any
    text: str
    detail: str = ""


Cells = dict[str, Cell]  # of a row, by column


@dataclass(frozen=True)
class Table:
    """Cells by row and column, under a title.

    Attributes:
        note: one line above it; "" for none.
        folded: whether a page shows its title alone until it is asked.
        corner: what stands above the names of the rows.
    """

    title: str
    rows: Mapping[str, Mapping[str, Cell]]
    note: str = ""
    folded: bool = False
    corner: str = ""

    @property
    def columns(self) -> list[str]:
        """In the order of the fullest row, then of the others."""
        fullest = sorted(self.rows.values(), key=len, reverse=True)
        return list(dict.fromkeys(column for cells in fullest for column in cells))

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """The values alone."""
        return {name: {c: cell.value for c, cell in row.items()} for name, row in self.rows.items()}


class Point(NamedTuple):
    """One codec in a chart. `x` is None for one without a bitrate: a line across."""

    name: str
    x: float | None
    y: float
    low: float
    high: float


def point(name: str, x: float | None, cell: Cell) -> Point:
    """A point of a chart at the figure of a cell."""
    return Point(name, x, *(cell.value[end] for end in ("value", "low", "high")))


@dataclass(frozen=True)
class Chart:
    """A measure against bits a second. Points of one codec with more and fewer codebooks join."""

    title: str
    unit: str
    points: Sequence[Point]


def known(cells: Mapping[str, Cell | None]) -> Cells:
    """The cells that there are."""
    return {name: cell for name, cell in cells.items() if cell is not None}


def number(value: Any, form: str = "", scale: float = 1) -> Cell:
    """A figure without an interval, written as `format` does."""
    return Cell(value, format(value * scale if scale != 1 else value, form))


def figure(found: stats.Interval, decimals: int, scale: float = 1, sign: str = "") -> Cell:
    """A figure with its interval."""
    value, low, high = (scale * x for x in (found.value, found.low, found.high))
    text, *ends = (f"{x:{sign}.{decimals}f}" for x in (value, low, high))
    scaled = stats.Interval(value, low, high, found.items)
    return Cell(asdict(scaled), text, f"[{', '.join(ends)}]")


def column(rows: Sequence[Row], name: str) -> list[float]:
    """The numbers that are there."""
    return [float(row[name]) for row in rows if row.get(name) not in (None, "")]


def mean(rows: Sequence[Row], name: str, decimals: int, scale: float = 1) -> Cell | None:
    """The mean of the numbers that are there; None where there are none."""
    values = column(rows, name)
    return figure(stats.mean(values), decimals, scale) if values else None


def rate(rows: Sequence[Row], over: str, under: str) -> Cell | None:
    """`over` divided by `under`, both summed over the rows that have them, in percent."""
    there = [row for row in rows if row.get(over) not in (None, "")]
    below = column(there, under)
    if not sum(below):
        return None
    return figure(stats.ratio(column(there, over), below), 1, scale=100)


def pairs(rows: Sequence[Row], others: Sequence[Row], name: str) -> list[tuple[Row, Row]]:
    """Rows of the same items, where both have a figure."""
    found = {(row["part"], row["id"]): row for row in others if row.get(name) not in (None, "")}
    return [
        (row, found[row["part"], row["id"]])
        for row in rows
        if (row["part"], row["id"]) in found and row.get(name) not in (None, "")
    ]


def change(
    rows: Sequence[Row], others: Sequence[Row], over: str = "errors", under: str = "words"
) -> stats.Interval | None:
    """By how much the rate of `rows` is above that of `others`, over the items that both have."""
    both = pairs(rows, others, over)
    if not both:
        return None
    own, before = zip(*both, strict=True)
    return stats.ratio_change(column(own, over), column(before, over), column(own, under))
