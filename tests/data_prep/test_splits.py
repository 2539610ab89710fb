"""Splits by hash: the same everywhere, whole speakers unseen, and stable when a corpus grows."""

from pathlib import Path

import pytest

from codeclm.corpus import Utterance
from codeclm.data_prep.splits import Splits, leaks, split


def corpus(speakers: int, each: int) -> list[Utterance]:
    return [
        Utterance(f"{s}-{i}", "A.", f"speaker {s}", "train", "en", None, Path("a.wav"))
        for s in range(speakers)
        for i in range(each)
    ]


def test_shares_and_whole_speakers() -> None:
    made = split(corpus(20, 100), Splits(dev=0.05, test=0.1, unseen=2))
    count = {name: sum(u.split == name for u in made) for name in ("dev", "test", "unseen")}
    assert count["unseen"] == 200
    assert 50 < count["dev"] < 130
    assert 130 < count["test"] < 230
    unseen = {u.speaker for u in made if u.split == "unseen"}
    assert len(unseen) == 2
    assert not unseen & {u.speaker for u in made if u.split != "unseen"}
    assert leaks(made) == set()


def test_order_and_growth_change_nothing() -> None:
    small = {u.id: u.split for u in split(corpus(10, 50), Splits(dev=0.1))}
    large = {u.id: u.split for u in split(corpus(20, 90)[::-1], Splits(dev=0.1))}
    assert small.items() <= large.items()


def test_mistakes_are_named() -> None:
    utterances = corpus(2, 5)
    with pytest.raises(ValueError, match="leave nothing to train on"):
        split(utterances, Splits(unseen=2))
    with pytest.raises(ValueError, match=r"has the splits \['dev'\] already"):
        split(split(corpus(4, 50), Splits(dev=0.2)), Splits(dev=0.1))


def test_leaks() -> None:
    made = split(corpus(4, 5), Splits(unseen=1))
    leaking = [*made, *(u for u in corpus(4, 1))]
    assert leaks(leaking) == {u.speaker for u in made if u.split == "unseen"}
