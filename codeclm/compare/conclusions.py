"""What the intervals of a comparison support, in sentences written by rule.

Two cells are told apart only where the 95 % interval of their paired difference excludes 0; of so
many pairs one in twenty would by chance alone, and that is said.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

from codeclm.compare.found import Scored
from codeclm.compare.table import SAID, apart, more_errors, of, sounding
from codeclm.evaluation import stats
from codeclm.evaluation.chart import front
from codeclm.evaluation.items import Row
from codeclm.evaluation.stats import Interval
from codeclm.evaluation.tables import Cell, Point, change, pairs, point, rate


def word_errors(cell: Scored) -> Cell:
    """WER of seen and unseen voices together, in %."""
    found = rate(of(cell.rows, *SAID), "errors", "words")
    assert found is not None
    return found


def by_speed(cells: Sequence[Scored]) -> list[Point]:
    """Cells as points: how many times real time they speak, and WER."""
    return _points(cells, lambda cell: cell.speed.rows[1]["speed"] if cell.speed else None)


def by_operations(cells: Sequence[Scored]) -> list[Point]:
    """Cells as points: 10^12 operations of their training, and WER."""
    return _points(cells, lambda cell: cell.cost.flops / 1e12)


def _points(cells: Sequence[Scored], x: Callable[[Scored], float | None]) -> list[Point]:
    return [
        point(cell.name, place, word_errors(cell))
        for cell in cells
        if cell.rows and (place := x(cell)) is not None
    ]


def sentences(recordings: Sequence[Row], cells: Sequence[Scored]) -> Iterator[str]:
    """All that can be said, of words where a cell is scored."""
    yield budget(cells)
    scored = [cell for cell in cells if cell.rows]
    if len(scored) > 1:
        yield words(scored)
    if scored:
        yield owned(scored)
        yield from led(scored)
        yield voices(recordings, scored)
        yield from speeds(scored)
    if len(scored) > 1:
        yield choosing(scored)


def budget(cells: Sequence[Scored]) -> str:
    """Whether the budgets are alike."""
    hours = {round(cell.cost.audio_seconds / 3600, 1) for cell in cells}
    weights = {cell.cost.parameters["backbone"] for cell in cells}
    work = [cell.cost.flops / 1e12 for cell in cells]
    heard = f"Every cell heard {min(hours):.1f} h of audio"
    if len(hours) > 1:
        heard = f"The cells heard {min(hours):.1f} to {max(hours):.1f} h of audio"
    size = f"with a backbone of {min(weights) / 1e6:.1f} M parameters"
    if len(weights) > 1:
        size = "with backbones of different sizes"
    if len(work) == 1:
        return f"{heard}, {size}, in {work[0]:.0f} x 10^12 operations."
    return (
        f"{heard}, {size}. That is not the same work: heads and steps differ, and the operations "
        f"of a training go from {min(work):.0f} to {max(work):.0f} x 10^12."
    )


def ranked(cells: Sequence[Scored]) -> list[tuple[Scored, Interval | None]]:
    """Cells from the fewest word errors on, with how many more they make than the first."""
    first, *others = sorted(cells, key=lambda cell: word_errors(cell).value["value"])
    return [(first, None), *((cell, more_errors(cell.rows, first.rows)) for cell in others)]


def words(cells: Sequence[Scored]) -> str:
    """Who makes the fewest word errors, who cannot be told from it, and who is behind it."""
    (first, _), *others = ranked(cells)
    level = [cell.name for cell, found in others if found and not apart(found)]
    behind = [
        f"{cell.name} (+{_told(found)} points)" for cell, found in others if found and apart(found)
    ]
    found = word_errors(first)
    text = f"Words: {first.name} makes the fewest errors, {found.text} % {found.detail}."
    text += f" These cannot be told from it: {', '.join(level)}." if level else ""
    text += f" Behind it: {', '.join(behind)}." if behind else ""
    differences = [more_errors(a.rows, b.rows) for b, a in combinations(cells, 2)]
    number = sum(found is not None and apart(found) for found in differences)
    verb = "is" if number == 1 else "are"
    return (
        f"{text} Of all {len(differences)} pairs of cells {number} {verb} told apart; "
        f"by chance alone it would be about {len(differences) / 20:.1g}."
    )


def owned(cells: Sequence[Scored]) -> str:
    """In which cells the model adds errors to those of its codec."""
    adds, not_shown = [], []
    for cell in cells:
        found = more_errors(cell.rows, cell.ceiling)
        if found and found.low > 0:
            adds.append(f"{cell.name} (+{_told(found)})")
        elif found:
            not_shown.append(f"{cell.name} ({_told(found)})")
    text = "What the language model owns, in points of WER over its codec's resynthesis: "
    text += ", ".join(adds) if adds else "nothing that the intervals show"
    return text + (f". Not told from 0: {', '.join(not_shown)}." if not_shown else ".")


def led(cells: Sequence[Scored]) -> Iterator[str]:
    """Whether mistakes come of earlier mistakes."""
    helped: list[str] = []
    same: list[str] = []
    for cell in cells:
        guided = [row for row in of(cell.rows, "diagnosis") if row["kind"] == "led"]
        found = change(of(cell.rows, "sentences"), [row | {"part": "sentences"} for row in guided])
        if found:
            (helped if found.low > 0 else same).append(f"{cell.name} ({_told(found)})")
    if helped:
        yield (
            "Errors that come of earlier ones, free speech less led speech, in points of WER: "
            f"{', '.join(helped)}."
        )
    if same:
        yield f"Led by the truth, these are not shown to make fewer errors: {', '.join(same)}."


def voices(recordings: Sequence[Row], cells: Sequence[Scored]) -> str:
    """Who keeps the voice best."""
    cells = [cell for cell in cells if of(cell.rows, "clones")]
    if not cells:
        return "Voices were not compared."
    scaled = {c.name: sounding(c.rows, recordings)["similarity, scaled"] for c in cells}
    best = max(cells, key=lambda cell: scaled[cell.name].value["value"])
    level: list[str] = []
    behind: list[str] = []
    for cell in cells:
        if cell is not best:
            (behind if _behind(cell, best) else level).append(cell.name)
    nearest = " is the nearest and" if len(cells) > 1 else ""
    text = f"Unseen voices: {best.name}{nearest} goes {scaled[best.name].text} of the way from "
    text += "another speaker to the recording."
    text += f" Not told from it: {', '.join(level)}." if level else ""
    return text + (f" Behind it: {', '.join(behind)}." if behind else "")


def _behind(cell: Scored, best: Scored) -> bool:
    """True when the clones of a cell are surely less like their voices than those of another."""
    both = pairs(of(cell.rows, "clones"), of(best.rows, "clones"), "similarity")
    away = [float(theirs["similarity"]) - float(own["similarity"]) for own, theirs in both]
    return bool(away) and stats.mean(away).low > 0


def speeds(cells: Sequence[Scored]) -> Iterator[str]:
    """Which cells no other beats in both speed and words."""
    points = by_speed(cells)
    if len(points) < 2:
        return
    best = front(points, lower=False)
    names = [f"{p.name} ({p.x:.1f} x real time, {p.y:.1f} %)" for p in best]
    others = [point.name for point in points if point not in best]
    yield (
        f"Speed: on the Pareto front, which goes by the figures alone, are {', '.join(names)}"
        + (f"; not on it: {', '.join(others)}." if others else ".")
    )


def choosing(cells: Sequence[Scored]) -> str:
    """Of those that nobody is shown to beat in words, the quickest and the cheapest to train."""
    (best, _), *others = ranked(cells)
    equal = [cell.name for cell, found in others if found and not apart(found)]
    if not equal:
        return (
            f"For someone choosing: every other cell here makes more word errors than {best.name}; "
            "one that is quicker pays for it in words."
        )
    level = [best, *(cell for cell in cells if cell.name in equal)]
    cheap = min(level, key=lambda cell: cell.cost.flops)
    text = "For someone choosing: of the cells that nothing here shows to be worse in words "
    text += f"({', '.join(cell.name for cell in level)}), {cheap.name} takes the fewest operations "
    text += "to train"
    timed = {cell.name: cell.speed.rows[1] for cell in level if cell.speed}
    if timed:
        quick = max(timed, key=lambda name: timed[name]["speed"])
        first = min(timed, key=lambda name: timed[name]["first_audio_ms_p50"])
        text += f", {quick} speaks the quickest, and {first} is the first to sound"
    return text + ". Not shown to be worse is not shown to be as good."


def _told(found: Interval) -> str:
    """In points."""
    return f"{100 * found.value:.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}]"
