"""Sound for codec training: corpora decoded once into flat files, crops drawn from them.

Decoding a compressed corpus again for every crop would cost more than the training itself. The
cache holds 16-bit samples and the pitch every 10 ms; `teacher.py` adds its features where a codec
learns from them.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from codeclm.codecs.house.autoencoder import STRIDE
from codeclm.codecs.house.features import HIGHEST, HOP, LOWEST, SAMPLE_RATE, WINDOW
from codeclm.config import Config
from codeclm.corpus import read_audio, read_manifest
from codeclm.files import write_text
from codeclm.remote import AnyPath, Named


class CorpusConfig(Config):
    """A corpus to train on.

    Attributes:
        manifest: any that `codeclm.corpus` reads, path or URL.
        cache: folder for the decoded sound; runs share it.
        share: how often a crop comes from here, relative to the other corpora.
    """

    manifest: Named
    cache: Path
    share: float = 1.0


def cache_corpus(manifest: AnyPath, folder: Path) -> None:
    """Decodes a corpus into `folder`; returns at once if that was done before.

    `folder` gets `pcm.i16`, `pitch.f16` and, written last, `index.json`.
    """
    utterances = read_manifest(manifest)
    names = [utterance.id for utterance in utterances]
    if (folder / "index.json").exists():
        if json.loads((folder / "index.json").read_text())["names"] != names:
            raise ValueError(f"{folder} caches another corpus: give this run another cache folder")
        return
    folder.mkdir(parents=True, exist_ok=True)
    track = pitch_tracker()
    frames = []
    with open(folder / "pcm.i16", "wb") as pcm, open(folder / "pitch.f16", "wb") as tones:
        for utterance in tqdm(utterances, desc="decode", unit="clip"):
            wav = read_audio(utterance, SAMPLE_RATE)[0].numpy()
            wav = np.pad(wav, (0, -len(wav) % HOP))
            pcm.write((wav.clip(-1, 1) * 32767).astype(np.int16).tobytes())
            tones.write(track(wav).astype(np.float16).tobytes())
            frames.append(len(wav) // HOP)
    write_text(folder / "index.json", json.dumps({"names": names, "frames": frames}))


def pitch_tracker() -> Callable[[np.ndarray], np.ndarray]:
    """A function from sound [N] at 24 kHz to pitch [N / 240] in Hz, 0 where unvoiced (SwiftF0)."""
    try:
        from swift_f0 import SwiftF0
    except ImportError as error:
        raise ValueError('pitch needs an extra: pip install "codeclm[train]"') from error
    from codeclm.audio import resample

    detector = SwiftF0()

    def track(wav: np.ndarray) -> np.ndarray:
        centres = (np.arange(len(wav) // HOP) * HOP + WINDOW // 2) / SAMPLE_RATE
        low = resample(torch.from_numpy(np.pad(wav, (0, WINDOW))), SAMPLE_RATE, 16_000).numpy()
        found = detector.detect(low, 16_000, fmin=LOWEST, fmax=HIGHEST)
        voiced = found.confidence > 0.5
        if voiced.sum() < 2:
            return np.zeros(len(centres))
        hertz = np.exp(np.interp(centres, found.timestamps[voiced], np.log(found.pitch_hz[voiced])))
        between = (found.timestamps[1:] + found.timestamps[:-1]) / 2
        nearest = np.searchsorted(between, centres)
        return np.where(voiced[nearest], hertz, 0.0)

    return track


class Cache:
    """One corpus, decoded: flat arrays of frames of 10 ms, and where each utterance begins."""

    def __init__(self, corpus: CorpusConfig) -> None:
        self.corpus = corpus
        cache_corpus(corpus.manifest, corpus.cache)
        self.utterances = read_manifest(corpus.manifest)
        self.lengths = np.array(json.loads((corpus.cache / "index.json").read_text())["frames"])
        self.starts = np.cumsum(self.lengths) - self.lengths
        pcm = np.memmap(corpus.cache / "pcm.i16", dtype=np.int16, mode="r")
        self.pcm: NDArray[np.int16] = pcm.reshape(-1, HOP)
        self.pitch = np.memmap(corpus.cache / "pitch.f16", dtype=np.float16, mode="r")


class TeacherFeatures(NamedTuple):
    """What a speech model hears: features [frames, D] every 40 ms, and where utterances begin."""

    features: NDArray[np.float16]
    starts: NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """Crops: sound [B, 240 M], its pitch [B, M] in Hz or 0, teacher features [B, M / 4, D]."""

    wav: Tensor
    pitch: Tensor
    teacher: Tensor | None

    def to(self, device: torch.device) -> "Batch":
        """The same crops elsewhere."""
        teacher = None if self.teacher is None else self.teacher.to(device)
        return Batch(self.wav.to(device), self.pitch.to(device), teacher)


class Crops:
    """Random crops of one split of the corpora, drawn by step number.

    Args:
        caches: the decoded corpora; one without this split is left out.
        split: `train` or `dev`.
        teachers: what a speech model hears in each of `caches`.
    """

    def __init__(
        self, caches: Sequence[Cache], split: str, teachers: Sequence[TeacherFeatures] = ()
    ) -> None:
        self.caches, self.teachers = caches, teachers
        rows, weights = [], []
        for number, cache in enumerate(caches):
            keep = [i for i, row in enumerate(cache.utterances) if row.split == split]
            rows += [(number, i) for i in keep]
            lengths = cache.lengths[keep]
            weights += list(cache.corpus.share * lengths / max(1, lengths.sum()))
        if not rows:
            names = ", ".join(str(cache.corpus.manifest) for cache in caches)
            raise ValueError(f"{names}: no utterance in the split {split!r}")
        self.rows = rows
        self.bounds = np.cumsum(weights) / np.sum(weights)

    def batch(self, seed: int, step: int, size: int, frames: int) -> Batch:
        """`size` crops of `frames` frames of 10 ms, 3 dB louder to 12 dB softer.

        Within a corpus, utterances are drawn in proportion to their length; one shorter than the
        crop is followed by silence. Crops begin at whole codec frames of their utterance.
        """
        rng = np.random.default_rng([seed, step])
        wav = np.zeros((size, frames, HOP), dtype=np.float32)
        pitch = np.zeros((size, frames), dtype=np.float32)
        width = self.teachers[0].features.shape[1] if self.teachers else 0
        teacher = np.zeros((size, frames // STRIDE, width), dtype=np.float32)
        gain = 10 ** (rng.uniform(-12, 3, size) / 20) / 32767
        for row, drawn in enumerate(np.searchsorted(self.bounds, rng.random(size), side="right")):
            number, i = self.rows[min(drawn, len(self.rows) - 1)]
            cache = self.caches[number]
            first = rng.integers(max(1, cache.lengths[i] - frames + 1)) // STRIDE * STRIDE
            take = min(frames, cache.lengths[i] - first)
            begin = cache.starts[i] + first
            wav[row, :take] = cache.pcm[begin : begin + take] * np.float32(gain[row])
            pitch[row, :take] = cache.pitch[begin : begin + take]
            if self.teachers:
                heard = self.teachers[number]
                start, count = heard.starts[i] + first // STRIDE, -(-take // STRIDE)
                teacher[row, :count] = heard.features[start : start + count]
        return Batch(
            torch.from_numpy(wav).reshape(size, -1),
            torch.from_numpy(pitch),
            torch.from_numpy(teacher) if self.teachers else None,
        )
