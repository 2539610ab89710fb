"""A blind A/B page of cells: the same text, voice and seed, two of them at a time.

Every listener hears another selection of the pairs in another order. Sounds are as loud as each
other. `codeclm codec listen-score` scores the answers.
"""

import base64
import itertools
from pathlib import Path
from typing import Any

from codeclm.audio import read, rms_db
from codeclm.codec_study import listen_page
from codeclm.codec_study.samples import KEPT
from codeclm.evaluation.speech import Items

TEXTS = 6  # of each, half in seen and half in unseen voices
MOST = 24  # pairs that a listener hears
LOUDNESS = -25.0  # dB, of the whole sound


def page(folders: dict[str, Path], items: Items) -> str | None:
    """The page.

    Args:
        folders: of the sounds of each cell, an item's called `<id>.wav`.
        items: that were said.

    Returns:
        None where there are not two cells that said the same.
    """
    half = TEXTS // 2
    targets = [target for target, _ in items.sentences[:half]]
    targets += [target for target, _, _ in items.clones[:half]]
    pairs: list[dict[str, Any]] = []
    sounds: dict[str, str] = {}
    for target in targets:
        files = {name: folder / f"{target.id}.wav" for name, folder in folders.items()}
        files = {name: file for name, file in files.items() if file.is_file()}
        if len(files) < 2:
            continue
        keys = {name: str(len(sounds) + i) for i, name in enumerate(files)}
        sounds |= {keys[name]: _packed(file) for name, file in files.items()}
        about = {"id": target.id, "text": target.text, "language": target.language}
        for one, other in itertools.combinations(files, 2):
            a, b = ({"system": name, "sound": keys[name]} for name in (one, other))
            pairs.append(about | {"a": a, "b": b})
    if not pairs:
        return None
    return listen_page.page(
        {"seed": 0, "items": [], "abx": [], "ab": pairs, "sounds": sounds, "most": MOST}
    )


def _packed(path: Path) -> str:
    """A sound as Ogg Opus in base64, as loud as the others."""
    wav = read(path, KEPT.sample_rate)
    level = 10 ** ((LOUDNESS - rms_db(wav)) / 20)
    return base64.b64encode(KEPT.encode((wav * level)[None])[0]).decode()
