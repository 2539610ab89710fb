"""The recordings that studies take, and the few that are kept, as sound and as picture."""

import itertools
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import torch

from codeclm.codec_study import scores
from codeclm.codecs.published.opus import Opus
from codeclm.corpus import Utterance, read_audio
from codeclm.evaluation import spectrogram
from codeclm.evaluation.items import RATE, base, shuffled

KEPT = Opus("page", 32_000)  # small, and far better than what is compared


def lasting(
    seconds: tuple[float, float],
    utterances: Sequence[Utterance],
    manifest: Path,
    count: int,
    seed: int,
) -> list[Utterance]:
    """The first recordings of a length, in an order by the seed, that are not for training.

    Raises:
        ValueError: the manifest, whose utterances these are, has none.
    """
    shortest, longest = seconds
    fit = (u for u in shuffled(held_out(utterances), seed) if shortest <= seconds_of(u) <= longest)
    chosen = list(itertools.islice(fit, count))
    if not chosen:
        raise ValueError(f"{manifest} has no recording of {shortest} to {longest} seconds")
    return chosen


def held_out(utterances: Sequence[Utterance]) -> Sequence[Utterance]:
    """Those that are not for training, if there are such."""
    return [u for u in utterances if u.split != "train"] or utterances


@cache
def seconds_of(utterance: Utterance) -> float:
    """How long a recording is."""
    return read_audio(utterance, RATE).shape[1] / RATE


def choose(chosen: Mapping[str, Sequence[Utterance]]) -> list[tuple[str, str]]:
    """Set and id of the first item of every language, the sets taking turns."""
    queues = []
    for name, utterances in chosen.items():
        firsts = {base(u.language): (name, u.id) for u in reversed(utterances)}
        queues.append(list(firsts.values())[::-1])
    turns = range(max(map(len, queues)))
    return [queue[turn] for turn in turns for queue in queues if turn < len(queue)]


def place(folder: Path, kind: str, name: str, id: str) -> Path:
    """Where the sound of an item lies; its picture beside it ends in .png."""
    system, item = (
        "".join(c if c.isalnum() or c in "-." else "_" for c in each)
        for each in (kind, f"{name}-{id}")
    )
    return folder / "samples" / system / f"{item}.ogg"


def keep(folder: Path, kind: str, name: str, id: str, sound: scores.Sound) -> None:
    """Writes both."""
    path = place(folder, kind, name, id)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(KEPT.encode(torch.from_numpy(sound.full)[None, None])[0])
    path.with_suffix(".png").write_bytes(spectrogram.picture(sound.full, scores.COMMON))
