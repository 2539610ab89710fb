"""Charts as inline SVG, with intervals, in the colours of the page (CSS classes c0, c1 ...)."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from codeclm.evaluation.tables import Chart, Point

LEFT, RIGHT, TOP, BOTTOM = 44, 12, 12, 36
TICKS = (500, 1000, 2000, 4000, 8000, 16_000, 32_000, 64_000)
LETTER, LINE = 6.0, 12.0  # width and height of a label's letters, about


@dataclass(frozen=True)
class Axes:
    """Where figures lie in a drawing.

    Attributes:
        x: figures at the left and at the right end.
        y: at the bottom and at the top.
        log: whether x goes by the logarithm.
        right: room for labels at the right.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    log: bool = False
    width: int = 460
    height: int = 300
    right: int = RIGHT

    def across(self, value: float) -> float:
        """Where a figure lies along x."""
        low, high, value = (math.log(v) if self.log else v for v in (*self.x, value))
        return LEFT + (value - low) / (high - low) * (self.width - LEFT - self.right)

    def up(self, value: float) -> float:
        """Where a figure lies along y."""
        low, high = self.y
        inside = self.height - TOP - BOTTOM
        return self.height - BOTTOM - (value - low) / (high - low) * inside

    def path(self, points: Iterable[tuple[float, float]], kind: str) -> str:
        """A line through figures (x, y), with attributes."""
        places = "L".join(f"{self.across(x):.1f} {self.up(y):.1f}" for x, y in points)
        return f'<path class="{kind}" d="M{places}"/>'

    def frame(self, ticks: Mapping[float, str], unit: str) -> list[str]:
        """Lines of the grid: at the ticks of x, whose unit stands below, and at round y."""
        floor, end = self.height - BOTTOM, self.width - self.right
        parts = []
        for tick, label in ticks.items():
            if self.x[0] <= tick <= self.x[1]:
                place = self.across(tick)
                parts.append(f'<path class="grid" d="M{place:.1f} {TOP}V{floor}"/>')
                parts.append(_text(place, floor + 15, label, "middle"))
        parts.append(_text((LEFT + end) / 2, self.height - 4, unit, "middle"))
        for value in _round_figures(*self.y):
            parts.append(f'<path class="grid" d="M{LEFT} {self.up(value):.1f}H{end}"/>')
            parts.append(_text(LEFT - 6, self.up(value) + 4, f"{value:g}", "end"))
        return parts

    def drawing(self, title: str, parts: Sequence[str]) -> str:
        """The whole as SVG."""
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" role="img" '
            f'aria-label="{escape(title)}">{"".join(parts)}</svg>'
        )


def svg(chart: Chart, colours: Mapping[str, int]) -> str:
    """A measure of codecs against bits a second; `colours` gives each the number of its class."""
    rated = [point.x for point in chart.points if point.x]
    ends = min(rated, default=1000.0) / 1.3, max(rated, default=8000.0) * 1.3
    axes = Axes(ends, _range(chart.points, zero=chart.unit == "%"), log=True)
    ticks = {float(tick): f"{tick / 1000:g}" for tick in TICKS if ends[0] < tick < ends[1]}
    parts = axes.frame(ticks, "kbit/s")
    families: dict[str, list[Point]] = defaultdict(list)
    for point in chart.points:
        families[point.name.partition(":")[0]].append(point)
    for name, points in families.items():
        line = sorted((p.x, p.y) for p in points if p.x)
        if len(line) > 1:
            parts.append(axes.path(line, f"join c{colours.get(name, 0)}"))
        for p in points:
            rate = f"{p.x / 1000:.2f} kbit/s, " if p.x else ""
            parts.append(_mark(p, axes, colours.get(name, 0), rate))
    return axes.drawing(chart.title, parts)


def front(points: Sequence[Point], lower: bool) -> list[Point]:
    """Those that no other is at least as good as in both, by rising x; y is good when small.

    Args:
        points: with an x.
        lower: x is good when small too; otherwise when large.
    """
    sign = 1 if lower else -1
    best: list[Point] = []
    for point in sorted(points, key=lambda p: (sign * (p.x or 0), p.y)):
        if not best or point.y < best[-1].y:
            best.append(point)
    return sorted(best, key=lambda p: p.x or 0)


def scatter(chart: Chart, colours: Mapping[str, int], unit: str, lower: bool = False) -> str:
    """Points by name against x (by its logarithm), and the Pareto front; y is good when small.

    Args:
        chart: points without an x are lines across.
        colours: of each point the number of its CSS class.
        unit: of x.
        lower: x is good when small; otherwise when large.
    """
    placed = [p for p in chart.points if p.x is not None]
    known = [p.x or 1.0 for p in placed] or [1.0]
    ends = min(known) / 1.35, max(known) * 1.35
    axes = Axes(ends, _range(chart.points, zero=True), log=True, width=640, height=380)
    parts = axes.frame(_powers(*ends), unit)
    best = front(placed, lower)
    if len(best) > 1:
        parts.append(axes.path(((p.x or 1, p.y) for p in best), "front"))
    for point in chart.points:
        found = f"{point.x:.3g} {unit}, " if point.x else ""
        parts.append(_mark(point, axes, colours.get(point.name, 0), found))
    taken = [(axes.across(p.x or 1) - 5, axes.up(p.y) - 5, 10.0, 10.0) for p in placed]
    for point in sorted(placed, key=lambda p: p.y):
        parts.append(_label(point, axes, taken))
    for point in chart.points:
        if point.x is None:
            parts.append(_text(axes.width - RIGHT - 2, axes.up(point.y) - 4, point.name, "end"))
    return axes.drawing(chart.title, parts)


def curves(
    title: str,
    lines: Mapping[str, Sequence[tuple[float, float]]],
    colours: Mapping[str, int],
    unit: str,
) -> str:
    """Lines of (x, y) by name, which stands at their end; from the second eighth of x on."""
    last = max(x for line in lines.values() for x, _ in line)
    seen = [y for line in lines.values() for x, y in line if x >= last / 8]
    margin = 0.04 * (max(seen) - min(seen)) or 0.5
    low, high = min(seen) - margin, max(seen) + margin
    room = round(14 + LETTER * max(map(len, lines)))
    axes = Axes((0.0, last), (low, high), width=720, height=380, right=room)
    parts = axes.frame({v: f"{v:g}" for v in _round_figures(0.0, last)}, unit)
    ends = []
    for number, (name, line) in enumerate(lines.items()):
        shown = [(x, y) for x, y in line if low <= y <= high]
        kind = colours.get(name, 0)
        parts.append(axes.path(shown, f"curve c{kind}{' dashed' if number >= 8 else ''}"))
        ends.append((axes.up(shown[-1][1]), name, kind))
    place = 0.0
    for wanted, name, kind in sorted(ends):
        place = max(wanted + 4, place + LINE)
        label = _text(axes.width - room + 6, place, name, "start")
        parts.append(f'<g class="c{kind} said">{label}</g>')
    return axes.drawing(title, parts)


def _mark(point: Point, axes: Axes, colour: int, before: str) -> str:
    """A dot with its interval, or a line across where there is no x."""
    told = f"{point.name}: {before}{point.y:.2f} [{point.low:.2f}, {point.high:.2f}]"
    title = f"<title>{escape(told)}</title>"
    if point.x is None:
        end = axes.width - axes.right
        line = f'<path class="across" d="M{LEFT} {axes.up(point.y):.1f}H{end}"/>'
        return f'<g class="c{colour}">{title}{line}</g>'
    place = axes.across(point.x)
    bar = f'<path class="bar" d="M{place:.1f} {axes.up(point.low):.1f}V{axes.up(point.high):.1f}"/>'
    dot = f'<circle cx="{place:.1f}" cy="{axes.up(point.y):.1f}" r="4.5"/>'
    return f'<g class="c{colour}">{title}{bar}{dot}</g>'


def _label(point: Point, axes: Axes, taken: list[tuple[float, float, float, float]]) -> str:
    """The name of a point beside it, where nothing stands yet, if there is such a place."""
    x, y, wide = axes.across(point.x or 1), axes.up(point.y), LETTER * len(point.name)
    boxes = []
    for lift in (4, -8, 16, -20, 28):
        boxes.append((x + 8, y + lift - LINE + 2, wide, LINE))
        boxes.append((x - 8 - wide, y + lift - LINE + 2, wide, LINE))
    inside = [b for b in boxes if b[0] >= LEFT and b[0] + b[2] <= axes.width]
    free = [b for b in inside if not any(_meet(b, other) for other in taken)]
    chosen = (free or inside or boxes)[0]
    taken.append(chosen)
    label = _text(chosen[0], chosen[1] + LINE - 2, point.name, "start")
    return label.replace("<text ", '<text class="name" ', 1)


def _meet(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    """True when two boxes (left, top, width, height) overlap."""
    apart = a[0] + a[2] <= b[0] or b[0] + b[2] <= a[0] or a[1] + a[3] <= b[1] or b[1] + b[3] <= a[1]
    return not apart


def _range(points: Sequence[Point], zero: bool) -> tuple[float, float]:
    """Bottom and top of a chart: all intervals, and zero where it is asked for."""
    low, high = min(point.low for point in points), max(point.high for point in points)
    low = 0.0 if zero else low
    margin = 0.06 * (high - low) or 0.5
    return (0.0 if zero else low - margin), high + margin


def _powers(low: float, high: float) -> dict[float, str]:
    """Round figures between two, evenly apart by their logarithms, and how they are written."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 5), (1, 2, 3, 5, 7), (1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9)):
        found = [k * 10.0**power for power in powers for k in steps]
        inside = [value for value in found if low < value < high]
        if len(inside) > 2:
            break
    return {value: f"{value:g}" for value in inside}


def _round_figures(low: float, high: float) -> list[float]:
    """Three to eight of them between both."""
    power = 10.0 ** math.floor(math.log10(high - low))
    step = next(k * power for k in (0.2, 0.5, 1, 2) if (high - low) / (k * power) <= 8)
    return [i * step for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
