"""Tables of a comparison: ground truth, codec ceiling, cell, and the gap that is the model's."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from codeclm.compare.found import Cost, Scored
from codeclm.evaluation import hard, stats
from codeclm.evaluation.items import Row
from codeclm.evaluation.speech import interventions
from codeclm.evaluation.stats import Interval
from codeclm.evaluation.tables import (
    Cell,
    Cells,
    Table,
    change,
    figure,
    known,
    mean,
    number,
    pairs,
    rate,
)  # fmt: skip

WHERE = {"sentences": "seen voices", "clones": "unseen voices", "hard": "hard set"}
SAID = ("sentences", "clones")
ERRORS = {"WER %": ("errors", "words"), "CER %": ("char_errors", "chars")}
LED = {
    "led": "led by the truth",
    "true first": "stream 0 true, others predicted",
    "true rest": "stream 0 predicted, others true",
}


def tables(recordings: Sequence[Row], cells: Sequence[Scored]) -> Iterator[Table]:
    """All of them, in the order of the page."""
    scored = [cell for cell in cells if cell.rows]
    yield Table("Words", _all(recordings, scored, heard, gap), WORDS_NOTE)
    yield Table(
        "Voice and sound",
        _all(recordings, scored, lambda rows: sounding(rows, recordings), sound_gap),
        VOICE_NOTE,
    )
    failed = {each.name: failures(each.rows) for each in scored}
    if any(failed.values()):
        yield Table("Failures", failed, FAILURES_NOTE)
    yield Table("Speed", {each.name: fast(each) for each in cells}, speed_note(cells))
    yield Table("Budget", {each.name: budget(each.cost) for each in cells}, BUDGET_NOTE)
    led = {each.name: diagnosis(each.rows) for each in scored}
    if any(led.values()):
        yield Table("Where they lose", led, DIAGNOSIS_NOTE)
    for title, parts in (("codebook", "streams"), ("second of an utterance", "seconds")):
        lost = {each.name: losses(each.cost, getattr(each.cost, parts)) for each in cells}
        lost = {name: found for name, found in lost.items() if found}
        if lost:
            yield Table(f"Loss of each {title}", lost, LOSS_NOTE, folded=True)
    if len(scored) > 1:
        yield Table("Word errors, cell against cell", matrix(scored), MATRIX_NOTE, folded=True)


WORDS_NOTE = (
    "Of every cell first what it says, then how much more that is than what its codec alone makes "
    "of the recordings, the same items paired: the share that is the language model's."
)
VOICE_NOTE = (
    "Similarity of clones to their voice, raw, and scaled so that another speaker is 0 and the "
    "recording itself 1. DNSMOS predicts what listeners would say, from 1 to 5, of seen and unseen "
    "voices together; it knows neither text nor speaker."
)
FAILURES_NOTE = (
    "Texts of the hard set by what went wrong with them, one text under several kinds perhaps, and "
    "how often a guard of the engine stepped in on all texts."
)
BUDGET_NOTE = (
    "Every cell heard the same seconds of audio with the same backbone. Hours are by the clock, "
    "on whatever else the machine did. Operations are reckoned, forward and backward, all "
    "positions looking at all others. Bits a second of audio compare layouts and heads on one "
    "codec; latents have none, their loss is the squared error of the velocity."
)
DIAGNOSIS_NOTE = (
    "WER in %, of the same sentences: said freely; led by the truth, so that no mistake comes of "
    "an earlier one; and with stream 0, or all others, exchanged for the true ones."
)
LOSS_NOTE = "On the dev split: bits a second of audio, or the error of the velocity."
MATRIX_NOTE = (
    "Points of WER by which the cell of the row makes more errors than that of the column, on the "
    "sentences of seen and unseen voices, paired. * : the 95 % interval excludes 0."
)


def _all(
    recordings: Sequence[Row],
    cells: Sequence[Scored],
    told: Callable[[Sequence[Row]], Cells],
    owned: Callable[[Sequence[Row], Sequence[Row]], Cells],
) -> dict[str, Cells]:
    """Recordings; each codec, its cells, and what is theirs."""
    rows = {"recordings": told([row for row in recordings if row["kind"] == "recording"])}
    for codec in dict.fromkeys(each.cost.spec.name for each in cells):
        group = [each for each in cells if each.cost.spec.name == codec]
        rows[f"{codec}, resynthesis"] = told(group[0].ceiling)
        for each in group:
            rows[each.name] = told(each.rows)
            rows[f"{each.name} less its codec"] = owned(each.rows, each.ceiling)
    return rows


def heard(rows: Sequence[Row]) -> Cells:
    """Errors, part by part."""
    return known(
        {
            f"{error}, {where}": rate(of(rows, part), over, under)
            for error, (over, under) in ERRORS.items()
            for part, where in WHERE.items()
        }
    )


def gap(rows: Sequence[Row], ceiling: Sequence[Row]) -> Cells:
    """Errors that a cell makes beyond those after its codec, the same items paired."""
    found = {
        f"{error}, {where}": change(of(rows, part), ceiling, over, under)
        for error, (over, under) in ERRORS.items()
        for part, where in WHERE.items()
    }
    return {name: figure(more, 1, 100, "+") for name, more in found.items() if more}


def of(rows: Sequence[Row], *parts: str) -> list[Row]:
    """The rows of some parts."""
    return [row for row in rows if row["part"] in parts]


def more_errors(rows: Sequence[Row], others: Sequence[Row]) -> Interval | None:
    """By how much the WER of `rows` is above that of `others`, seen and unseen voices together."""
    return change(of(rows, *SAID), others)


def failures(rows: Sequence[Row]) -> Cells:
    """Texts of the hard set by what went wrong with them, and how often guards stepped in."""
    own = of(rows, "hard")
    kinds = Counter(kind for row in own for kind in row["failures"].split(", ") if kind)
    cells: Cells = {}
    if own:
        failed = sum(bool(row["failures"]) for row in own)
        cells["texts that failed"] = Cell(failed, f"{failed} of {len(own)}")
        cells |= {kind: number(kinds[kind]) for kind in hard.KINDS}
    guards = interventions(rows)
    return cells | {f"guard: {kind}": number(n) for kind, n in sorted(guards.items())}


def sounding(rows: Sequence[Row], recordings: Sequence[Row]) -> Cells:
    """Similarity of clones to their voice, raw and scaled, and what a predictor of scores says."""
    clones = {row["id"]: row for row in of(rows, "clones")}
    cells: Cells = {}
    if clones:
        floor, top = (
            {r["id"]: r for r in of(recordings, "clones") if r["kind"] == kind}
            for kind in ("impostor", "recording")
        )
        raw, low, high = ([float(d[i]["similarity"]) for i in clones] for d in (clones, floor, top))
        over, under = ([a - b for a, b in zip(x, low, strict=True)] for x in (raw, high))
        cells["similarity"] = figure(stats.mean(raw), 2)
        cells["similarity, scaled"] = figure(stats.ratio(over, under), 2)
    return cells | known({"DNSMOS": mean(of(rows, *SAID), "dnsmos", 2)})


def sound_gap(rows: Sequence[Row], ceiling: Sequence[Row]) -> Cells:
    """The same differences to the codec, the same items paired."""
    cells: Cells = {}
    for name, key, parts in (("similarity", "similarity", ("clones",)), ("DNSMOS", "dnsmos", SAID)):
        if both := pairs(of(rows, *parts), ceiling, key):
            away = stats.mean([float(a[key]) - float(b[key]) for a, b in both])
            cells[name] = figure(away, 2, sign="+")
    return cells


def fast(cell: Scored) -> Cells:
    """What a step, the first sound and a second of audio take."""
    cells = {"steps for a second of audio": number(cell.cost.steps_per_second, "g")}
    for batch, row in (cell.speed.rows if cell.speed else {}).items():
        who = "alone" if batch == 1 else f"{batch} at a time"
        speed, p50, p95 = (row[n] for n in ("speed", "first_audio_ms_p50", "first_audio_ms_p95"))
        cells[f"steps/s, {who}"] = number(1000 / row["step_ms"], ".0f")
        cells[f"first audio ms, {who}"] = Cell(p50, f"{p50:.0f}", f"p95 {p95:.0f}")
        cells[f"x real time, {who}"] = Cell(speed, f"{speed:.1f}", f"RTF {1 / speed:.3f}")
        cells["memory, MB"] = number(row["peak_memory_bytes"], ".0f", 1e-6)
    return cells


def speed_note(cells: Sequence[Scored]) -> str:
    """Where it was measured."""
    measured = [each.speed for each in cells if each.speed]
    if not measured:
        return "Not measured yet."
    machines = "; ".join(dict.fromkeys(speed.machine for speed in measured))
    busiest = max(speed.load for speed in measured)
    return (
        f"Whole calls, text to sound, on {machines}; steps of the engine alone. Other processes "
        f"that wanted to run in the minute before: at most {busiest:.1f}."
    )


def budget(cost: Cost) -> Cells:
    """What a training took, and what it reached."""
    parts, bits = cost.parameters, cost.bitrate
    cells = {
        "audio heard, h": number(cost.audio_seconds, ".1f", 1 / 3600),
        "backbone, M": number(parts["backbone"], ".2f", 1e-6),
        "all parameters, M": number(parts["total"], ".1f", 1e-6),
        "operations, 10^12": number(cost.flops, ".0f", 1e-12),
        "training, h": number(cost.hours, ".2f"),
    }
    if bits is None:
        return cells | {"velocity error, dev": number(cost.loss, ".3f")}
    return cells | {
        "codec, bit/s": number(bits, ".0f"),
        "bit/s of audio, dev": number(cost.loss, ".0f"),
        "share of the codec's": Cell(cost.loss / bits, f"{100 * cost.loss / bits:.0f} %"),
    }


def diagnosis(rows: Sequence[Row]) -> Cells:
    """Word errors of the same sentences, said freely and led, and with streams exchanged."""
    led = {kind: [r for r in of(rows, "diagnosis") if r["kind"] == kind] for kind in LED}
    ids = {row["id"] for row in led["led"]}
    free = [row for row in of(rows, "sentences") if row["id"] in ids]
    groups = {"said freely": free} | {LED[kind]: own for kind, own in led.items()}
    return known({name: rate(own, "errors", "words") for name, own in groups.items()})


def losses(cost: Cost, parts: Sequence[float]) -> Cells:
    """The loss of each codebook or of each second."""
    return {str(i): number(loss, ".0f" if cost.bitrate else ".3f") for i, loss in enumerate(parts)}


def matrix(cells: Sequence[Scored]) -> dict[str, Cells]:
    """Differences of all pairs."""
    rows: dict[str, Cells] = {}
    for a in cells:
        rows[a.name] = {}
        for b in cells:
            found = more_errors(a.rows, b.rows) if a is not b else None
            cell = figure(found, 1, 100, "+") if found else Cell(None, "")
            star = " *" if found and apart(found) else ""
            rows[a.name][b.name] = cell._replace(text=cell.text + star)
    return rows


def apart(found: Interval) -> bool:
    """True when an interval excludes 0."""
    return found.low > 0 or found.high < 0
