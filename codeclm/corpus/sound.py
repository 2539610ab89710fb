"""The sound of an utterance, wherever it is: a file, a tar member, a dataset row, a part of one."""

import io
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from codeclm.corpus import huggingface, tar
from codeclm.corpus.utterance import Member, Utterance
from codeclm.remote import Remote

if TYPE_CHECKING:
    from torch import Tensor

    from codeclm.audio import Info


def read_audio(utterance: Utterance, sample_rate: int) -> "Tensor":
    """The sound of an utterance, `[1, N]` float32 mono at `sample_rate`.

    Raises:
        ValueError: it is gone, is not audio, is empty, or ends before the utterance starts.
        ConnectionError: its store cannot be asked.
    """
    from codeclm.audio import read

    source, name = _open(utterance)
    seconds = None if utterance.start is None else utterance.duration
    try:
        return read(source, sample_rate, utterance.start or 0.0, seconds, utterance.channel)
    except ValueError as error:
        raise ValueError(f"{name}{error}") from error


def sound_info(utterance: Utterance) -> "Info":
    """What the header of the sound says of the whole file, be the utterance only a part of it."""
    from codeclm.audio import info

    source, name = _open(utterance)
    try:
        return info(source)
    except ValueError as error:
        raise ValueError(f"{name}{error}") from error


def _open(utterance: Utterance) -> tuple[Path | io.BytesIO, str]:
    """The sound as a file, and how an error names it when its path does not."""
    place = utterance.audio
    if isinstance(place, Path):
        return place, ""
    if isinstance(place, Member):
        return io.BytesIO(tar.read(place.tar, place.name)), f"{place.name} in {place.tar}: "
    if isinstance(place, Remote):
        return io.BytesIO(_fetched(place)), f"{place}: "
    found = huggingface.sound(*place)
    if isinstance(found, Path):
        return found, ""
    return io.BytesIO(found), f"row {place.split}/{place.number} of {place.dataset}: "


@lru_cache(maxsize=4)
def _fetched(file: Remote) -> bytes:
    """A remote file, whole: a store that fails while a library reads would be the end of the sound.

    The last few are kept, because utterances that are parts of one file follow each other.
    """
    try:
        return file.read_bytes()
    except FileNotFoundError as error:
        raise ValueError(str(error)) from None
