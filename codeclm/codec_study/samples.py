"""The few items of a bench that are kept to listen to: sound and picture beside each other."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from codeclm.codec_study import scores
from codeclm.codecs.published.opus import Opus
from codeclm.corpus import Utterance
from codeclm.evaluation import spectrogram
from codeclm.evaluation.items import base

KEPT = Opus("page", 32_000)  # small, and far better than what is compared


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
