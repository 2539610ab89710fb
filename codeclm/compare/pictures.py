"""Pictures and sounds of a comparison, as parts of its page."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from html import escape
from pathlib import Path

from torch import Tensor

from codeclm.audio import read
from codeclm.codec_study import samples
from codeclm.codec_study.scores import COMMON, Sound
from codeclm.compare import conclusions, token_grid
from codeclm.compare.found import Found
from codeclm.corpus import Utterance, read_audio
from codeclm.evaluation import chart, page
from codeclm.evaluation.tables import Chart, Point, rate

STYLE = token_grid.STYLE + (
    ".curve { fill: none; stroke-width: 1.6 } .front { fill: none; stroke: var(--ink); "
    "stroke-width: 1.2; stroke-dasharray: 3 3; opacity: .7 }\n"
    "svg .said text { fill: currentColor; stroke: none } svg .name { fill: var(--ink); "
    "paint-order: stroke; stroke: var(--card); stroke-width: 3px }\n"
    ".wide figure, .tokens { overflow-x: auto } .wide svg { min-width: 30rem }\n"
    ".wide { grid-template-columns: repeat(auto-fill, minmax(min(100%, 30rem), 1fr)) }\n"
    "pre { overflow-x: auto; background: var(--card); padding: .7rem; border-radius: 8px; "
    "font-size: .8rem } li { max-width: 52rem; margin: .35rem 0 }\n"
)
WER = "WER in %, seen and unseen voices together"


def costs(found: Found) -> Iterator[str]:
    """Quality against speed, and against the work of training."""
    scored = found.cells
    codecs = list(dict.fromkeys(cell.cost.spec.name for cell in scored))
    colours = {cell.name: codecs.index(cell.cost.spec.name) for cell in scored}
    kinds = (
        (conclusions.by_speed(scored), "speed of one talk", "x real time", False),
        (conclusions.by_operations(scored), "operations of the training", "10^12 operations", True),
    )
    figures = []
    for points, title, unit, lower in kinds:
        if len(points) > 1:
            drawn = Chart(f"{WER}, against {title}", "%", [*points, *_recordings(found)])
            lines = colours | {"recordings": 4}
            figures.append((chart.scatter(drawn, lines, unit, lower), drawn.title))
    if figures:
        yield "<h2>Quality against what it costs</h2>"
        yield (
            '<p class="note">Lower is better; bars are 95 % intervals. The dashed line joins the '
            "cells that no other beats in both. The line across is the recordings.</p>"
        )
        yield page.legend({name: i for i, name in enumerate(codecs)})
        yield _figures(figures)


def _recordings(found: Found) -> list[Point]:
    """What is heard wrong in the recordings, as a line across."""
    rows = [row for row in found.recordings if row["kind"] == "recording"]
    errors = rate(rows, "errors", "words")
    if errors is None:
        return []
    value, low, high = (errors.value[key] for key in ("value", "low", "high"))
    return [Point("recordings", None, value, low, high)]


def losses(found: Found) -> Iterator[str]:
    """The curves of the losses on one axis, those of latents on another."""
    figures = []
    names = [each.name for each in found.cells]
    for kind, unit in (
        ("bits_per_second", "bits a second of audio"),
        ("velocity_error", "error of the velocity as each head weighs it"),
    ):
        cells = [each for each in found.cells if each.cost.unit == kind]
        lines = {each.name: [(x / 3600, y) for x, y in each.cost.curve] for each in cells}
        if lines:
            colours = {name: names.index(name) % page.COLOURS for name in lines}
            title = f"Loss while training, {unit}, against hours of audio heard"
            figures.append((chart.curves(title, lines, colours, "hours of audio"), title))
    if figures:
        yield "<h2>Losses while training</h2>"
        yield _figures(figures)


def _figures(drawn: Sequence[tuple[str, str]]) -> str:
    inside = (
        f"<figure>{svg}<figcaption>{escape(title)}</figcaption></figure>" for svg, title in drawn
    )
    return f'<div class="charts wide">{"".join(inside)}</div>'


def grids(found: Found) -> Iterator[str]:
    """One utterance in every layout."""
    trainings = [each.training for each in found.cells]
    utterances = token_grid.utterances(trainings) if trainings else {}
    if not utterances:
        return
    yield "<h2>One utterance in every layout</h2>"
    yield (
        f'<p class="note">{token_grid.FRAMES} frames of a test utterance. A column is a step of '
        "the backbone, a row a slot; a colour is a codebook, stronger is a higher code. Outlines "
        "are slots whose stream has not begun or is over. What passes fill in stands behind the "
        "steps, a row a pass. Of latents a row is one, stronger is further from the mean.</p>"
    )
    for each in found.cells:
        drawn, steps = token_grid.picture(each.training, utterances[each.cost.spec.name])
        told = f"{each.name}: layout {each.cost.layout}, head {each.cost.head}, {steps} steps"
        yield f'<h3>{escape(told)}</h3><div class="tokens">{drawn}</div>'


def sounds(found: Found, out: Path) -> Iterator[str]:
    """Two items to listen to, in a seen and in an unseen voice."""
    if not found.cells:
        return
    chosen = [("seen voice", target) for target, _ in found.items.sentences[:1]]
    chosen += [("unseen voice", target) for target, _, _ in found.items.clones[:1]]
    yield "<h2>Listen and look</h2>"
    blind = ' To choose without knowing who speaks: <a href="ab.html">in pairs</a>.'
    several = sum(bool(cell.rows) for cell in found.cells) > 1
    yield f'<p class="note">The same text, voice and seed.{blind if several else ""}</p>'
    for where, target in chosen:
        told = []
        for name, load in _sources(found, out, target):
            path = samples.place(out, name, where, target.id)
            if not path.is_file():
                samples.keep(out, name, where, target.id, Sound(load(), COMMON))
            told.append((name, "", path))
        title = f"{where}, {target.id}"
        yield page.sample(page.Sample(title, target.text, target.language, told))


def _sources(
    found: Found, out: Path, target: Utterance
) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    """Where the sounds of an item come from: the recording, codecs, cells."""
    yield "recording", partial(read_audio, target, COMMON)
    files = {}
    for each in found.cells:
        codec = each.cost.spec.name
        files[f"{codec}, resynthesis"] = out / "scores" / codec / "audio" / f"{target.id}.wav"
    files |= {e.name: e.training.folder / "audio" / f"{target.id}.wav" for e in found.cells}
    for name, file in files.items():
        if file.is_file():
            yield name, partial(read, file, COMMON)
