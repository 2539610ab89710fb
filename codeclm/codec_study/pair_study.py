"""Do the tokens of a codec still tell words apart? `codeclm codec minimal-pairs`.

For every contrast of a list of minimal pairs the ABX error (`abx.py`) of several looks at the same
recordings:

    recordings             their log-mels: what there is to be heard
    CODEC sound            log-mels of what the codec makes of them
    CODEC tokens           the vectors that its codes stand for; the latents of a continuous codec
    CODEC codebook 0       the same of the first codebook alone
    ... as symbols         the codes as a language model meets them: alike or not

A codec that hears a contrast in its sound but not in codebook 0 leaves it to the other codebooks;
one that does not hear it at all cannot be asked to say it. The sound is looked at when it is asked
for. The out folder holds `items.csv` (one row a pair and look), `run.json`, `summary.json` and
`summary.md`; a run goes on where it was.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from codeclm.audio import resample
from codeclm.codec_study import systems
from codeclm.codec_study.minimal_pairs import Pair, read_pairs, read_words
from codeclm.codec_study.parts import vectors
from codeclm.codecs import YARDSTICKS, Codec
from codeclm.codecs.house.features import SAMPLE_RATE, log_mel
from codeclm.corpus import Utterance, read_audio
from codeclm.evaluation import abx, report, stats
from codeclm.evaluation.items import Results, Row, Task, installed
from codeclm.evaluation.tables import Cells, Table, figure

COLUMNS = ("part", "kind", "id", "contrast", "error", "recordings", "voices")
NOTES = (
    "cells: ABX error in %, mean over pairs [95 % bootstrap interval over pairs, 5,000 draws, "
    "seeded]; 50 is chance",
    "A and B by one voice, X by another; DTW over angles between frames, of symbols over the share "
    "of codes that differ",
    "recordings, sound: 100 log-mel bands, 100 frames a second",
)
Look = Callable[[Utterance], abx.Frames]


@torch.inference_mode()
def run(
    codecs: Sequence[str], pairs_list: Path, audio: Path, out: Path, sound: bool = False
) -> str:
    """Measures what is missing and returns the summary.

    Args:
        codecs: as `load_codec` takes them, and names of Opus.
        pairs_list: the list of pairs.
        audio: manifest of the recordings, or the folder that holds `manifest.jsonl`: `text` is the
            word, `speaker` the voice.
        out: folder for the results.
        sound: whether the codecs' sound is looked at too, which takes longer than their tokens.

    Raises:
        ValueError: no such codec, list or recordings, or the folder holds another run; Opus
            without its sound.
    """
    pairs, spoken = read_pairs(pairs_list), defaultdict(list)
    for utterance in read_words(audio):
        spoken[utterance.language, utterance.text].append(utterance)
    looks: dict[str, Look] = {"recordings": look_at_recording}
    made_with: dict[str, Any] = {"pairs": pairs_list.name, **installed("torch", "numpy")}
    for name in codecs:
        if name in YARDSTICKS and not sound:
            raise ValueError(f"{name} has no tokens: ask for its sound, or leave it out")
        system = systems.load(name)
        label = made_with[f"codec {name}"] = system.codec.spec.name if system.codec else name
        if sound:
            looks[f"{label} sound"] = partial(look_at_sound, system)
        if system.codec:
            made_with[f"codec {name}"] += f" {system.facts['fingerprint']}"
            looks |= {f"{label} {what}": look for what, look in looks_at_tokens(system.codec)}
    tasks: list[Task] = [
        ((pair.language, kind, f"{pair.contrast}: {pair.a} {pair.b}"), partial(measure, *task))
        for kind, look in looks.items()
        for pair in pairs
        if (a := spoken[pair.language, pair.a]) and (b := spoken[pair.language, pair.b])
        for task in [(pair.contrast, look, a, b)]
    ]
    if not tasks:
        raise ValueError(
            f"{audio} has no recordings of both words of any pair of {pairs_list}: `text` has "
            "to be the word as the list writes it, `language` its code"
        )
    results = Results(out, made_with, COLUMNS)
    done = results.complete(tasks)
    silent = len(pairs) - len({(row["part"], row["id"]) for row in done})
    notes = [*NOTES, *([f"pairs without recordings: {silent}"] if silent else [])]
    return report.summary(out, tables(done, pairs), results.facts, notes)


def measure(contrast: str, look: Look, a: list[Utterance], b: list[Utterance]) -> Row:
    """The ABX error of a pair, from the recordings of its two words."""
    recordings = [*a, *b]
    frames = [seen(look, u) for u in recordings]
    alike = abx.hamming if frames[0].dtype.kind == "i" else abx.angle
    voices = [u.speaker for u in recordings]
    error = abx.error(abx.distances(frames, alike), [u.text for u in recordings], voices)
    count = {"recordings": len(recordings), "voices": len(set(voices))}
    return {"contrast": contrast, "error": error} | count


@lru_cache(maxsize=5000)
def seen(look: Look, utterance: Utterance) -> abx.Frames:
    """A look at a recording; many words are in several pairs."""
    return look(utterance)


# --- looks ---------------------------------------------------------------------------------------


def look_at_recording(utterance: Utterance) -> abx.Frames:
    """Log-mels [frames, 100] of a recording."""
    return log_mel(read_audio(utterance, SAMPLE_RATE))[0].numpy()


def look_at_sound(system: systems.System, utterance: Utterance) -> abx.Frames:
    """Log-mels [frames, 100] of what a codec makes of a recording."""
    heard = system.through(read_audio(utterance, system.sample_rate)).wav
    return log_mel(resample(heard, system.sample_rate, SAMPLE_RATE))[0].numpy()


def looks_at_tokens(codec: Codec) -> Iterator[tuple[str, Look]]:
    """The looks at tokens: latents or vectors [T, D], or codes [T, K]. Each is encoded once."""

    @cache
    def tokens(utterance: Utterance) -> Tensor:
        return codec.encode(read_audio(utterance, codec.spec.sample_rate)[None])[0]

    def stood_for(first: int, utterance: Utterance) -> abx.Frames:
        found = vectors(codec, tokens(utterance), first)
        assert found is not None
        return found.numpy()

    def symbols(first: int, utterance: Utterance) -> abx.Frames:
        return tokens(utterance)[:first].T.numpy()

    count = len(codec.spec.streams)
    if not count:
        yield "tokens", lambda utterance: tokens(utterance).numpy()
    for what, first in {"tokens": count, "codebook 0": 1}.items() if count else ():
        if vectors(codec, torch.zeros(count, 1, dtype=torch.int64), first) is not None:
            yield what, partial(stood_for, first)
        yield f"{what} as symbols", partial(symbols, first)


# --- tables --------------------------------------------------------------------------------------


def tables(done: list[Row], pairs: list[Pair]) -> Iterator[Table]:
    """One a language: looks by contrast, and all contrasts together."""
    for language in dict.fromkeys(pair.language for pair in pairs):
        own = [row for row in done if row["part"] == language and row["error"] not in (None, "")]
        contrasts = (*dict.fromkeys(row["contrast"] for row in own), "all")
        table: dict[str, Cells] = {}
        for kind in dict.fromkeys(row["kind"] for row in own):
            cells = table[kind] = {}
            for contrast in contrasts:
                errors = [
                    float(row["error"])
                    for row in own
                    if row["kind"] == kind and contrast in (row["contrast"], "all")
                ]
                cells[f"{contrast} ({len(errors)})"] = figure(stats.mean(errors), 0, 100)
        yield Table(f"ABX error, %, {language}: contrasts (pairs)", table)
