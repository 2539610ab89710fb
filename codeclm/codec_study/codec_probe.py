"""What each part of a codec's tokens carries: `codeclm codec probe`.

Three looks at one codec, each a part of `items.csv`:

    noise   one stream says nothing, the others are as they were: what is lost is what it carried
            (of latents, a group of dimensions)
    swap    the first streams of speaker A, the others of speaker B who says something else: whose
            words and whose voice come out
    linear  the phoneme of a frame, read off one code by a linear classifier; needs an alignment

The out folder also holds `run.json` (what was measured with what), `summary.json` and `summary.md`.
Run again after an interruption: rows that are done are skipped.
"""

import json
import math
import random
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch

from codeclm.codec_study.parts import corrupt, swap
from codeclm.codec_study.probe_bench import Bench, Plan, original
from codeclm.codec_study.samples import seconds_of
from codeclm.codec_study.systems import fingerprint
from codeclm.corpus import Utterance
from codeclm.evaluation import audio_metrics, pitch, probe, report, speaker, stats
from codeclm.evaluation.items import Results, Row, Task, installed
from codeclm.evaluation.tables import Cells, Table, figure, known, mean, number, rate

COLUMNS = (
    "part", "kind", "id", "text", "heard", "errors", "words", "similarity", "pesq_wb", "semitones",
    "voicing", "text_b", "errors_b", "words_b", "similarity_b", "facts",
)  # fmt: skip
JUDGES = ("torch", "numpy", "faster-whisper", "jiwer", "pesq", "resemblyzer", "swift-f0")
NOTES = (
    "cells: value [95 % bootstrap interval over items, 5,000 draws, seeded]",
    "WER: pooled over words, accents dropped",
    "similarity: cosine of Resemblyzer embeddings to a recording of the speaker (noise: the same "
    "recording)",
    "pitch: mean absolute difference where recording and copy both have a voice; voicing: frames "
    "in which only one of them has",
    "sound that a measure refuses (silence) is left out of that measure only",
)


@torch.inference_mode()
def run(plan: Plan) -> str:
    """Measures what is missing and returns the summary.

    Raises:
        ValueError: no such codec, data or recognizer, no two speakers, or the folder holds another
            run.
        ImportError: a judge is not installed.
    """
    bench = Bench(plan)
    made_with: dict[str, Any] = {
        "codec": f"{bench.spec.name} {fingerprint(bench.codec)}",
        "data": plan.data.name, "seed": plan.seed, "asr": bench.recognizer.version,
        **installed(*JUDGES),
    }  # fmt: skip
    if bench.spec.latent_dims:
        made_with["parts"] = bench.parts
    tasks = [*noise_tasks(bench), *swap_tasks(bench), *linear_tasks(bench)]
    results = Results(plan.out, made_with, COLUMNS)
    done: dict[str, dict[str, list[Row]]] = {"noise": {}, "swap": {}, "linear": {}}
    for row in results.complete(tasks):
        done[row["part"]].setdefault(row["kind"], []).append(row)
    tables = (
        Table(title, {kind: cells(rows) for kind, rows in done[part].items()})
        for part, (title, cells) in TABLES.items()
    )
    return report.summary(plan.out, tables, results.facts, NOTES)


# --- noise: one part says nothing ----------------------------------------------------------------


def noise_tasks(bench: Bench) -> Iterator[Task]:
    """Recording by recording: the codec as it is, then with each part filled with noise."""
    for utterance in bench.chosen[: bench.plan.items]:
        nothing: dict[str, list[int]] = {"none": []}
        for name, rows in (nothing | bench.parts).items():
            key = ("noise", name, utterance.id)
            seed = random.Random(f"{bench.plan.seed}-{utterance.id}-{name}").getrandbits(32)
            yield key, partial(with_noise, bench, utterance, rows, seed)


def with_noise(bench: Bench, utterance: Utterance, rows: list[int], seed: int) -> Row:
    """All measures of a recording whose rows `rows` are noise."""
    matrix = corrupt(bench.matrix(utterance), rows, bench.spec, bench.latents, seed)
    reference, voice, melody = original(utterance)
    heard = bench.heard(matrix)[: len(reference)]
    text, found = bench.words(heard, utterance)
    pitches = pitch.pitch_error(melody, pitch.track(heard))
    try:
        quality = audio_metrics.pesq_wb(reference, heard)
    except ValueError:  # one item must not end a long run
        quality = None
    return {
        "text": utterance.text, "heard": text, "errors": found.errors, "words": found.words,
        "similarity": speaker.cosine(speaker.embed(heard), voice), "pesq_wb": quality,
        "semitones": pitches.semitones, "voicing": pitches.voicing,
    }  # fmt: skip


def noise_cells(rows: list[Row]) -> Cells:
    """Of one part."""
    return known(
        {
            "WER, %": rate(rows, "errors", "words"),
            "similarity": mean(rows, "similarity", 3),
            "PESQ-WB": mean(rows, "pesq_wb", 2),
            "pitch, semitones": mean(rows, "semitones", 2),
            "voicing, %": mean(rows, "voicing", 1, scale=100),
            "items": number(len(rows)),
        }
    )


# --- swap: the first parts of A, the others of B -------------------------------------------------


def swap_tasks(bench: Bench) -> Iterator[Task]:
    """Pair by pair: the first 0, 1, 2, 4 ... parts, and all, are those of A."""
    count, pairs = len(bench.parts), pairs_of(bench.chosen)[: bench.plan.swaps]
    cuts = [0, *(1 << n for n in range(count.bit_length()) if 1 << n < count), count]
    for a, b in pairs:
        for cut in cuts:
            key = ("swap", f"{cut} of {count}", f"{a.id} + {b.id}")
            yield key, partial(swapped, bench, a, b, cut)


def pairs_of(chosen: list[Utterance]) -> list[tuple[Utterance, Utterance]]:
    """Recordings of two speakers and one language that last about as long, each used once."""
    left = sorted(chosen, key=lambda u: (seconds_of(u), u.id))
    pairs = []
    while left:
        a = left.pop(0)
        partner = next((b for b in left[:8] if others(a, b)), None)
        if partner:
            left.remove(partner)
            pairs.append((a, partner))
    order = {u.id: place for place, u in enumerate(chosen)}
    return sorted(pairs, key=lambda pair: order[pair[0].id])


def others(a: Utterance, b: Utterance) -> bool:
    """Whether two people say two things in one language."""
    return a.speaker != b.speaker and a.language == b.language and a.text != b.text


def swapped(bench: Bench, a: Utterance, b: Utterance, cut: int) -> Row:
    """Whose words and whose voice are heard with the first `cut` parts of A."""
    rows = [row for part in list(bench.parts.values())[:cut] for row in part]
    heard = bench.heard(swap(bench.matrix(a), bench.matrix(b), rows))
    text, by_a, by_b = bench.words(heard, a, b)
    voice = speaker.embed(heard)
    return {
        "text": a.text, "heard": text, "errors": by_a.errors, "words": by_a.words,
        "similarity": speaker.cosine(voice, original(a)[1]),
        "text_b": b.text, "errors_b": by_b.errors, "words_b": by_b.words,
        "similarity_b": speaker.cosine(voice, original(b)[1]),
    }  # fmt: skip


def swap_cells(rows: list[Row]) -> Cells:
    """Of one cut."""
    words = [
        float(row["errors_b"]) / float(row["words_b"]) > float(row["errors"]) / float(row["words"])
        for row in rows
    ]
    voices = [float(row["similarity"]) > float(row["similarity_b"]) for row in rows]
    return known(
        {
            "WER by A's text, %": rate(rows, "errors", "words"),
            "WER by B's text, %": rate(rows, "errors_b", "words_b"),
            "similarity to A": mean(rows, "similarity", 3),
            "similarity to B": mean(rows, "similarity_b", 3),
            "words nearer to A's, % of pairs": figure(stats.mean(words), 0, scale=100),
            "voice nearer to A's, % of pairs": figure(stats.mean(voices), 0, scale=100),
            "pairs": number(len(rows)),
        }
    )


# --- linear: phonemes from single codes ----------------------------------------------------------


def linear_tasks(bench: Bench) -> Iterator[Task]:
    """Every codebook, where there are codebooks and an alignment."""
    if bench.plan.alignment and bench.spec.streams:
        for k in range(bench.spec.rows):
            yield ("linear", str(k), f"{bench.plan.frames} frames"), partial(linear, bench, k)


def linear(bench: Bench, k: int) -> Row:
    """Learned on the training split, judged on all other splits."""
    assert bench.plan.alignment
    classes, items = probe.alignment(bench.plan.alignment)

    def frames(utterances: Sequence[Utterance], most: float) -> Iterator[tuple[Any, Any]]:
        count = 0
        for utterance in utterances:
            if utterance.id in items and count < most:
                codes, item = bench.matrix(utterance)[k].numpy(), items[utterance.id]
                count += len(codes)
                yield codes, probe.frame_labels(item.ids, item.durations, classes, len(codes))

    learned = frames(bench.train, bench.plan.frames)
    found = probe.score(learned, frames(bench.held_out, math.inf), bench.spec.streams[k].size)
    return {"facts": json.dumps(found | {"classes": len(set(classes))})}


def linear_cells(rows: list[Row]) -> Cells:
    """Accuracy beside that of always saying the commonest."""
    facts = json.loads(rows[0]["facts"])
    return {
        "accuracy, %": figure(stats.Interval(**facts["accuracy"]), 1, scale=100),
        "commonest class, %": figure(stats.Interval(**facts["majority"]), 1, scale=100),
        **{title: number(facts[title], ",") for title in ("classes", "trained", "judged")},
    }


TABLES = {
    "noise": ("One part filled with noise (none: as it is)", noise_cells),
    "swap": ("The first parts of A, the others of B (how many of A)", swap_cells),
    "linear": ("Phoneme of a frame from one code, by codebook", linear_cells),
}
