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
for. The out folder holds `items.csv` (one
row a pair and look), `run.json`, `summary.json` and `summary.md`; a run goes on where it was.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from codeclm.codec_study import study
from codeclm.codec_study.minimal_pairs import Pair, read_pairs
from codeclm.codec_study.vectors import vectors
from codeclm.codecs import YARDSTICKS, load_codec
from codeclm.codecs.house.features import SAMPLE_RATE, log_mel
from codeclm.codecs.published.opus import Opus
from codeclm.corpus import Utterance, read_audio, read_manifest
from codeclm.evaluation import abx, stats
from codeclm.evaluation.items import Key, Results, Row
from codeclm.evaluation.tables import Cell, Table, figure

COLUMNS = ("part", "kind", "id", "contrast", "error", "recordings", "voices")
RECORDINGS, SOUND = "recordings", " sound"
NOTES = (
    "cells: ABX error in %, mean over pairs [95 % bootstrap interval over pairs, 5,000 draws, "
    "seeded]; 50 is chance",
    "A and B by one voice, X by another; DTW over angles between frames, of symbols over the share "
    "of codes that differ",
    "recordings, sound: 100 log-mel bands, 100 frames a second",
)
Look = Callable[[Utterance], abx.Frames]
Task = tuple[Key, Callable[[], Row]]


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        codecs: as `load_codec` takes them, and names of Opus.
        pairs: the list.
        audio: manifest of the recordings, or the folder that holds `manifest.jsonl`: `text` is the
            word, `speaker` the voice.
        out: folder for the results.
        sound: whether the codecs' sound is looked at too, which takes longer than their tokens.
    """

    codecs: tuple[str, ...]
    pairs: Path
    audio: Path
    out: Path
    sound: bool = False


@torch.inference_mode()
def run(plan: Plan, progress: Callable[[list[Task]], Any] = lambda tasks: tasks) -> str:
    """Measures what is missing and returns the summary.

    Raises:
        ValueError: no such codec, list or recordings, or the folder holds another run; Opus
            without its sound.
    """
    pairs = read_pairs(plan.pairs)
    folder = plan.audio / "manifest.jsonl" if plan.audio.is_dir() else plan.audio
    spoken: dict[tuple[str, str], list[Utterance]] = {}
    for utterance in read_manifest(folder):
        spoken.setdefault((utterance.language, utterance.text), []).append(utterance)
    looks: dict[str, Look] = {RECORDINGS: look_at_recording}
    made_with: dict[str, Any] = {"pairs": plan.pairs.name, **study.installed("torch", "numpy")}
    for name in plan.codecs:
        if name in YARDSTICKS and not plan.sound:
            raise ValueError(f"{name} has no tokens: ask for its sound, or leave it out")
        found, made_with[f"codec {name}"] = looks_of(name)
        looks |= {k: look for k, look in found.items() if plan.sound or not k.endswith(SOUND)}
    tasks: list[Task] = [
        ((pair.language, kind, f"{pair.contrast}: {pair.a} {pair.b}"), partial(measure, look, a, b))
        for kind, look in looks.items()
        for pair in pairs
        if (a := spoken.get((pair.language, pair.a))) and (b := spoken.get((pair.language, pair.b)))
    ]
    if not tasks:
        raise ValueError(
            f"{folder} has no recordings of both words of any pair of {plan.pairs}: `text` has to "
            "be the word as the list writes it, `language` its code"
        )
    contrasts = {f"{p.contrast}: {p.a} {p.b}": p.contrast for p in pairs}
    with Results(plan.out, made_with, COLUMNS) as results:
        missing = [task for task in tasks if task[0] not in results.rows]
        for (language, kind, item), work in progress(missing):
            row = {"part": language, "kind": kind, "id": item, "contrast": contrasts[item]}
            results.add(row | work())
    done = [results.rows[key] for key, _ in tasks]
    heard = {(row["part"], row["id"]) for row in done}
    silent = len(pairs) - len(heard)
    notes = [*NOTES, f"pairs without recordings: {silent}"] if silent else list(NOTES)
    return study.write_summary(plan.out, tables(done, pairs), results.facts, notes)


def measure(look: Look, a: list[Utterance], b: list[Utterance]) -> Row:
    """The ABX error of a pair, from the recordings of its two words."""
    recordings = [*a, *b]
    frames = [seen(look, u) for u in recordings]
    alike = abx.hamming if frames[0].dtype.kind == "i" else abx.angle
    voices = [u.speaker for u in recordings]
    error = abx.error(abx.distances(frames, alike), [u.text for u in recordings], voices)
    count = {"recordings": len(recordings), "voices": len(set(voices))}
    return {"error": error} | count


@lru_cache(maxsize=5000)
def seen(look: Look, utterance: Utterance) -> abx.Frames:
    """A look at a recording; many words are in several pairs."""
    return look(utterance)


# --- looks ---------------------------------------------------------------------------------------


def look_at_recording(utterance: Utterance) -> abx.Frames:
    """Log-mels [frames, 100] of a recording."""
    return log_mel(read_audio(utterance, SAMPLE_RATE))[0].numpy()


def looks_of(name: str) -> tuple[dict[str, Look], str]:
    """The looks at a codec, by kind, and what identifies it."""
    if name in YARDSTICKS:
        opus = Opus(name, YARDSTICKS[name])
        return {name + SOUND: partial(look_at_sound, opus.roundtrip, SAMPLE_RATE)}, name
    codec = load_codec(name)
    spec, tokens = codec.spec, Tokens(codec)
    looks: dict[str, Look] = {
        spec.name + SOUND: partial(
            look_at_sound, lambda wav: codec.decode(codec.encode(wav)), spec.sample_rate
        )
    }
    if spec.latent_dims:
        looks[f"{spec.name} tokens"] = tokens.latents
    else:
        for what, first in {"tokens": len(spec.streams), "codebook 0": 1}.items():
            sample = torch.zeros(len(spec.streams), 1, dtype=torch.int64)
            if vectors(codec, sample, first) is not None:
                looks[f"{spec.name} {what}"] = partial(tokens.vectors, first)
            looks[f"{spec.name} {what} as symbols"] = partial(tokens.symbols, first)
    return looks, f"{spec.name} {study.sound_fingerprint(codec)}"


def look_at_sound(
    through: Callable[[Tensor], Tensor], rate: int, utterance: Utterance
) -> abx.Frames:
    """Log-mels [frames, 100] of what a codec makes of a recording."""
    from codeclm.audio import resample

    wav = read_audio(utterance, rate)
    heard = resample(through(wav[None])[0, :, : wav.shape[1]], rate, SAMPLE_RATE)
    return log_mel(heard)[0].numpy()


class Tokens:
    """The tokens of recordings; each is encoded once."""

    def __init__(self, codec: Any) -> None:
        self.codec = codec
        self.kept: dict[str, Tensor] = {}

    def tokens(self, utterance: Utterance) -> Tensor:
        """Codes [K, T] or latents [T, D]."""
        if utterance.id not in self.kept:
            wav = read_audio(utterance, self.codec.spec.sample_rate)
            self.kept[utterance.id] = self.codec.encode(wav[None])[0]
        return self.kept[utterance.id]

    def latents(self, utterance: Utterance) -> abx.Frames:
        """[T, D] of a continuous codec."""
        return self.tokens(utterance).numpy()

    def vectors(self, first: int, utterance: Utterance) -> abx.Frames:
        """[T, D], what the first codebooks stand for."""
        found = vectors(self.codec, self.tokens(utterance), first)
        assert found is not None
        return found.numpy()

    def symbols(self, first: int, utterance: Utterance) -> abx.Frames:
        """[T, `first`] codes."""
        return self.tokens(utterance)[:first].T.numpy()


# --- tables --------------------------------------------------------------------------------------


def tables(done: list[Row], pairs: list[Pair]) -> Iterator[Table]:
    """One a language: looks by contrast, and all contrasts together."""
    for language in dict.fromkeys(pair.language for pair in pairs):
        own = [row for row in done if row["part"] == language and row["error"] not in (None, "")]
        table: dict[str, dict[str, Cell]] = {}
        for row in own:
            table.setdefault(row["kind"], {})
        for kind, cells in table.items():
            for contrast in (*dict.fromkeys(row["contrast"] for row in own), "all"):
                errors = [
                    float(row["error"])
                    for row in own
                    if row["kind"] == kind and contrast in (row["contrast"], "all")
                ]
                cells[f"{contrast} ({len(errors)})"] = figure(stats.mean(errors), 0, 100)
        yield Table(f"ABX error, %, {language}: contrasts (pairs)", table)
