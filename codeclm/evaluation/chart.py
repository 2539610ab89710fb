"""Charts as inline SVG: a measure against bits a second, with intervals, in the page's colours."""

import math
from collections.abc import Callable, Mapping
from html import escape

from codeclm.evaluation.tables import Chart, Point

WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 12, 36
Axis = Callable[[float], float]  # from a figure to its place
TICKS = (500, 1000, 2000, 4000, 8000, 16_000, 32_000, 64_000)


def svg(chart: Chart, colours: Mapping[str, int]) -> str:
    """The chart; `colours` gives each codec the number of its CSS class."""
    rated = [point.x for point in chart.points if point.x]
    first, last = min(rated, default=1000.0) / 1.3, max(rated, default=8000.0) * 1.3
    low, high = _range(chart)

    def x(bits: float) -> float:
        share = math.log(bits / first) / math.log(last / first)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = []
    for tick in TICKS:
        if first < tick < last:
            parts.append(f'<path class="grid" d="M{x(tick):.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
            parts.append(_text(x(tick), HEIGHT - BOTTOM + 15, f"{tick / 1000:g}", "middle"))
    parts.append(_text((LEFT + WIDTH) / 2, HEIGHT - 4, "kbit/s", "middle"))
    step = _step(high - low)
    for i in range(math.ceil(low / step), math.floor(high / step) + 1):
        value = i * step
        parts.append(f'<path class="grid" d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}"/>')
        parts.append(_text(LEFT - 6, y(value) + 4, f"{value:g}", "end"))
    families: dict[str, list[Point]] = {}
    for point in chart.points:
        families.setdefault(point.name.partition(":")[0], []).append(point)
    for name, points in families.items():
        drawn = [p for p in sorted(points, key=lambda p: p.x or 0) if p.x is not None]
        marks = [f"{x(p.x):.1f} {y(p.y):.1f}" for p in drawn if p.x]
        if len(marks) > 1:
            parts.append(f'<path class="join c{colours.get(name, 0)}" d="M{"L".join(marks)}"/>')
        parts += [_mark(p, x, y, colours.get(name, 0)) for p in points]
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(chart.title)}">'
        f"{''.join(parts)}</svg>"
    )


def _mark(point: Point, x: Axis, y: Axis, colour: int) -> str:
    """A dot with its interval, or a line across for a codec without a bitrate."""
    rate = f"{point.x / 1000:.2f} kbit/s, " if point.x else ""
    told = f"{point.name}: {rate}{point.y:.2f} [{point.low:.2f}, {point.high:.2f}]"
    title = f"<title>{escape(told)}</title>"
    if point.x is None:
        line = f'<path class="across" d="M{LEFT} {y(point.y):.1f}H{WIDTH - RIGHT}"/>'
        return f'<g class="c{colour}">{title}{line}</g>'
    place = x(point.x)
    bar = f'<path class="bar" d="M{place:.1f} {y(point.low):.1f}V{y(point.high):.1f}"/>'
    dot = f'<circle cx="{place:.1f}" cy="{y(point.y):.1f}" r="4.5"/>'
    return f'<g class="c{colour}">{title}{bar}{dot}</g>'


def _range(chart: Chart) -> tuple[float, float]:
    """Bottom and top of the chart: all intervals, and zero of a rate."""
    low = min(point.low for point in chart.points)
    high = max(point.high for point in chart.points)
    if chart.unit == "%":
        low = 0.0
    margin = 0.06 * (high - low) or 0.5
    return (low - margin if chart.unit != "%" else 0.0), high + margin


def _step(span: float) -> float:
    """1, 2 or 5 times a power of ten, so that there are three to eight of them."""
    power = 10.0 ** math.floor(math.log10(span))
    return next(k * power for k in (0.2, 0.5, 1, 2) if span / (k * power) <= 8)


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
