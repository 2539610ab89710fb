"""ABX: do representations of two words lie apart, so that a third recording finds its own?

A and B are recordings of two words by one voice, X is A's word by another voice. The discrimination
fails when X is nearer to B (Schatz et al. 2013; the measure of the ZeroSpeech challenges). Nearness
is the angle, or another distance of frames, averaged along the best alignment in time (DTW). The
error is the share of triples that fail, one half where both are as near: 0.5 is chance, 0 is
perfect.
"""

from collections.abc import Callable, Sequence
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[Any]  # [T, D]: vectors, or the codes of D streams
Floats = NDArray[np.float64]
BATCH = 64  # alignments that are found together
Distance = Callable[[Frames, Frames], Floats]  # [I, D] and [J, D] to [I, J]


def angle(a: Frames, b: Frames) -> Floats:
    """Angles between vectors, as shares of a half turn: 0 is one direction, 1 the opposite one."""
    lengths = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1)[None]
    cosine = np.divide(a @ b.T, lengths, out=np.zeros(lengths.shape), where=lengths > 0)
    angles: Floats = np.arccos(np.clip(cosine, -1, 1)) / np.pi
    return angles


def hamming(a: Frames, b: Frames) -> Floats:
    """Shares of the streams in which codes differ."""
    shares: Floats = (a[:, None] != b[None]).mean(axis=-1)
    return shares


def dtw(costs: Sequence[Floats]) -> Floats:
    """The mean cost along the cheapest alignment, for each of many matrices [I, J].

    An alignment goes from the first frames to the last ones in steps of one frame of either sound
    or of both; the mean is over its steps. Matrices are done together, one antidiagonal at a time.
    """
    tall, wide = max(c.shape[0] for c in costs), max(c.shape[1] for c in costs)
    padded = np.zeros((len(costs), tall, wide))
    for matrix, cost in zip(padded, costs, strict=True):
        matrix[: cost.shape[0], : cost.shape[1]] = cost
    total = np.full((len(costs), tall + 1, wide + 1), np.inf)
    steps = np.zeros((len(costs), tall + 1, wide + 1))
    total[:, 0, 0] = 0
    for diagonal in range(tall + wide - 1):
        i = np.arange(max(0, diagonal - wide + 1), min(tall, diagonal + 1))
        j = diagonal - i
        ways = np.stack([total[:, i, j], total[:, i, j + 1], total[:, i + 1, j]])
        lengths = np.stack([steps[:, i, j], steps[:, i, j + 1], steps[:, i + 1, j]])
        best = ways.argmin(axis=0)[None]  # both frames at once where it costs no more
        total[:, i + 1, j + 1] = padded[:, i, j] + np.take_along_axis(ways, best, 0)[0]
        steps[:, i + 1, j + 1] = 1 + np.take_along_axis(lengths, best, 0)[0]
    many = np.arange(len(costs))
    ends = tuple(np.array([c.shape[axis] for c in costs]) for axis in (0, 1))
    means: Floats = total[many, *ends] / steps[many, *ends]
    return means


def distances(sounds: Sequence[Frames], distance: Distance) -> Floats:
    """How far each two of `sounds` are from each other, [n, n]."""
    pairs = [(a, b) for a in range(len(sounds)) for b in range(a)]
    pairs.sort(key=lambda pair: len(sounds[pair[0]]) + len(sounds[pair[1]]))
    found = np.zeros((len(sounds), len(sounds)))
    for begin in range(0, len(pairs), BATCH):  # of about the same size, so that little is padding
        batch = pairs[begin : begin + BATCH]
        costs = [distance(sounds[a], sounds[b]) for a, b in batch]
        found[tuple(zip(*batch, strict=True))] = dtw(costs)
    return found + found.T


def error(far: Floats, words: Sequence[str], voices: Sequence[str]) -> float | None:
    """The share of triples that fail, with both words and all pairs of voices weighing alike.

    Args:
        far: [n, n] distances of n recordings.
        words: [n], two kinds.
        voices: [n]. Where there is one voice alone, X is another recording by it.

    Returns:
        None where there is no triple: no voice has both words, or nobody says one of them again.
    """
    said, who = np.array(words), np.array(voices)
    everyone = sorted(set(voices))
    shares = []
    for a, b in permutations(sorted(set(words)), 2):
        for voice in everyone:
            own = np.flatnonzero((said == a) & (who == voice))
            other = np.flatnonzero((said == b) & (who == voice))
            for third in [v for v in everyone if v != voice] or [voice]:
                heard = np.flatnonzero((said == a) & (who == third))
                right, wrong = far[np.ix_(own, heard)], far[np.ix_(other, heard)]
                lost = (right[:, None] > wrong[None]) + 0.5 * (right[:, None] == wrong[None])
                triples = np.broadcast_to((own[:, None] != heard)[:, None], lost.shape)
                if triples.any():
                    shares.append(float(lost[triples].mean()))
    return float(np.mean(shares)) if shares else None
