"""The tables and charts of a bench, from rows that count (`standing.py`)."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from codeclm.codec_study import scores
from codeclm.codec_study.bench import CODEBOOKS, RECORDINGS
from codeclm.codec_study.standing import Group, Standing
from codeclm.evaluation import phonemes, stats
from codeclm.evaluation.items import Row
from codeclm.evaluation.tables import Cell, Chart, Point, Table, column, figure, mean, plain, rate

ABSENT = "weights not present"
SOUND = ("pesq_wb", "stoi", "estoi", "visqol", "mel_db", "si_sdr", "similarity", "dnsmos")
MELODY = ("voicing", "gross", "cents")
FEWEST = 10  # phonemes of a class in the recordings below which it has no column
SPEAKER = 3  # items below which a speaker has no row


def tables(standing: Standing) -> Iterator[Table]:
    """In the order of the report, empty ones left out."""
    made = [facts(standing)]
    for group in standing.groups():
        made += [sound(standing, group), words(standing, group)]
    made += [trust(standing), *classes(standing), speakers(standing), *codebooks(standing)]
    yield from (table for table in made if table.rows)


def facts(standing: Standing) -> Table:
    """What each system is, what it costs, and which are not here."""
    table: dict[str, dict[str, Cell]] = {}
    everything = [(name, u.id) for name, us in standing.found.chosen.items() for u in us]
    for kind in standing.found.order:
        if kind in standing.found.absent:
            table[kind] = {"family": plain(None, ABSENT)}
            continue
        facts, rows = standing.found.facts[kind], standing.rows(kind, everything)
        cells = {"family": plain(facts["family"], facts["family"])}
        cells["Hz"] = plain(facts["sample_rate"], f"{facts['sample_rate']:,}")
        bits = bitrate(standing, kind, rows)
        dims = f"{facts['latent_dims']} numbers a frame"
        cells["bit/s"] = plain(bits, f"{bits:,.0f}" if bits else dims * bool(facts["latent_dims"]))
        cells["frames a second"] = plain(facts["frame_rate"], f"{facts['frame_rate']:.4g}")
        if facts["steps"]:
            cells["AR steps in 10 s, a frame each"] = plain(facts["steps"], f"{facts['steps']:.0f}")
            cells["a code each"] = plain(facts["steps_flat"], f"{facts['steps_flat']:.0f}")
        cells["latency, ms"] = plain(facts["latency_ms"], f"{facts['latency_ms']:.0f}")
        for title, name in (("encode", "encode_s"), ("decode", "decode_s")):
            work, seconds = sum(column(rows, name)), sum(column(rows, "seconds"))
            if seconds:
                factor = work / seconds
                cells[f"{title}, real-time factor"] = plain(factor, f"{factor:.4f}")
        table[kind] = cells
    note = "Work is processor time of one thread for a second of sound."
    return Table("What was compared", table, note)


def bitrate(standing: Standing, kind: str, rows: Sequence[Row]) -> float | None:
    """What the tokens take, or what the packets of Opus took; None of latents."""
    if standing.found.facts[kind]["family"] != "opus":
        stated: float | None = standing.found.facts[kind]["bitrate"]
        return stated
    seconds = sum(column(rows, "seconds"))
    return sum(column(rows, "bits")) / seconds if seconds else None


def sound(standing: Standing, group: Group) -> Table:
    """How near the sound is."""
    table: dict[str, dict[str, Cell]] = {}
    for kind in (RECORDINGS, *standing.kinds):
        rows = standing.rows(kind, group.items)
        if not rows:
            continue
        cells = _means(rows, SOUND)
        if reach := mean(rows, "bandwidth", 1, 1e-3):
            cells["bandwidth, kHz"] = Cell(reach.value, reach.text)
        cells["items"] = plain(len(rows), str(len(rows)))
        table[kind] = cells
    table |= {kind: {"items": plain(None, ABSENT)} for kind in standing.found.absent}
    return Table(f"Sound: {group.title}", table, _source(standing, group), group.folded)


def _means(rows: Sequence[Row], names: Iterable[str]) -> dict[str, Cell]:
    found = {m: mean(rows, m, scores.MEASURES[m].decimals) for m in names}
    return {scores.MEASURES[m].title: cell for m, cell in found.items() if cell}


def _source(standing: Standing, group: Group) -> str:
    rows = standing.rows(RECORDINGS, group.items)
    rates = sorted({f"{int(row['source_rate']):,}" for row in rows})
    reach = column(rows, "bandwidth")
    if not reach:
        return ""
    ends = dict.fromkeys(f"{end / 1000:.1f}" for end in (min(reach), max(reach)))
    return f"Recordings of {' and '.join(rates)} Hz that reach up to {' to '.join(ends)} kHz."


def words(standing: Standing, group: Group) -> Table:
    """What is still understood, and the melody."""
    table: dict[str, dict[str, Cell]] = {}
    words, sounds = standing.counted(group.items, False), standing.counted(group.items, True)
    for kind in (RECORDINGS, *standing.kinds):
        rows, heard = standing.rows(kind, words), standing.rows(kind, sounds)
        cells: dict[str, Cell | None] = {}
        if rows:
            cells["WER, %"] = rate(rows, "errors", "words")
            if kind != RECORDINGS:
                cells["change, points"] = _change(standing, kind, words)
            cells["CER, %"] = rate(rows, "char_errors", "chars")
            cells["WER to the recording's text, %"] = rate(rows, "same_errors", "same_words")
            cells["same text, %"] = mean(rows, "exact", 0, 100)
            doubted = sum(row["doubt"] != "" for row in rows)
            cells["texts in doubt"] = plain(doubted, f"{doubted} of {len(rows)}")
        if heard:
            cells["phoneme errors, %"] = rate(heard, "phoneme_errors", "phonemes")
        every = standing.rows(kind, group.items)
        melody = _means(every, MELODY) if kind != RECORDINGS else {}
        table[kind] = {name: cell for name, cell in cells.items() if cell} | melody
    table = {kind: cells for kind, cells in table.items() if cells}
    note = f"Words of {len(words)}, phonemes of {len(sounds)} of {len(group.items)} items."
    return Table(f"Words and melody: {group.title}", table, note, group.folded)


def _change(standing: Standing, kind: str, items: Sequence[tuple[str, str]]) -> Cell | None:
    pairs = [(standing.row(n, kind, i), standing.row(n, RECORDINGS, i)) for n, i in items]
    both = [(a, b) for a, b in pairs if a and b]
    if not both:
        return None
    new, old = zip(*both, strict=True)
    errors = column(new, "errors"), column(old, "errors")
    return figure(stats.ratio_change(*errors, column(new, "words")), 1, 100, "+")


def trust(standing: Standing) -> Table:
    """Which languages the recognizer understood."""
    table: dict[str, dict[str, Cell]] = {}
    for (name, language), ids in standing.languages.items():
        rows = standing.rows(RECORDINGS, ((name, id) for id in ids))
        verdict = standing.verdicts[name, language]
        doubted = sum(row.get("doubt", "") != "" for row in rows)
        counts = ["words"] * verdict.words + ["phonemes"] * verdict.sounds
        cells = {
            "recordings": plain(len(rows), str(len(rows))),
            "in doubt": plain(doubted, str(doubted)),
            "WER, %": rate(rows, "errors", "words"),
            "phoneme errors, %": rate(rows, "phoneme_errors", "phonemes"),
            "counted": plain(counts, " and ".join(counts) or "nothing"),
            "why not": plain(verdict.why, verdict.why),
        }
        table[f"{name}, {language}"] = {k: cell for k, cell in cells.items() if cell}
    note = "The recognizer on the recordings themselves, nothing left out."
    return Table("Can the recognizer be believed?", table, note)


def classes(standing: Standing) -> Iterator[Table]:
    """Phoneme errors by the class of the phoneme that was said."""
    for (name, language), ids in standing.languages.items():
        items = standing.counted([(name, id) for id in ids], sounds=True)
        table: dict[str, dict[str, Cell]] = {}
        originals = standing.rows(RECORDINGS, items)
        seen: Counter[str] = Counter()
        for row in originals:
            seen.update(phonemes.compare(row["text"], row["heard"], language).seen)
        shown = {c: f"{c} ({n})" for c, n in seen.most_common() if n >= FEWEST}
        for kind in (RECORDINGS, *standing.kinds):
            found = [
                phonemes.compare(row["text"], row["heard"], language)
                for row in standing.rows(kind, items)
            ]
            cells = {}
            for c, title in shown.items():
                wrong, said = [each.wrong[c] for each in found], [each.seen[c] for each in found]
                if sum(said):
                    cells[title] = figure(stats.ratio(wrong, said), 1, 100)
            if cells:
                table[kind] = cells
        title = f"Phoneme errors by class, %: {name}, {language}"
        yield Table(title, table, "In brackets: how many were said.", folded=True)


def speakers(standing: Standing) -> Table:
    """PESQ and voice by speaker, beside what the recordings are."""
    speakers: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for name, utterances in standing.found.chosen.items():
        for u in utterances:
            speakers[name, u.speaker].append((name, u.id))
    table: dict[str, dict[str, Cell]] = {}
    for (name, speaker), items in sorted(speakers.items()):
        originals = standing.rows(RECORDINGS, items)
        if len(originals) < SPEAKER:
            continue
        reach = sum(column(originals, "bandwidth")) / len(originals) / 1000
        cells = {
            "items": plain(len(originals), str(len(originals))),
            "Hz": plain(originals[0]["source_rate"], f"{int(originals[0]['source_rate']):,}"),
            "bandwidth, kHz": plain(reach, f"{reach:.1f}"),
        }
        for kind in standing.whole:
            rows = standing.rows(kind, items)
            both = column(rows, "pesq_wb"), column(rows, "similarity")
            means = [sum(values) / len(values) if values else None for values in both]
            texts = [f"{m:.2f}" if m is not None else "" for m in means]
            cells[kind] = plain(means, " / ".join(texts))
        table[f"{name}, {speaker}"] = cells
    return Table("PESQ-WB / voice, by speaker", table, folded=True)


def codebooks(standing: Standing) -> Iterator[Table]:
    """Share of used codes and perplexity; active dimensions of continuous codecs."""
    total = sum(map(len, standing.found.chosen.values()))
    used, even, active = {}, {}, {}
    for kind in standing.whole:
        row = standing.found.rows.get((CODEBOOKS, kind, f"{total} items"))
        if row is None:
            continue
        facts: Any = json.loads(row["facts"])
        if isinstance(facts, dict):
            active[kind] = {
                "dimensions": plain(facts["dims"], str(facts["dims"])),
                "active, %": plain(facts["active"], f"{100 * facts['active']:.1f}"),
                "frames": plain(facts["frames"], f"{facts['frames']:,}"),
            }
            continue
        about = {
            "codes": plain([use["size"] for use in facts], f"{facts[0]['size']:,}"),
            "frames": plain(facts[0]["frames"], f"{facts[0]['frames']:,}"),
        }
        used[kind] = about | {
            str(k): plain(use["used"], f"{100 * use['used']:.0f}") for k, use in enumerate(facts)
        }
        even[kind] = about | {
            str(k): plain(use["perplexity"], f"{use['perplexity']:.0f}")
            for k, use in enumerate(facts)
        }
    few = "Of these items alone: a codebook larger than a tenth of the frames looks emptier."
    yield Table("Codes used, %, by codebook", used, few, folded=True)
    yield Table("Perplexity, by codebook", even, folded=True)
    yield Table("Active dimensions (deviation above 0.1)", active, folded=True)


def charts(standing: Standing) -> Iterator[Chart]:
    """PESQ and WER of each set against bits a second."""
    for name, utterances in standing.found.chosen.items():
        items = [(name, u.id) for u in utterances]
        for title, unit in ((f"{name}: PESQ-WB", "PESQ-WB"), (f"{name}: WER, %", "%")):
            points = []
            for kind in standing.kinds:
                rows = standing.rows(kind, items)
                if unit == "%":
                    cell = rate(
                        standing.rows(kind, standing.counted(items, False)), "errors", "words"
                    )
                else:
                    cell = mean(rows, "pesq_wb", 2)
                if cell is None:
                    continue
                y, low, high = (cell.value[k] for k in ("value", "low", "high"))
                points.append(Point(kind, bitrate(standing, kind, rows), y, low, high))
            if points:
                yield Chart(title, unit, points)
