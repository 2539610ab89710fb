"""Tables of a comparison: ground truth, codec ceiling, cell, and the gap that is the model's."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from codeclm.compare.cost import Cost
from codeclm.compare.diagnose import LED
from codeclm.compare.found import Scored
from codeclm.evaluation import hard, stats
from codeclm.evaluation.items import Row
from codeclm.evaluation.stats import Interval
from codeclm.evaluation.tables import Cell, Table, column, figure, mean, plain, rate

WHERE = {"sentences": "seen voices", "clones": "unseen voices", "hard": "hard set"}
SAID = ("sentences", "clones")
ERRORS = {"WER %": ("errors", "words"), "CER %": ("char_errors", "chars")}
LED_NAMES = {
    "led": "led by the truth",
    "true first": "stream 0 true, others predicted",
    "true rest": "stream 0 predicted, others true",
}
Cells = dict[str, Cell]


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
        rows = {each.name: losses(each.cost, parts) for each in cells}
        rows = {name: found for name, found in rows.items() if found}
        yield Table(f"Loss of each {title}", rows, LOSS_NOTE, folded=True)
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
    """Errors and failures, part by part."""
    cells: Cells = {}
    for error, (over, under) in ERRORS.items():
        for part, where in WHERE.items():
            found = rate([row for row in rows if row["part"] == part], over, under)
            cells |= {f"{error}, {where}": found} if found else {}
    return cells


def failures(rows: Sequence[Row]) -> Cells:
    """Texts of the hard set by what went wrong with them, and how often guards stepped in."""
    own = [row for row in rows if row["part"] == "hard"]
    kinds = Counter(kind for row in own for kind in row["failures"].split(", ") if kind)
    cells: Cells = {}
    if own:
        failed = sum(bool(row["failures"]) for row in own)
        cells["texts that failed"] = plain(failed, f"{failed} of {len(own)}")
        cells |= {kind: plain(kinds[kind], str(kinds[kind])) for kind in hard.KINDS}
    guards: Counter[str] = Counter()
    for row in rows:
        guards.update(json.loads(row.get("interventions") or "{}"))
    return cells | {f"guard: {kind}": plain(n, str(n)) for kind, n in sorted(guards.items())}


def gap(rows: Sequence[Row], ceiling: Sequence[Row]) -> Cells:
    """Errors that a cell makes beyond those after its codec, the same items paired."""
    cells: Cells = {}
    for error, (over, under) in ERRORS.items():
        for part, where in WHERE.items():
            found = more_errors(rows, ceiling, (part,), over, under)
            if found is not None:
                cells[f"{error}, {where}"] = figure(found, 1, 100, "+")
    return cells


def more_errors(
    rows: Sequence[Row],
    others: Sequence[Row],
    parts: Sequence[str] = SAID,
    over: str = "errors",
    under: str = "words",
) -> Interval | None:
    """By how much the rate of `rows` is above that of `others`, over the items that both have."""
    pairs = _paired(rows, others, parts, over)
    if not pairs:
        return None
    own, before = zip(*pairs, strict=True)
    return stats.ratio_change(column(own, over), column(before, over), column(own, under))


def _paired(
    rows: Sequence[Row], others: Sequence[Row], parts: Sequence[str], key: str
) -> list[tuple[Row, Row]]:
    """Rows of the same items, where both have a figure."""
    there = [row for row in others if row["part"] in parts and row.get(key) not in (None, "")]
    found = {(row["part"], row["id"]): row for row in there}
    return [
        (row, found[row["part"], row["id"]])
        for row in rows
        if (row["part"], row["id"]) in found and row.get(key) not in (None, "")
    ]


def sounding(rows: Sequence[Row], recordings: Sequence[Row]) -> Cells:
    """Similarity of clones to their voice, raw and scaled, and what a predictor of scores says."""
    clones = {row["id"]: row for row in rows if row["part"] == "clones"}
    cells: Cells = {}
    if clones:
        floor, top = (
            {r["id"]: r for r in recordings if r["part"] == "clones" and r["kind"] == kind}
            for kind in ("impostor", "recording")
        )
        raw, low, high = ([float(d[i]["similarity"]) for i in clones] for d in (clones, floor, top))
        over, under = ([a - b for a, b in zip(x, low, strict=True)] for x in (raw, high))
        cells["similarity"] = figure(stats.mean(raw), 2)
        cells["similarity, scaled"] = figure(stats.ratio(over, under), 2)
    found = mean([row for row in rows if row["part"] in SAID], "dnsmos", 2)
    return cells | ({"DNSMOS": found} if found else {})


def sound_gap(rows: Sequence[Row], ceiling: Sequence[Row]) -> Cells:
    """The same differences to the codec, the same items paired."""
    cells: Cells = {}
    for name, key, parts in (("similarity", "similarity", ("clones",)), ("DNSMOS", "dnsmos", SAID)):
        pairs = [(float(a[key]), float(b[key])) for a, b in _paired(rows, ceiling, parts, key)]
        if pairs:
            cells[name] = figure(stats.mean([a - b for a, b in pairs]), 2, sign="+")
    return cells


def fast(cell: Scored) -> Cells:
    """What a step, the first sound and a second of audio take."""
    cells = {
        "steps for a second of audio": plain(
            cell.cost.steps_per_second, f"{cell.cost.steps_per_second:g}"
        )
    }
    for batch, row in (cell.speed.rows if cell.speed else {}).items():
        steps, speed = 1000 / row["step_ms"], row["speed"]
        who = "alone" if batch == 1 else f"{batch} at a time"
        cells[f"steps/s, {who}"] = plain(steps, f"{steps:.0f}")
        p50, p95 = row["first_audio_ms_p50"], row["first_audio_ms_p95"]
        cells[f"first audio ms, {who}"] = Cell(p50, f"{p50:.0f}", f"p95 {p95:.0f}")
        text = f"{speed:.1f}"
        cells[f"x real time, {who}"] = Cell(speed, text, f"RTF {1 / speed:.3f}")
        bytes_held = row["peak_memory_bytes"]
        cells["memory, MB"] = plain(bytes_held, f"{bytes_held / 1e6:.0f}")
    return cells


def speed_note(cells: Sequence[Scored]) -> str:
    """Where it was measured."""
    known = [each.speed for each in cells if each.speed]
    if not known:
        return "Not measured yet."
    machines = "; ".join(dict.fromkeys(speed.machine for speed in known))
    busiest = max(speed.load for speed in known)
    return (
        f"Whole calls, text to sound, on {machines}; steps of the engine alone. Other processes "
        f"that wanted to run in the minute before: at most {busiest:.1f}."
    )


def budget(cost: Cost) -> Cells:
    """What a training took, and what it reached."""
    parts, bits = cost.parameters, cost.bitrate
    cells = {
        "audio heard, h": plain(cost.audio_seconds, f"{cost.audio_seconds / 3600:.1f}"),
        "backbone, M": plain(parts["backbone"], f"{parts['backbone'] / 1e6:.2f}"),
        "all parameters, M": plain(parts["total"], f"{parts['total'] / 1e6:.1f}"),
        "operations, 10^12": plain(cost.flops, f"{cost.flops / 1e12:.0f}"),
        "training, h": plain(cost.hours, f"{cost.hours:.2f}"),
    }
    if bits is None:
        return cells | {"velocity error, dev": plain(cost.loss, f"{cost.loss:.3f}")}
    return cells | {
        "codec, bit/s": plain(bits, f"{bits:.0f}"),
        "bit/s of audio, dev": plain(cost.loss, f"{cost.loss:.0f}"),
        "share of the codec's": plain(cost.loss / bits, f"{100 * cost.loss / bits:.0f} %"),
    }


def diagnosis(rows: Sequence[Row]) -> Cells:
    """Word errors of the same sentences, said freely and led, and with streams exchanged."""
    led = {kind: [r for r in rows if (r["part"], r["kind"]) == ("diagnosis", kind)] for kind in LED}
    ids = {row["id"] for row in led[LED[0]]}
    free = [row for row in rows if row["part"] == "sentences" and row["id"] in ids]
    groups = {"said freely": free} | {LED_NAMES[kind]: own for kind, own in led.items()}
    found = {name: rate(own, "errors", "words") for name, own in groups.items()}
    return {name: cell for name, cell in found.items() if cell}


def losses(cost: Cost, parts: str) -> Cells:
    """The loss of each codebook (`streams`) or of each second (`seconds`)."""
    decimals = 0 if cost.bitrate else 3
    found: list[float] = getattr(cost, parts)
    return {str(i): plain(loss, f"{loss:.{decimals}f}") for i, loss in enumerate(found)}


def matrix(cells: Sequence[Scored]) -> dict[str, Cells]:
    """Differences of all pairs."""
    rows: dict[str, Cells] = {}
    for a in cells:
        rows[a.name] = {}
        for b in cells:
            found = more_errors(a.rows, b.rows) if a is not b else None
            if found is None:
                rows[a.name][b.name] = plain(None, "")
                continue
            cell = figure(found, 1, 100, "+")
            star = " *" if apart(found) else ""
            rows[a.name][b.name] = Cell(cell.value, cell.text + star, cell.detail)
    return rows


def apart(found: Interval) -> bool:
    """True when an interval excludes 0."""
    return found.low > 0 or found.high < 0
