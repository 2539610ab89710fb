"""What a bench leaves to read: `report.html`, `report.md`, and `report.json` for programs."""

import json
from pathlib import Path
from typing import Any

from codeclm.codec_study import samples, scores, summary
from codeclm.codec_study.bench import RECORDINGS, Measured
from codeclm.codec_study.standing import Standing
from codeclm.evaluation.page import Sample, page
from codeclm.files import write_text

TITLE = "Codecs, measured"


def write(found: Measured) -> dict[str, Any]:
    """Writes all three into the out folder and returns what is in the last."""
    standing = Standing(found)
    tables, charts = list(summary.tables(standing)), list(summary.charts(standing))
    notes = _notes(standing)
    report = {
        "command": found.plan.command,
        "made_with": found.made_with,
        "absent": found.absent,
        "tables": {table.title: table.to_dict() for table in tables},
        "charts": {c.title: [point._asdict() for point in c.points] for c in charts},
    }
    lines = _lines(standing)
    body = [f"# {TITLE}", "", *(f"{line}\n" for line in lines)]
    body += [*(table.markdown() for table in tables), *(f"- {note}" for note in notes), ""]
    html = page(TITLE, lines, tables, charts, _samples(standing), notes)
    out = found.plan.out
    write_text(out / "report.md", "\n".join(body))
    write_text(out / "report.html", html)
    write_text(out / "report.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    return report


def _lines(standing: Standing) -> list[str]:
    """What was measured, and what was left out, in sentences."""
    found = standing.found
    sets = [
        f"{name} ({len(utterances)} recordings, {', '.join(_languages(standing, name))})"
        for name, utterances in found.chosen.items()
    ]
    lines = [f"{len(standing.kinds)} systems on {'; '.join(sets)}."]
    unheard = [
        f"{name}, {language}: {verdict.why}"
        for (name, language), verdict in standing.verdicts.items()
        if not verdict.words
    ]
    if unheard:
        lines.append(f"Words are not counted where nobody understood them. {'. '.join(unheard)}.")
    lines += [f"{kind}: {summary.ABSENT} ({why})." for kind, why in found.absent.items()]
    if found.lacking:
        lines.append(f"Not installed, and so not measured: {', '.join(found.lacking)}.")
    return lines


def _languages(standing: Standing, name: str) -> list[str]:
    return [language for set_name, language in standing.languages if set_name == name]


def _notes(standing: Standing) -> list[str]:
    """Definitions, models and versions."""
    found = standing.found
    notes = [f"command: `{found.plan.command}`"] if found.plan.command else []
    notes += [f"{m.title}: {m.variant}" for m in scores.MEASURES.values()]
    notes += [
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
    ]
    return notes + [f"{key}: {fact}" for key, fact in found.made_with.items()]


def _samples(standing: Standing) -> list[Sample]:
    """The items to listen to, as far as they are there."""
    found, told = standing.found, []
    for name, id in found.samples[: found.plan.listen]:
        row = standing.row(name, RECORDINGS, id)
        if row is None:
            continue
        sounds = []
        for kind in (RECORDINGS, *standing.whole):
            path = samples.place(found.plan.out, kind, name, id)
            if path.is_file() and path.with_suffix(".png").is_file():
                sounds.append((kind, _about(standing, name, kind, id), Path(path)))
        told.append(
            Sample(f"{name}, {row['language']}, {id}", row["text"], row["language"], sounds)
        )
    return told


def _about(standing: Standing, name: str, kind: str, id: str) -> str:
    row = standing.row(name, kind, id) or {}
    pesq = row.get("pesq_wb")
    return f"PESQ-WB {float(pesq):.2f}" if pesq not in (None, "") else ""
