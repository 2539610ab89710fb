"""What a bench leaves to read: `report.html`, `report.md`, and `report.json` for programs."""

from collections.abc import Iterator
from typing import Any

from codeclm.codec_study import samples, scores, summary
from codeclm.codec_study.measured import RECORDINGS, Measured
from codeclm.evaluation import chart, report
from codeclm.evaluation.report import Part
from codeclm.evaluation.tables import Chart, column

NOTES = (
    "bandwidth: highest frequency within 60 dB of the strongest, spectrum of the whole clip",
    "WER, CER: pooled over words and characters, accents dropped, Whisper's normalizer; its "
    "change is paired with the recordings",
    "WER to the recording's text: against what the same recognizer heard in the recording; "
    "same text: how often these two are one",
    "phoneme errors: espeak's IPA of what was heard against that of the text",
    "texts in doubt: loops, another script, nothing, far too long or short, though the "
    "recording was understood; they are counted",
    "brackets: 95 % bootstrap interval over items, 5,000 draws, seeded",
    "sound that a measure refuses (silence, less than a second) is left out of that one only",
)


def write(found: Measured) -> dict[str, Any]:
    """Writes all three into the out folder and returns what is in the last."""
    tables, charts = summary.tables(found), list(summary.charts(found))
    command = found.plan.command
    record = {
        "command": command,
        "made_with": found.made_with,
        "absent": found.absent,
        "tables": report.values(tables),
        "charts": {c.title: [point._asdict() for point in c.points] for c in charts},
    }
    notes = [f"command: `{command}`"] if command else []
    notes += [f"{m.title}: {m.variant}" for m in scores.MEASURES.values()]
    notes += [*NOTES, *(f"{key}: {fact}" for key, fact in found.made_with.items())]
    first, *others = map(report.table, tables)
    parts = [*map(report.line, _lines(found)), first, *_charts(charts), *_samples(found)]
    parts += [*others, report.heading("What was measured with what"), report.points("", notes)]
    report.write(found.plan.out / "report", record, parts, "Codecs, measured")
    return record


def _lines(found: Measured) -> Iterator[str]:
    """What was measured, and what was left out, in sentences."""
    sets = []
    for name, utterances in found.chosen.items():
        languages = ", ".join(language for own, language in found.languages if own == name)
        sets.append(f"{name} ({len(utterances)} recordings, {languages})")
    yield f"{len(found.kinds)} systems on {'; '.join(sets)}."
    unheard = [
        f"{name}, {language}: {verdict.why}"
        for (name, language), verdict in found.verdicts.items()
        if not verdict.words
    ]
    if unheard:
        yield f"Words are not counted where nobody understood them. {'. '.join(unheard)}."
    yield from (f"{kind}: {summary.ABSENT} ({why})." for kind, why in found.absent.items())
    if found.lacking:
        yield f"Not installed, and so not measured: {', '.join(found.lacking)}."


def _charts(charts: list[Chart]) -> Iterator[Part]:
    if not charts:
        return
    names = dict.fromkeys(p.name.partition(":")[0] for c in charts for p in c.points)
    colours = {name: i % report.COLOURS for i, name in enumerate(names)}
    yield report.heading(
        "Against bits a second",
        "Bars are 95 % intervals. A dashed line is a codec of continuous latents, which has no "
        "bitrate. Dots of one colour that are joined are one codec with more and fewer codebooks.",
    )
    yield report.charts([(chart.svg(each, colours), each.title) for each in charts], colours)


def _samples(found: Measured) -> Iterator[Part]:
    """The items to listen to, as far as they are there."""
    items = [row for item in found.samples for row in found.of(RECORDINGS, [item])]
    if items := items[: found.plan.listen]:
        note = "Pictures reach from 0 to 12 kHz, 80 dB from dark to bright."
        yield report.heading("Listen and look", note)
    for row in items:
        name, id = row["part"], row["id"]
        sounds = []
        for kind in (RECORDINGS, *found.whole):
            path = samples.place(found.plan.out, kind, name, id)
            if path.is_file() and path.with_suffix(".png").is_file():
                pesq = column(found.of(kind, [(name, id)]), "pesq_wb")
                sounds.append((kind, f"PESQ-WB {pesq[0]:.2f}" if pesq else "", path))
        title = f"{name}, {row['language']}, {id}"
        yield report.sample(title, row["text"], row["language"], sounds)
