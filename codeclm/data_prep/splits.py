"""Which utterances are for training: splits where a corpus has none, and leaks where it has some.

Names decide, through a hash: the same corpus is split the same way everywhere, and a corpus that
grows keeps its test utterances apart from training.
"""

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence

from pydantic import Field

from codeclm.config import Config
from codeclm.corpus import Utterance


class Splits(Config):
    """How to split a corpus whose utterances are all in `train`.

    Attributes:
        dev: share of the utterances of seen speakers, to watch a training.
        test: share of them that is kept for the end.
        unseen: speakers kept out of everything else, whole.
    """

    dev: float = Field(default=0.0, ge=0, lt=1)
    test: float = Field(default=0.0, ge=0, lt=1)
    unseen: int = Field(default=0, ge=0)


def split(utterances: Sequence[Utterance], splits: Splits) -> list[Utterance]:
    """The same utterances with their splits.

    Raises:
        ValueError: some have splits already, or no speaker would be left to train on.
    """
    there = sorted({u.split for u in utterances} - {"train"})
    if there:
        raise ValueError(f"the corpus has the splits {there} already: leave out `splits`")
    speakers = sorted({u.speaker for u in utterances}, key=_hash)
    if splits.unseen >= len(speakers) or splits.dev + splits.test >= 1:
        raise ValueError(
            f"splits of {splits.dev} dev, {splits.test} test and {splits.unseen} unseen of "
            f"{len(speakers)} speaker(s) leave nothing to train on: take less"
        )
    unseen = set(speakers[: splits.unseen])

    def name(utterance: Utterance) -> str:
        if utterance.speaker in unseen:
            return "unseen"
        place = _hash(f"{utterance.speaker}\0{utterance.id}")
        if place < splits.dev:
            return "dev"
        return "test" if place < splits.dev + splits.test else "train"

    return [dataclasses.replace(u, split=name(u)) for u in utterances]


def leaks(utterances: Iterable[Utterance], train_split: str = "train") -> set[str]:
    """Speakers that stand in both the training and the `unseen` split."""
    found: dict[str, set[str]] = {train_split: set(), "unseen": set()}
    for utterance in utterances:
        if utterance.split in found:
            found[utterance.split].add(utterance.speaker)
    return found[train_split] & found["unseen"] if train_split != "unseen" else set()


def _hash(name: str) -> float:
    """A number in [0, 1) that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64
