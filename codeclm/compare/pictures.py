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
from codeclm.evaluation import chart, report
from codeclm.evaluation.report import Part
from codeclm.evaluation.tables import Chart, point, rate

WER = "WER in %, seen and unseen voices together"


def costs(found: Found) -> list[tuple[str, str]]:
    """Quality against speed, and against the work of training: SVGs and their titles."""
    kinds = (
        (conclusions.by_speed(found.cells), "speed of one talk", "x real time", False),
        (
            conclusions.by_operations(found.cells),
            "operations of the training",
            "10^12 operations",
            True,
        ),
    )
    rows = [row for row in found.recordings if row["kind"] == "recording"]
    errors = rate(rows, "errors", "words")
    across = [point("recordings", None, errors)] if errors else []
    codecs = _codecs(found)
    colours = {cell.name: codecs[cell.cost.spec.name] for cell in found.cells} | {"recordings": 4}
    figures = []
    for points, title, unit, lower in kinds:
        if len(points) > 1:
            drawn = Chart(f"{WER}, against {title}", "%", [*points, *across])
            figures.append((chart.scatter(drawn, colours, unit, lower), drawn.title))
    return figures


def against(found: Found, figures: Sequence[tuple[str, str]]) -> Iterator[Part]:
    """What `costs` drew."""
    if figures:
        yield report.heading(
            "Quality against what it costs",
            "Lower is better; bars are 95 % intervals. The dashed line joins the cells that no "
            "other beats in both. The line across is the recordings.",
        )
        yield report.charts(figures, _codecs(found), wide=True)


def _codecs(found: Found) -> dict[str, int]:
    """The colour of each codec."""
    names = dict.fromkeys(cell.cost.spec.name for cell in found.cells)
    return {name: number for number, name in enumerate(names)}


def losses(found: Found) -> Iterator[Part]:
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
            colours = {name: names.index(name) % report.COLOURS for name in lines}
            title = f"Loss while training, {unit}, against hours of audio heard"
            figures.append((chart.curves(title, lines, colours, "hours of audio"), title))
    if figures:
        yield report.heading("Losses while training")
        yield report.charts(figures, wide=True)


def grids(found: Found) -> Iterator[Part]:
    """One utterance in every layout."""
    trainings = [each.training for each in found.cells]
    utterances = token_grid.utterances(trainings) if trainings else {}
    if not utterances:
        return
    yield report.heading(
        "One utterance in every layout",
        f"{token_grid.FRAMES} frames of a test utterance. A column is a step of the backbone, a "
        "row a slot; a colour is a codebook, stronger is a higher code. Outlines are slots whose "
        "stream has not begun or is over. What passes fill in stands behind the steps, a row a "
        "pass. Of latents a row is one, stronger is further from the mean.",
    )
    for each in found.cells:
        drawn, steps = token_grid.picture(each.training, utterances[each.cost.spec.name])
        told = f"{each.name}: layout {each.cost.layout}, head {each.cost.head}, {steps} steps"
        yield Part("", f'<h3>{escape(told)}</h3><div class="tokens">{drawn}</div>')


def sounds(found: Found, out: Path) -> Iterator[Part]:
    """Two items to listen to, in a seen and in an unseen voice."""
    if not found.cells:
        return
    chosen = [("seen voice", target) for target, _ in found.items.sentences[:1]]
    chosen += [("unseen voice", target) for target, _, _ in found.items.clones[:1]]
    several = sum(bool(cell.rows) for cell in found.cells) > 1
    blind = ' To choose without knowing who speaks: <a href="ab.html">in pairs</a>.'
    same = "The same text, voice and seed."
    yield report.heading("Listen and look", same + blind if several else same)
    for where, target in chosen:
        told = []
        for name, load in _sources(found, out, target):
            path = samples.place(out, name, where, target.id)
            if not path.is_file():
                samples.keep(out, name, where, target.id, Sound(load(), COMMON))
            told.append((name, "", path))
        yield report.sample(f"{where}, {target.id}", target.text, target.language, told)


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
