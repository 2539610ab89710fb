"""Sound for codec training: the corpus decoded once into a flat file, crops drawn from it.

Decoding a compressed corpus again for every crop would cost more than the training itself. The
cache holds 16-bit samples and, for the vocoder, the pitch every 10 ms.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from codeclm.codecs.house.features import HIGHEST, HOP, LOWEST, SAMPLE_RATE, WINDOW
from codeclm.corpus import read_audio, read_manifest


def cache_corpus(manifest: Path, folder: Path) -> None:
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
    temporary = folder / "index.json.tmp"
    temporary.write_text(json.dumps({"names": names, "frames": frames}))
    os.replace(temporary, folder / "index.json")


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


class Crops:
    """Random crops of one split of a cached corpus, drawn by step number."""

    def __init__(self, folder: Path, manifest: Path, split: str) -> None:
        frames = np.array(json.loads((folder / "index.json").read_text())["frames"])
        keep = [i for i, row in enumerate(read_manifest(manifest)) if row.split == split]
        if not keep:
            raise ValueError(f"{manifest} has no utterance in the split {split!r}")
        self.starts = (np.cumsum(frames) - frames)[keep]
        self.lengths = frames[keep]
        self.pcm = np.memmap(folder / "pcm.i16", dtype=np.int16, mode="r").reshape(-1, HOP)
        self.pitch = np.memmap(folder / "pitch.f16", dtype=np.float16, mode="r")

    def batch(self, seed: int, step: int, size: int, frames: int) -> tuple[Tensor, Tensor]:
        """`size` crops: sound [B, 240 M] and its pitch [B, M], 3 dB louder to 6 dB softer.

        Utterances are drawn in proportion to their length; one shorter than the crop is followed by
        silence.
        """
        rng = np.random.default_rng([seed, step])
        chosen = rng.choice(len(self.starts), size, p=self.lengths / self.lengths.sum())
        wav = np.zeros((size, frames, HOP), dtype=np.float32)
        pitch = np.zeros((size, frames), dtype=np.float32)
        for row, i in enumerate(chosen):
            first = rng.integers(max(1, self.lengths[i] - frames + 1))
            take = min(frames, self.lengths[i] - first)
            where = slice(self.starts[i] + first, self.starts[i] + first + take)
            wav[row, :take] = self.pcm[where] / np.float32(32767)
            pitch[row, :take] = self.pitch[where]
        gain = 10 ** (rng.uniform(-6, 3, (size, 1, 1)) / 20)
        loud = (wav * gain).astype(np.float32).reshape(size, -1)
        return torch.from_numpy(loud), torch.from_numpy(pitch)
