"""What a comparison leaves to read: `compare.html`, `compare.md`, `compare.json` and `ab.html`."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from codeclm.audio import read
from codeclm.compare import ab, conclusions, table, token_grid
from codeclm.compare.cells import Comparison, Training
from codeclm.compare.table import Scored
from codeclm.corpus import Utterance, read_audio
from codeclm.evaluation import chart, page, samples
from codeclm.evaluation.items import Row
from codeclm.evaluation.scores import COMMON, Sound
from codeclm.evaluation.speech import Items
from codeclm.evaluation.tables import Chart, Point, Table, rate
from codeclm.files import write_text

STYLE = token_grid.STYLE + (
    ".curve { fill: none; stroke-width: 1.6 } .front { fill: none; stroke: var(--ink); "
    "stroke-width: 1.2; stroke-dasharray: 3 3; opacity: .7 } svg .said text { fill: currentColor; "
    "stroke: none } .wide { grid-template-columns: repeat(auto-fill, minmax(min(100%, 30rem), 1fr)) }"
    " pre { overflow-x: auto; background: var(--card); padding: .7rem; border-radius: 8px; "
    "font-size: .8rem } li { max-width: 52rem; margin: .35rem 0 }\n"
)
LISTENED = 2  # items with all their sounds on the page


@dataclass(frozen=True)
class Found:
    """A comparison as far as it is.

    Attributes:
        scored: cells with all their rows.
        absent: others, and why.
        facts: what judged.
    """

    comparison: Comparison
    recordings: Sequence[Row]
    items: Items
    scored: Sequence[Scored]
    absent: dict[str, str]
    facts: dict[str, str]
    trainings: Sequence[Training]
    command: str


def write(found: Found, out: Path) -> Path:
    """Writes all of it to the out folder; the page."""
    name = f"Codec x layout x head: {found.comparison.name}"
    lines, notes = list(_lines(found)), list(_notes(found))
    tables = list(table.tables(found.recordings, found.scored)) if found.scored else []
    said = list(conclusions.sentences(found.recordings, found.scored)) if found.scored else []
    write_text(out / "compare.md", _markdown(name, lines, said, tables, found, notes))
    body = [f"<h1>{escape(name)}</h1>", *(f"<p>{escape(line)}</p>" for line in lines)]
    body += _section("What the intervals support", [_list(said)] if said else [])
    body += list(_charts(found))
    body += map(page.table, tables)
    body += list(_grids(found)) + list(_sounds(found, out))
    body += _section("Not in the tables", [_list(_absent(found))] if found.absent else [])
    body += _section("What this does not show", [_list(LIMITS)])
    body += _section("Each row again", [f"<pre>{escape(_commands(found))}</pre>"])
    body += _section("What was measured with what", [_list(notes)])
    write_text(out / "compare.html", page.document(name, body, STYLE))
    values = {each.title: each.to_dict() for each in tables}
    told = {"conclusions": said, "tables": values, "absent": found.absent, "facts": found.facts}
    write_text(out / "compare.json", json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    folders = {each.name: each.training.folder / "audio" for each in found.scored}
    listening = ab.page(folders, found.items)
    if listening is not None:
        write_text(out / "ab.html", listening)
    return out / "compare.html"


LIMITS = (
    "Small models and one corpus: which cell is best at another size, budget or corpus is open.",
    "A row is one training with one seed unless its name ends in one; intervals are over items, so "
    "how far another seed would move a row is not in them.",
    "All cells share optimizer, learning rate and temperature of drawing as their configs say; a cell "
    "may be better with others.",
    "Losses in bits are comparable on one codec; those of `masked` and `coarse_first` heads are "
    "bounds or leave passes conditional on the whole utterance.",
    "Word errors are what one recognizer hears, similarity what one encoder of voices hears, and "
    "DNSMOS knows neither text nor speaker. The A/B page asks people.",
)


def _lines(found: Found) -> Iterator[str]:
    """What was compared, in sentences."""
    items = found.items
    yield (
        f"{len(found.scored)} of {len(found.trainings)} cells, on the same "
        f"{len(items.sentences)} sentences in seen voices, {len(items.clones)} in unseen voices"
        + (f" and {len(items.hard)} hard texts." if items.hard else ".")
    )
    yield "Figures with brackets have 95 % bootstrap intervals over items."


def _notes(found: Found) -> Iterator[str]:
    yield f"command: `{found.command}`"
    yield from (f"{name}: {fact}" for name, fact in found.facts.items())
    yield (
        "WER, CER: errors over words and characters of all texts, Whisper's normalizer; brackets: "
        "5,000 draws of the items, seeded; differences are paired"
    )


def _absent(found: Found) -> list[str]:
    return [f"{name}: {reason}" for name, reason in found.absent.items()]


def _commands(found: Found) -> str:
    return "\n".join(each.command for each in found.trainings)


def _markdown(
    title: str,
    lines: Sequence[str],
    said: Sequence[str],
    tables: Sequence[Table],
    found: Found,
    notes: Sequence[str],
) -> str:
    """The report without its pictures."""
    parts = [f"# {title}", *lines]
    lists = {"What the intervals support": said}
    parts += [_bullets(title, each) for title, each in lists.items() if each]
    parts += [each.markdown().rstrip() for each in tables]
    ends = {"Not in the tables": _absent(found), "What this does not show": LIMITS}
    parts += [_bullets(title, each) for title, each in ends.items() if each]
    commands = "\n".join(f"    {line}" for line in _commands(found).splitlines())
    parts += [f"## Each row again\n\n{commands}", _bullets("What was measured with what", notes)]
    return "\n\n".join(parts) + "\n"


def _bullets(title: str, lines: Sequence[str]) -> str:
    return "\n".join([f"## {title}", "", *(f"- {line}" for line in lines)])


def _list(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{page.code(line)}" for line in lines) + "</ul>"


def _section(title: str, parts: Sequence[str]) -> list[str]:
    return [f"<h2>{escape(title)}</h2>", *parts] if parts else []


def _charts(found: Found) -> Iterator[str]:
    """Quality against speed and against work, and the curves of the losses."""
    if not found.scored:
        return
    codecs = list(dict.fromkeys(cell.cost.spec.name for cell in found.scored))
    by_codec = {each.name: codecs.index(each.cost.spec.name) for each in found.scored}
    true = rate([r for r in found.recordings if r["kind"] == "recording"], "errors", "words")
    line = (
        Point("recordings", None, *(true.value[k] for k in ("value", "low", "high")))
        if true
        else None
    )
    figures = []
    wer = "WER in %, seen and unseen voices together"
    colours = by_codec | {"recordings": 4}
    for points, title, unit, lower in (
        (
            conclusions.by_speed(found.scored),
            "speed of one talk, times real time",
            "x real time",
            False,
        ),
        (conclusions.by_operations(found.scored), "operations of the training", "10^12", True),
    ):
        if len(points) > 1:
            drawn = Chart(f"{wer}, against {title}", "%", [*points, *([line] if line else [])])
            figures.append((chart.scatter(drawn, colours, unit, lower), drawn.title))
    if figures:
        yield "<h2>Quality against what it costs</h2>"
        yield (
            '<p class="note">Lower is better; bars are 95 % intervals. The dashed line through cells '
            "joins those that no other beats in both. The line across is the recordings.</p>"
        )
        yield page.legend({name: i for i, name in enumerate(codecs)})
        yield _figures(figures)
    figures = []
    names = [each.name for each in found.scored]
    for kind, unit in (("bits_per_second", "bits a second of audio"), ("velocity_error", "error")):
        cells = [each for each in found.scored if each.cost.unit == kind]
        if cells:
            lines = {each.name: [(x / 3600, y) for x, y in each.cost.curve] for each in cells}
            numbers = {name: names.index(name) % page.COLOURS for name in lines}
            title = f"Loss while training, {unit}, against hours of audio heard"
            figures.append((chart.curves(title, lines, numbers, "hours of audio"), title))
    yield "<h2>Losses on one axis</h2>"
    yield _figures(figures)


def _figures(drawn: Sequence[tuple[str, str]]) -> str:
    inside = "".join(
        f"<figure>{svg}<figcaption>{escape(t)}</figcaption></figure>" for svg, t in drawn
    )
    return f'<div class="charts wide">{inside}</div>'


def _grids(found: Found) -> Iterator[str]:
    """One utterance in every layout."""
    trainings = [each.training for each in found.scored]
    utterances = token_grid.utterances(trainings) if trainings else {}
    if not utterances:
        return
    yield "<h2>One utterance in every layout</h2>"
    yield (
        f'<p class="note">{token_grid.FRAMES} frames of a test utterance. A column is a step of the '
        "backbone, a row a slot; a colour is a codebook, darker is a higher code. Outlines are slots "
        "whose stream has not begun or is over. Where passes fill in the rest, they stand behind "
        "the steps, a row each. Of latents a row is one, darker is louder.</p>"
    )
    for each in found.scored:
        drawn, steps = token_grid.picture(each.training, utterances[each.cost.spec.name])
        told = f"{each.name}: layout {each.cost.layout}, head {each.cost.head}, {steps} steps"
        yield f'<h3>{escape(told)}</h3><div class="scroll">{drawn}</div>'


def _sounds(found: Found, out: Path) -> Iterator[str]:
    """A few items to listen to, half of them in unseen voices."""
    sentences, clones = found.items.sentences[:1], found.items.clones[:1]
    chosen: list[tuple[str, Utterance]] = [("seen voice", target) for target, _ in sentences]
    chosen += [("unseen voice", target) for target, _, _ in clones]
    told = []
    for where, target in chosen[:LISTENED]:
        sounds = []
        for name, load in _sources(found, out, target):
            path = samples.place(out, name, where, target.id)
            if not path.is_file():
                samples.keep(out, name, where, target.id, load())
            sounds.append((name, "", path))
        told.append(page.Sample(f"{where}, {target.id}", target.text, target.language, sounds))
    if told and found.scored:
        yield "<h2>Listen and look</h2>"
        yield '<p class="note">The same text, voice and seed. <a href="ab.html">Blind, in pairs</a></p>'
        yield from map(page.sample, told)


def _sources(
    found: Found, out: Path, target: Utterance
) -> Iterator[tuple[str, Callable[[], Sound]]]:
    """Where the sounds of an item come from: the recording, codecs, cells."""
    yield "recording", lambda: Sound(read_audio(target, COMMON), COMMON)
    files = {}
    for each in found.scored:
        codec = each.cost.spec.name
        files[codec] = out / "scores" / codec / "audio" / f"{target.id}.wav"
    files |= {e.name: e.training.folder / "audio" / f"{target.id}.wav" for e in found.scored}
    for name, file in files.items():
        if file.is_file():
            yield name, lambda file=file: Sound(read(file, COMMON), COMMON)  # type: ignore[misc]
