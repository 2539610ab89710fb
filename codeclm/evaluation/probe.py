"""Linear phoneme probe: how much of what is said can be read off one codebook, frame by frame.

A linear softmax classifier on a one-hot code has one free row of logits a code, so its maximum of
likelihood is known without training: the shares of the phonemes under that code. It answers with
the commonest phoneme of the code, and with the commonest of all for a code it never saw.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codeclm.data_prep.text import PAD, SIL, STRESS

Ints = NDArray[np.integer[Any]]


def phoneme(token: str) -> str:
    """The sound of a token: without its stress, and one name for all pauses."""
    sound = token.strip(STRESS)
    return SIL if sound in (PAD, SIL) or not any(c.isalpha() for c in sound) else sound


def frame_labels(
    ids: Sequence[int], durations: Sequence[int], classes: Sequence[int], frames: int
) -> Ints:
    """The class of each of `frames` frames, for tokens that last `durations` frames.

    `classes[id]` is the class of a token. Where the frame rates differ, a frame takes the token in
    its middle.
    """
    labels: Ints = np.repeat(np.asarray(classes)[list(ids)], durations)
    middles = (np.arange(frames) + 0.5) * len(labels) / frames
    chosen: Ints = labels[middles.astype(np.int64)]
    return chosen


def fit(codes: Ints, labels: Ints, size: int) -> Ints:
    """The label that the classifier gives to each of `size` codes, from frames [frames]."""
    if len(codes) == 0:
        raise ValueError("no aligned frames to learn from: check the ids and the split names")
    counts = np.zeros((size, int(labels.max()) + 1), dtype=np.int64)
    np.add.at(counts, (codes, labels), 1)
    answer: Ints = np.where(counts.any(axis=1), counts.argmax(axis=1), counts.sum(axis=0).argmax())
    return answer
