"""The tables and charts of a bench, from rows that count (`found.py`)."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from codeclm.codec_study import scores
from codeclm.codec_study.measured import CODEBOOKS, RECORDINGS, Group, Measured
from codeclm.evaluation import phonemes, stats
from codeclm.evaluation.items import Row
from codeclm.evaluation.tables import (
    Cell,
    Cells,
    Chart,
    Table,
    change,
    column,
    figure,
    known,
    mean,
    number,
    point,
    rate,
)  # fmt: skip

ABSENT = "weights not present"
MELODY = ("voicing", "gross", "cents")  # stand beside the words
SOUND = tuple(name for name in scores.MEASURES if name not in MELODY)
FEWEST = 10  # phonemes of a class in the recordings below which it has no column
SPEAKER = 3  # items below which a speaker has no row


def tables(found: Measured) -> list[Table]:
    """In the order of the report, empty ones left out."""
    made = [facts(found)]
    for group in found.groups():
        made += [sound(found, group), words(found, group)]
    made += [trust(found), *classes(found), speakers(found), *codebooks(found)]
    return [table for table in made if table.rows]


def facts(found: Measured) -> Table:
    """What each system is, what it costs, and which are not here."""
    table: dict[str, Cells] = {}
    for kind in found.order:
        if kind in found.absent:
            table[kind] = {"family": Cell(None, ABSENT)}
            continue
        facts, rows = found.facts[kind], found.of(kind, found.items())
        bits, dims = bitrate(found, kind, rows), facts["latent_dims"]
        unrated = f"{dims} numbers a frame" if dims else ""
        cells = {
            "family": number(facts["family"]),
            "Hz": number(facts["sample_rate"], ","),
            "bit/s": number(bits, ",.0f") if bits else Cell(None, unrated),
            "frames a second": number(facts["frame_rate"], ".4g"),
        }
        if facts["steps"]:
            cells["AR steps in 10 s, a frame each"] = number(facts["steps"], ".0f")
            cells["a code each"] = number(facts["steps_flat"], ".0f")
        cells["latency, ms"] = number(facts["latency_ms"], ".0f")
        if seconds := sum(column(rows, "seconds")):
            for title in ("encode", "decode"):
                factor = sum(column(rows, f"{title}_s")) / seconds
                cells[f"{title}, real-time factor"] = number(factor, ".4f")
        table[kind] = cells
    note = "Work is processor time of one thread for a second of sound."
    return Table("What was compared", table, note)


def bitrate(found: Measured, kind: str, rows: Sequence[Row]) -> float | None:
    """What the tokens take, or what the packets of Opus took; None of latents."""
    if found.facts[kind]["family"] != "opus":
        stated: float | None = found.facts[kind]["bitrate"]
        return stated
    seconds = sum(column(rows, "seconds"))
    return sum(column(rows, "bits")) / seconds if seconds else None


def sound(found: Measured, group: Group) -> Table:
    """How near the sound is."""
    table: dict[str, Cells] = {}
    for kind in (RECORDINGS, *found.kinds):
        if rows := found.of(kind, group.items):
            reach = mean(rows, "bandwidth", 1, 1e-3)
            cells = {"bandwidth, kHz": reach and reach._replace(detail="")}
            table[kind] = _means(rows, SOUND) | known(cells) | {"items": number(len(rows))}
    table |= {kind: {"items": Cell(None, ABSENT)} for kind in found.absent}
    rows, note = found.of(RECORDINGS, group.items), ""
    if reaches := column(rows, "bandwidth"):
        rates = sorted({f"{int(row['source_rate']):,}" for row in rows})
        ends = dict.fromkeys(f"{end / 1000:.1f}" for end in (min(reaches), max(reaches)))
        note = f"Recordings of {' and '.join(rates)} Hz that reach up to {' to '.join(ends)} kHz."
    return Table(f"Sound: {group.title}", table, note, group.folded)


def _means(rows: Sequence[Row], names: Iterable[str]) -> Cells:
    measures = {name: scores.MEASURES[name] for name in names}
    return known({m.title: mean(rows, name, m.decimals) for name, m in measures.items()})


def words(found: Measured, group: Group) -> Table:
    """What is still understood, and the melody."""
    table: dict[str, Cells] = {}
    words, sounds = found.counted(group.items, False), found.counted(group.items, True)
    originals = found.of(RECORDINGS, words)
    for kind in (RECORDINGS, *found.kinds):
        rows, heard = found.of(kind, words), found.of(kind, sounds)
        cells: dict[str, Cell | None] = {}
        if rows:
            cells["WER, %"] = rate(rows, "errors", "words")
            if kind != RECORDINGS and (more := change(rows, originals)):
                cells["change, points"] = figure(more, 1, 100, "+")
            cells["CER, %"] = rate(rows, "char_errors", "chars")
            cells["WER to the recording's text, %"] = rate(rows, "same_errors", "same_words")
            cells["same text, %"] = mean(rows, "exact", 0, 100)
            doubted = sum(row["doubt"] != "" for row in rows)
            cells["texts in doubt"] = Cell(doubted, f"{doubted} of {len(rows)}")
        if heard:
            cells["phoneme errors, %"] = rate(heard, "phoneme_errors", "phonemes")
        every = found.of(kind, group.items)
        table[kind] = known(cells) | (_means(every, MELODY) if kind != RECORDINGS else {})
    table = {kind: own for kind, own in table.items() if own}
    note = f"Words of {len(words)}, phonemes of {len(sounds)} of {len(group.items)} items."
    return Table(f"Words and melody: {group.title}", table, note, group.folded)


def trust(found: Measured) -> Table:
    """Which languages the recognizer understood."""
    table: dict[str, Cells] = {}
    for (name, language), ids in found.languages.items():
        rows = found.of(RECORDINGS, ((name, id) for id in ids))
        verdict = found.verdicts[name, language]
        counts = ["words"] * verdict.words + ["phonemes"] * verdict.sounds
        table[f"{name}, {language}"] = known(
            {
                "recordings": number(len(rows)),
                "in doubt": number(sum(row.get("doubt", "") != "" for row in rows)),
                "WER, %": rate(rows, "errors", "words"),
                "phoneme errors, %": rate(rows, "phoneme_errors", "phonemes"),
                "counted": Cell(counts, " and ".join(counts) or "nothing"),
                "why not": number(verdict.why),
            }
        )
    note = "The recognizer on the recordings themselves, nothing left out."
    return Table("Can the recognizer be believed?", table, note)


def classes(found: Measured) -> Iterator[Table]:
    """Phoneme errors by the class of the phoneme that was said."""
    for (name, language), ids in found.languages.items():
        items = found.counted([(name, id) for id in ids], sounds=True)
        heard = {
            kind: [
                phonemes.compare(row["text"], row["heard"], language)
                for row in found.of(kind, items)
            ]
            for kind in (RECORDINGS, *found.kinds)
        }
        seen = sum((each.seen for each in heard[RECORDINGS]), Counter[str]())
        shown = {c: f"{c} ({n})" for c, n in seen.most_common() if n >= FEWEST}
        table: dict[str, Cells] = {}
        for kind, errors in heard.items():
            for c, title in shown.items():
                wrong, said = [each.wrong[c] for each in errors], [each.seen[c] for each in errors]
                if sum(said):
                    table.setdefault(kind, {})[title] = figure(stats.ratio(wrong, said), 1, 100)
        title = f"Phoneme errors by class, %: {name}, {language}"
        yield Table(title, table, "In brackets: how many were said.", folded=True)


def speakers(found: Measured) -> Table:
    """PESQ and voice by speaker, beside what the recordings are."""
    speakers: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for name, utterances in found.chosen.items():
        for u in utterances:
            speakers[name, u.speaker].append((name, u.id))
    table: dict[str, Cells] = {}
    for (name, speaker), items in sorted(speakers.items()):
        originals = found.of(RECORDINGS, items)
        if len(originals) < SPEAKER:
            continue
        reach = sum(column(originals, "bandwidth")) / len(originals) / 1000
        cells = table[f"{name}, {speaker}"] = {
            "items": number(len(originals)),
            "Hz": Cell(originals[0]["source_rate"], f"{int(originals[0]['source_rate']):,}"),
            "bandwidth, kHz": number(reach, ".1f"),
        }
        for kind in found.whole:
            rows = found.of(kind, items)
            both = column(rows, "pesq_wb"), column(rows, "similarity")
            means = [sum(values) / len(values) if values else None for values in both]
            texts = (f"{m:.2f}" if m is not None else "" for m in means)
            cells[kind] = Cell(means, " / ".join(texts))
    return Table("PESQ-WB / voice, by speaker", table, folded=True)


def codebooks(found: Measured) -> Iterator[Table]:
    """Share of used codes and perplexity; active dimensions of continuous codecs."""
    used, even, active = {}, {}, {}
    for kind in found.whole:
        row = found.rows.get((CODEBOOKS, kind, f"{len(found.items())} items"))
        facts: Any = json.loads(row["facts"]) if row else []
        if isinstance(facts, dict):
            active[kind] = {
                "dimensions": number(facts["dims"]),
                "active, %": number(facts["active"], ".1f", 100),
                "frames": number(facts["frames"], ","),
            }
        elif facts:
            about = {
                "codes": Cell([use["size"] for use in facts], f"{facts[0]['size']:,}"),
                "frames": number(facts[0]["frames"], ","),
            }
            shares = {str(k): number(use["used"], ".0f", 100) for k, use in enumerate(facts)}
            many = {str(k): number(use["perplexity"], ".0f") for k, use in enumerate(facts)}
            used[kind], even[kind] = about | shares, about | many
    few = "Of these items alone: a codebook larger than a tenth of the frames looks emptier."
    yield Table("Codes used, %, by codebook", used, few, folded=True)
    yield Table("Perplexity, by codebook", even, folded=True)
    yield Table("Active dimensions (deviation above 0.1)", active, folded=True)


def charts(found: Measured) -> Iterator[Chart]:
    """PESQ and WER of each set against bits a second."""
    for name in found.chosen:
        items = found.items(name)
        counted = found.counted(items, False)
        for unit, title in (("PESQ-WB", f"{name}: PESQ-WB"), ("%", f"{name}: WER, %")):
            points = []
            for kind in found.kinds:
                rows = found.of(kind, items)
                cell = (
                    rate(found.of(kind, counted), "errors", "words")
                    if unit == "%"
                    else mean(rows, "pesq_wb", 2)
                )
                if cell:
                    points.append(point(kind, bitrate(found, kind, rows), cell))
            if points:
                yield Chart(title, unit, points)
