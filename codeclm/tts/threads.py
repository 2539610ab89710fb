"""How many threads a model speaks fastest with: small steps on many threads crawl.

It is tried, not reckoned: the answer depends on the model, on how many talks there are, and on what
else the machine does.
"""

import os
import sys
import time
from collections import Counter
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from codeclm.tts.engine import Engine, TokenizedSentence
from codeclm.tts.generate import TTS, Drawing
from codeclm.tts.guard import Guards
from codeclm.tts.runtime import Network

if TYPE_CHECKING:
    from codeclm.tts.voice import Voice

TRIED = 5  # steps, and as many times, for each number of threads
TOKENS = 60  # of a sentence at random
GAIN = 0.9  # of the time with fewer threads, that more must come down to


def choose_threads(tts: TTS, batch: int = 1) -> int:
    """Finds the fastest number of threads for so many talks side by side, and goes on with it."""
    count = fastest(try_threads(tts, batch))
    use_threads(tts.network, count)
    return count


def try_threads(tts: TTS, batch: int = 1, sampling: Drawing | None = None) -> dict[int, float]:
    """Median seconds of a step with 1, 2, 4 ... threads, up to the cores there are."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    counts = [2**i for i in range(cores.bit_length())]
    took: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(TRIED):
        for count in counts:
            use_threads(tts.network, count)
            took[count] += time_steps(tts, TRIED, batch, sampling)
        # What crawls is not tried again.
        best = min(median(times) for times in took.values())
        counts = [count for count in counts if median(took[count]) < 2 * best]
    return {count: median(times) for count, times in took.items()}


def fastest(times: dict[int, float]) -> int:
    """The number of threads to take; more of them must save a tenth of the time."""
    best = min(times)
    for count in sorted(times):
        if times[count] < GAIN * times[best]:
            best = count
    return best


def use_threads(network: Network, count: int) -> None:
    """Has torch compute with so many threads, and a network that has threads of its own too."""
    import torch

    torch.set_num_threads(count)
    if hasattr(network, "use_threads"):
        network.use_threads(count)


def time_steps(
    tts: TTS,
    count: int,
    batch: int = 1,
    sampling: Drawing | None = None,
    voice: "Voice | None" = None,
) -> list[float]:
    """Seconds of each of the first `count` steps of so many talks, the very first left out.

    They say tokens at random, which any model can.
    """
    engine, rng = Engine(tts.network), np.random.default_rng(0)
    for seed in range(batch):
        ids = rng.integers(1, len(tts.tokenizer.tokens), (4, TOKENS)).tolist()
        engine.add(
            tts.talk(map(TokenizedSentence, ids), voice, sampling, seed, Guards(), Counter())
        )
    engine.step()  # makes one cache of all
    took: list[float] = []
    while len(took) < count and len(engine.talks) == batch:
        began = time.perf_counter()
        engine.step()
        took.append(time.perf_counter() - began)
    return took
