"""How fast models speak on this machine: `codeclm bench starter`.

Several models, or one drawn in several ways, take turns in one process, so that what else the
machine does meets all alike. Speed and first audio are those of whole calls, text to sound; the
step is the engine's alone, all talks at once, without the codec.

A step cannot be faster than its weights can be read, nor than its products of matrices can be
formed. The larger of the two times is its floor, and floor / step the share of the roofline
(Williams et al. 2009). Both are measured here, with as many threads as the step has; the reading
goes over as many bytes as the step reads, again and again, so that caches help both alike.
"""

import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import torch
from accelerate import init_empty_weights

from codeclm import checkpoint
from codeclm.tts import flops
from codeclm.tts.generate import TTS, Request
from codeclm.tts.measure import matrix_peak
from codeclm.tts.model import ModelConfig, SpeechLM
from codeclm.tts.sampling import Sampling
from codeclm.tts.threads import fastest, time_steps, try_threads, use_threads

if TYPE_CHECKING:
    from codeclm.tts.voice import Voice

SENTENCES = (
    "The birch canoe slid on the smooth planks.",
    "Glue the sheet to the dark blue background.",
    "It is easy to tell the depth of a well.",
    "These days a chicken leg is a rare dish.",
    "Rice is often served in round bowls.",
    "The juice of lemons makes fine punch.",
)
UTTERANCE = 10  # seconds of speech that the operations of a step are averaged over
TIMED = 100  # steps that a step is timed on


@dataclass
class Setup:
    """A model, and how it is to speak."""

    name: str  # for people
    tts: TTS
    folder: Path  # that the model came from
    sampling: Sampling
    voice: "Voice | None" = None  # None: its first stock voice
    language: str = "en"


@dataclass(frozen=True)
class Row:
    """What was measured of a model with so many talks side by side."""

    model: str  # and the number of steps if one was asked for
    batch: int  # talks at a time
    threads: int
    speed: float  # seconds of audio made in a second, of all talks together; median of the runs
    first_audio_ms_p50: float  # from all texts in to the first samples of each out
    first_audio_ms_p95: float
    firsts: int  # how many of those there were
    step_ms: float  # median time of a step of all talks
    step_ms_by_threads: dict[int, float]  # the same with other numbers of them, a short trial
    weight_bytes: int  # that a step reads
    floor_ms: float  # what a step would take at the roofline
    bound: str  # by what: memory or matrix
    roofline: float  # floor / step
    peak_memory_bytes: int  # the most that the process has held up to then, all models in it


def bench(
    setups: Sequence[Setup],
    batches: Sequence[int] = (1, 4, 16),
    runs: int = 30,
    threads: int | None = None,
    texts: Sequence[str] = SENTENCES,
) -> list[Row]:
    """Measures models side by side, a row for each number of talks and each model.

    Args:
        setups: the models.
        batches: numbers of talks at a time.
        runs: first sounds to time, at least, for each row.
        threads: to compute with; None: the fastest number, for each row.
        texts: what they say, in turn.

    Raises:
        ValueError: a model cannot say a text.
    """
    rows = []
    for batch in sorted(batches):
        tried = [{} if threads else try_threads(w.tts, batch, w.sampling) for w in setups]
        counts = [threads or fastest(times) for times in tried]
        speeds: list[list[float]] = [[] for _ in setups]
        firsts: list[list[float]] = [[] for _ in setups]
        steps: list[list[float]] = [[] for _ in setups]
        rounds = max(3, -(-runs // batch))
        for number in range(rounds + 1):
            for i, setup in enumerate(setups):
                use_threads(setup.tts.network, counts[i])
                speed, first = speak(setup, texts, batch, number)
                count = -(-TIMED // rounds)
                took = time_steps(setup.tts, count, batch, setup.sampling, setup.voice)
                if number:  # the first round warms up
                    speeds[i].append(speed)
                    firsts[i] += first
                    steps[i] += took
        for i, setup in enumerate(setups):
            use_threads(setup.tts.network, counts[i])
            weight_bytes, operations = work_of(setup)
            reading = weight_bytes / bandwidth(weight_bytes, counts[i])
            torch.set_num_threads(counts[i])
            peak = matrix_peak(torch.device("cpu"), torch.float32, 512)
            computing = batch * operations / peak
            step, floor = median(steps[i]), max(reading, computing)
            rows.append(
                Row(
                    model=setup.name,
                    batch=batch,
                    threads=counts[i],
                    speed=median(speeds[i]),
                    first_audio_ms_p50=float(np.percentile(firsts[i], 50)),
                    first_audio_ms_p95=float(np.percentile(firsts[i], 95)),
                    firsts=len(firsts[i]),
                    step_ms=1000 * step,
                    step_ms_by_threads={n: 1000 * took for n, took in tried[i].items()},
                    weight_bytes=weight_bytes,
                    floor_ms=1000 * floor,
                    bound="memory" if reading >= computing else "matrix",
                    roofline=floor / step,
                    peak_memory_bytes=_peak_memory(),
                )
            )
    return rows


def speak(setup: Setup, texts: Sequence[str], batch: int, number: int) -> tuple[float, list[float]]:
    """Says some of the texts at once; x real time, and ms to the first audio of each."""
    requests = [
        Request(texts[i % len(texts)], setup.voice, setup.language, seed=i)
        for i in range(number, number + batch)
    ]
    began = time.perf_counter()
    said = setup.tts.speak_all(requests, sampling=setup.sampling, together=batch)
    took = time.perf_counter() - began
    return sum(s.audio_seconds for s in said) / took, [s.first_audio_ms for s in said]


# --- the roofline ---


def work_of(setup: Setup) -> tuple[int, float]:
    """What a step of a model does: bytes of weights that it reads, and operations for one talk.

    A network may say itself how many bytes a step reads (`step_bytes`); of another one it is all
    that lies in the folder's weights file. Operations are averaged over `UTTERANCE` seconds.
    """
    config = ModelConfig(**checkpoint.load(setup.folder).config)
    size = (setup.folder / checkpoint.WEIGHTS).stat().st_size
    weights: int = getattr(setup.tts.network, "step_bytes", size)
    if config.pretrained:  # whose shape only the hub knows
        return weights, 2 * weights / 4
    spec = setup.tts.codec.spec
    with init_empty_weights():
        model = SpeechLM(config, spec, len(setup.tts.tokenizer.tokens))
    frames = round(UTTERANCE * spec.frame_rate)
    # No text: its encoder runs once a sentence, not in a step.
    return weights, flops.speaking(model, frames, 0, setup.sampling) / model.layout.steps(frames)


def bandwidth(size: int, threads: int) -> float:
    """Bytes a second that a matrix of so many bytes is read with, to multiply a vector."""
    torch.set_num_threads(threads)
    matrix, vector = torch.ones(max(1, size // 4096), 1024), torch.ones(1024)
    # In pieces of some 16 MB, so that whatever else runs does not fall into each of them.
    pieces = matrix.chunk(-(-size // 2**24))
    took = np.zeros((20, len(pieces)))
    for n, i in np.ndindex(*took.shape):
        began = time.perf_counter()
        pieces[i].mv(vector)
        took[n, i] = time.perf_counter() - began
    return float(4 * matrix.numel() / took.min(0).sum())


def _peak_memory() -> int:
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


# --- shown ---


def render(rows: Sequence[Row]) -> str:
    """The rows as a table, without a newline at the end."""
    wide = max(5, *(len(row.model) for row in rows))
    lines = [
        f"{'model':{wide}}  batch  threads  x real time  first audio, ms (p95)  "
        "step, ms  roofline      memory"
    ]
    for row in rows:
        first = f"{row.first_audio_ms_p50:.1f} ({row.first_audio_ms_p95:.1f})"
        lines.append(
            f"{row.model:{wide}}  {row.batch:5}  {row.threads:7}  {row.speed:11.1f}  {first:>21}  "
            f"{row.step_ms:8.2f}  {row.roofline:4.0%} {row.bound}  "
            f"{row.peak_memory_bytes / 1e6:5.0f} MB"
        )
    for row in rows:
        if len(row.step_ms_by_threads) > 1:
            each = ", ".join(f"{n}: {ms:.2f} ms" for n, ms in row.step_ms_by_threads.items())
            lines.append(f"{row.model} x {row.batch}: a step by threads: {each}")
    return "\n".join(lines)
