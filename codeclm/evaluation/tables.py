"""Tables and charts of a report, as values: what Markdown, HTML and JSON are made of."""

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


@dataclass(frozen=True)
class Table:
    """Cells by row and column, under a title.

    Attributes:
        note: one line above it; "" for none.
        folded: whether a page shows its title alone until it is asked.
    """

    title: str
    rows: Mapping[str, Mapping[str, Cell]]
    note: str = ""
    folded: bool = False

    @property
    def columns(self) -> list[str]:
        """In the order of the fullest row, then of the others."""
        fullest = sorted(self.rows.values(), key=len, reverse=True)
        return list(dict.fromkeys(column for cells in fullest for column in cells))

    def markdown(self) -> str:
        """The table under its title, behind it where it is folded."""
        head, end = f"## {self.title}", []
        if self.folded:
            head, end = f"<details><summary>{self.title}</summary>", ["", "</details>"]
        lines = [head, "", *([self.note, ""] if self.note else [])]
        lines.append(f"| | {' | '.join(self.columns)} |")
        lines.append("|---" * (len(self.columns) + 1) + "|")
        for name, cells in self.rows.items():
            found = (cells.get(column, Cell(None, "")) for column in self.columns)
            texts = (f"{cell.text} {cell.detail}".strip() for cell in found)
            lines.append(f"| {name} | {' | '.join(texts)} |")
        return "\n".join([*lines, *end, ""])

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


@dataclass(frozen=True)
class Chart:
    """A measure against bits a second. Points of one codec with more and fewer codebooks join."""

    title: str
    unit: str
    points: Sequence[Point]


def plain(value: Any, text: str) -> Cell:
    """A figure without an interval."""
    return Cell(value, text)


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
