"""Linear phoneme probe: how much of what is said can be read off one codebook, frame by frame.

A linear softmax classifier on a one-hot code has one free row of logits a code, so its maximum of
likelihood is known without training: the shares of the phonemes under that code. It answers with
the commonest phoneme of the code, and with the commonest of all for a code it never saw.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codeclm.data_prep.shards import Item, prepared_codecs, read_prepared
from codeclm.data_prep.text import PAD, SIL, STRESS
from codeclm.evaluation import stats

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


@lru_cache(maxsize=1)
def alignment(folder: Path) -> tuple[list[int], dict[str, Item]]:
    """The class of every text token, and the aligned utterances by id, of a prepared corpus."""
    prepared = read_prepared(folder, next(iter(prepared_codecs(folder))))  # for its times alone
    phonemes = [phoneme(token) for token in prepared.tokenizer.tokens]
    number = {name: i for i, name in enumerate(dict.fromkeys(phonemes))}
    items = {item.id: item for item in prepared.items if any(item.durations)}
    return [number[name] for name in phonemes], items


def score(
    learned: Iterable[tuple[Ints, Ints]], judged: Iterable[tuple[Ints, Ints]], size: int
) -> dict[str, Any]:
    """How many phonemes of new utterances can be told from a code of `size`.

    Args:
        learned: codes [frames] and classes [frames] of the utterances to learn from.
        judged: the same of others.
        size: codes of the codebook.

    Returns:
        A JSON object: `accuracy` with its interval over utterances, `majority` (the same for the
        commonest class of all), and how many frames were `trained` on and `judged`.
    """
    pairs, new = list(learned), list(judged)
    if not pairs or not new:
        raise ValueError("no aligned frames to learn from or to judge: check ids and split names")
    labels = np.concatenate([y for _, y in pairs])
    answer = fit(np.concatenate([c for c, _ in pairs]), labels, size)
    commonest, lengths = np.bincount(labels).argmax(), [len(y) for _, y in new]
    right = [int((answer[c] == y).sum()) for c, y in new]
    guessed = [int((y == commonest).sum()) for _, y in new]
    return {
        "accuracy": asdict(stats.ratio(right, lengths)),
        "majority": asdict(stats.ratio(guessed, lengths)),
        "trained": len(labels),
        "judged": sum(lengths),
    }
