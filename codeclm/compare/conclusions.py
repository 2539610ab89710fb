"""What the intervals of a comparison support, in sentences written by rule.

Two cells are told apart only where the 95 % interval of their paired difference excludes 0; of so
many pairs one in twenty would by chance alone, and that is said.
"""

from collections.abc import Callable, Iterator, Sequence

from codeclm.compare.found import Scored
from codeclm.compare.table import SAID, apart, more_errors, sounding
from codeclm.evaluation import stats
from codeclm.evaluation.chart import front
from codeclm.evaluation.items import Row
from codeclm.evaluation.stats import Interval
from codeclm.evaluation.tables import Point, column, rate


def word_errors(cell: Scored) -> Interval:
    """WER of seen and unseen voices together, in %."""
    found = rate([row for row in cell.rows if row["part"] in SAID], "errors", "words")
    assert found is not None
    return Interval(**found.value)


def by_speed(cells: Sequence[Scored]) -> list[Point]:
    """Cells as points: how many times real time they speak, and WER."""
    return _points(cells, lambda cell: cell.speed.rows[1]["speed"] if cell.speed else None)


def by_operations(cells: Sequence[Scored]) -> list[Point]:
    """Cells as points: 10^12 operations of their training, and WER."""
    return _points(cells, lambda cell: cell.cost.flops / 1e12)


def _points(cells: Sequence[Scored], x: Callable[[Scored], float | None]) -> list[Point]:
    found = []
    for cell in cells:
        place = x(cell)
        if place is not None and cell.rows:
            errors = word_errors(cell)
            found.append(Point(cell.name, place, errors.value, errors.low, errors.high))
    return found


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
    return (
        f"{heard}, {size}. That is not the same work: heads and steps differ, and the operations "
        f"of a training go from {min(work):.0f} to {max(work):.0f} x 10^12."
    )


def words(cells: Sequence[Scored]) -> str:
    """Who makes the fewest word errors, who cannot be told from it, and who is behind it."""
    ranked = sorted(cells, key=lambda cell: word_errors(cell).value)
    first, others = ranked[0], ranked[1:]
    against = {cell.name: more_errors(cell.rows, first.rows) for cell in others}
    level = [name for name, found in against.items() if found and not apart(found)]
    behind = {name: found for name, found in against.items() if found and apart(found)}
    text = f"Words: {first.name} makes the fewest errors, {_percent(word_errors(first))}."
    if level:
        text += f" These cannot be told from it: {', '.join(level)}."
    if behind:
        told = (f"{name} (+{_points_of(found)} points)" for name, found in behind.items())
        text += f" Behind it: {', '.join(told)}."
    pairs = len(cells) * (len(cells) - 1) // 2
    number = sum(
        apart(found)
        for i, a in enumerate(cells)
        for b in cells[:i]
        if (found := more_errors(a.rows, b.rows)) is not None
    )
    verb = "is" if number == 1 else "are"
    return (
        f"{text} Of all {pairs} pairs of cells {number} {verb} told apart; "
        f"by chance alone it would be about {pairs / 20:.1g}."
    )


def owned(cells: Sequence[Scored]) -> str:
    """In which cells the model adds errors to those of its codec."""
    adds, not_shown = [], []
    for cell in cells:
        found = more_errors(cell.rows, cell.ceiling)
        if found and found.low > 0:
            adds.append(f"{cell.name} (+{_points_of(found)})")
        elif found:
            not_shown.append(f"{cell.name} ({_points_of(found)})")
    text = "What the language model owns, in points of WER over its codec's resynthesis: "
    text += ", ".join(adds) if adds else "nothing that the intervals show"
    return text + (f". Not told from 0: {', '.join(not_shown)}." if not_shown else ".")


def led(cells: Sequence[Scored]) -> Iterator[str]:
    """Whether mistakes come of earlier mistakes."""
    helped: list[str] = []
    same: list[str] = []
    for cell in cells:
        guided = [row for row in cell.rows if (row["part"], row["kind"]) == ("diagnosis", "led")]
        free = {row["id"]: row for row in cell.rows if row["part"] == "sentences"}
        pairs = [(free[row["id"]], row) for row in guided if row["id"] in free]
        if not pairs:
            continue
        own, truth = zip(*pairs, strict=True)
        found = stats.ratio_change(
            column(own, "errors"), column(truth, "errors"), column(own, "words")
        )
        (helped if found.low > 0 else same).append(f"{cell.name} ({_points_of(found)})")
    if helped:
        yield (
            "Errors that come of earlier ones, free speech less led speech, in points of WER: "
            f"{', '.join(helped)}."
        )
    if same:
        yield f"Led by the truth, these are not shown to make fewer errors: {', '.join(same)}."


def voices(recordings: Sequence[Row], cells: Sequence[Scored]) -> str:
    """Who keeps the voice best."""
    found = {}
    for cell in cells:
        scaled = sounding(cell.rows, recordings).get("similarity, scaled")
        if scaled is not None:
            found[cell.name] = Interval(**scaled.value)
    if not found:
        return "Voices were not compared."
    best = max(found, key=lambda name: found[name].value)
    own = next(cell for cell in cells if cell.name == best)
    level = [cell.name for cell in cells if cell is not own and not _behind(cell, own)]
    behind = [cell.name for cell in cells if cell is not own and _behind(cell, own)]
    nearest = " is the nearest and" if len(found) > 1 else ""
    text = f"Unseen voices: {best}{nearest} goes {found[best].value:.2f} of the way from another "
    text += "speaker to the recording."
    text += f" Not told from it: {', '.join(level)}." if level else ""
    return text + (f" Behind it: {', '.join(behind)}." if behind else "")


def _behind(cell: Scored, best: Scored) -> bool:
    """True when the clones of a cell are surely less like their voices than those of another."""
    theirs = {row["id"]: row for row in best.rows if row["part"] == "clones"}
    pairs = [
        (float(theirs[row["id"]]["similarity"]), float(row["similarity"]))
        for row in cell.rows
        if row["part"] == "clones" and row["id"] in theirs
    ]
    return bool(pairs) and stats.mean([a - b for a, b in pairs]).low > 0


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
    best = min(cells, key=lambda cell: word_errors(cell).value)
    level = [best]
    for cell in cells:
        found = more_errors(cell.rows, best.rows)
        if cell is not best and found and not apart(found):
            level.append(cell)
    if level == [best]:
        return (
            f"For someone choosing: every other cell here makes more word errors than {best.name}; "
            "one that is quicker pays for it in words."
        )
    cheap = min(level, key=lambda cell: cell.cost.flops)
    text = "For someone choosing: of the cells that nothing here shows to be worse in words "
    text += f"({', '.join(cell.name for cell in level)}), {cheap.name} takes the fewest operations "
    text += "to train"
    timed = [cell for cell in level if cell.speed]
    if timed:
        speed, first = (
            min(timed, key=lambda cell: sign * (cell.speed.rows[1][name] if cell.speed else 0))
            for sign, name in ((-1, "speed"), (1, "first_audio_ms_p50"))
        )
        text += f", {speed.name} speaks the quickest, and {first.name} is the first to sound"
    return text + ". Not shown to be worse is not shown to be as good."


def _percent(found: Interval) -> str:
    return f"{found.value:.1f} % [{found.low:.1f}, {found.high:.1f}]"


def _points_of(found: Interval) -> str:
    return f"{100 * found.value:.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}]"
