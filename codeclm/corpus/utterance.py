"""One recording with its text: what every kind of corpus becomes.

`parse` reads the house's own form, a mapping with the names below, and `as_row` writes it again.

    audio      file or URL, relative to the manifest's folder; with `shard`, a member of that tar
    text       what is said
    speaker    who says it
    shard      an uncompressed tar, relative to the manifest's folder; read in place
    start      seconds; the utterance is a part of the file, `duration` seconds long
    channel    counted from 0; without it the channels are averaged
    duration   seconds
    id, split (train), language (en), accent, phonemes (IPA)

`audio`, `text` and `speaker` are needed; other names are ignored.
"""

import dataclasses
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from codeclm.corpus import tar
from codeclm.remote import AnyPath, Remote, place

DATASET = "hf:"  # how the name of a Hugging Face dataset begins


class Member(NamedTuple):
    """A sound in an uncompressed tar."""

    tar: AnyPath
    name: str


class DatasetRow(NamedTuple):
    """A sound in a Hugging Face dataset: its name as a manifest, the split, the row's number."""

    dataset: str
    split: str
    number: int


Place = AnyPath | Member | DatasetRow


@dataclass(frozen=True)
class Utterance:
    """One recording with its text.

    Attributes:
        language: the most exact tag that is known (`en-gb` where the row names an accent).
        duration: seconds as stated; None when unknown.
        audio: the file, tar member or dataset row that holds the sound.
        start: seconds; None when the utterance is the whole of `audio`.
        channel: counted from 0; None averages them.
    """

    id: str
    text: str
    speaker: str
    split: str
    language: str
    duration: float | None
    audio: Place
    phonemes: str | None = None
    start: float | None = None
    channel: int | None = None


class BadRow(ValueError):
    """What is wrong with a row, in one line with its remedy.

    Attributes:
        kind: a few words that group such rows.
        id: of the row, as far as it is known.
        mended: the utterance without its fault, where that can be known.
    """

    def __init__(self, kind: str, message: str, id: str = "", mended: Utterance | None = None):
        super().__init__(message)
        self.kind, self.id, self.mended = kind, id, mended


class Row(NamedTuple):
    """A row of a manifest: where it stands, counted from 1, and what it was found to be."""

    file: str
    line: int
    found: Utterance | BadRow


def found(make: Callable[..., Utterance], *given: Any) -> Utterance | BadRow:
    """The utterance that `make` makes, or what it finds wrong."""
    try:
        return make(*given)
    except BadRow as bad:
        return bad


@contextmanager
def of_row(id: str) -> Iterator[None]:
    """Lets a `BadRow` raised inside say whose it is."""
    try:
        yield
    except BadRow as bad:
        bad.id = id
        raise


def parse(row: Mapping[str, Any], folder: AnyPath) -> Utterance:
    """The utterance that a row describes, its files being relative to `folder`.

    Raises:
        BadRow: something is missing, empty or not what it should be.
    """
    name = string(row, "audio")
    id = string(row, "id", str(PurePosixPath(name).with_suffix("")) if name.strip("/.") else name)
    with of_row(id):
        channel, start, duration = (row.get(key) for key in ("channel", "start", "duration"))
        language = string(row, "language", "en")
        if channel is not None and (type(channel) is not int or channel < 0):
            raise _bad("channel", channel, "write 0, 1, ...")
        if start is not None and not (_is_number(start) and start >= 0):
            raise _bad("start", start, "write seconds")
        utterance = Utterance(
            id=id,
            text=string(row, "text"),
            speaker=string(row, "speaker"),
            split=string(row, "split", "train"),
            language=string(row, "accent", language),
            duration=None,
            audio=_locate(folder, name, string(row, "shard") if row.get("shard") else None),
            phonemes=string(row, "phonemes") if row.get("phonemes") else None,
            start=None if start is None else float(start),
            channel=channel,
        )
        if duration is None:
            return utterance
        if not _is_number(duration) or duration <= 0:
            bad = _bad("duration", duration, "write seconds above 0")
            raise BadRow("wrong duration", str(bad), mended=utterance)
        return dataclasses.replace(utterance, duration=float(duration))


def _bad(key: str, value: object, remedy: str) -> BadRow:
    return BadRow("bad value", f"`{key}` is {short(value)}: {remedy}, or leave it out")


def as_row(utterance: Utterance, folder: Path) -> dict[str, Any]:
    """The row that `parse` reads as this utterance, from a manifest in `folder`."""
    place = utterance.audio
    if isinstance(place, DatasetRow):
        where = {"shard": place.dataset, "audio": f"{place.split}/{place.number}"}
    elif isinstance(place, Member):
        where = {"shard": _relative(place.tar, folder), "audio": place.name}
    else:
        where = {"audio": _relative(place, folder)}
    names = ("text", "speaker", "split", "language", "start", "duration", "channel", "phonemes")
    rest = {name: getattr(utterance, name) for name in names}
    given = {name: value for name, value in rest.items() if value is not None}
    return {"id": utterance.id, **where, **given}


def string(row: Mapping[str, Any], key: str, default: str | None = None) -> str:
    """A string of a row that is not empty and can be written as UTF-8."""
    value = row.get(key)
    if value is None:
        value = default
    kind = "no text" if key == "text" else "bad value"
    if value is None:
        names = ", ".join(map(str, row))
        raise BadRow(kind, f"no `{key}`: add it (keys here: {names[:200] or 'none'})")
    if not isinstance(value, str) or not value.strip():
        raise BadRow(kind, f"`{key}` is {short(value)}: write a string that is not empty")
    if "\0" in value or not _is_unicode(value):
        raise BadRow(kind, f"`{key}` is {short(value)}: remove what is not a character")
    return value


def short(value: object) -> str:
    """A value of a row as a message shows it; `repr` of a huge number would itself fail."""
    try:
        shown = repr(value)
    except ValueError:
        shown = f"a huge {type(value).__name__}"
    return shown if len(shown) <= 200 else f"{shown[:150]}...{shown[-40:]}"


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can write
        return False
    return True


def _is_number(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond every float
        return False


def _locate(folder: AnyPath, name: str, shard: str | None) -> Place:
    if shard is None:
        file = place(name, folder)
        if not exists(file):
            raise BadRow(
                "missing file",
                f"no audio file {short(str(file))}: correct `audio` or remove the row",
            )
        return file
    path = place(shard, folder)
    if shard.startswith(DATASET) and not isinstance(path, Remote):
        split, _, number = name.rpartition("/")
        if not (split and number.isascii() and number.isdecimal()):
            raise BadRow("bad value", f"`audio` is {short(name)}: write a row as train/17")
        return DatasetRow(shard, split, int(number))
    if not tar.is_plain(name):
        raise BadRow("bad value", f"`audio` is {short(name)}: write a relative path without `..`")
    if not exists(path):
        raise BadRow(
            "missing file", f"no shard {short(str(path))}: correct `shard` or remove the row"
        )
    try:
        members = tar.index(path)
    except ValueError as error:
        raise BadRow("unreadable", str(error)) from None
    if name not in members:
        raise BadRow(
            "missing file", f"no member {short(name)} in {path}: correct `audio` or remove the row"
        )
    return Member(path, name)


def exists(path: AnyPath) -> bool:
    """Whether there is such a file; a name that no file can have is no error."""
    try:
        return path.is_listed() if isinstance(path, Remote) else path.is_file()
    except ConnectionError:
        raise
    except (OSError, ValueError):  # too long, NUL inside
        return False


def _relative(path: AnyPath, folder: Path) -> str:
    """The path as seen from the folder if it lies below it, else in full."""
    if isinstance(path, Remote):
        return str(path)
    full, below = os.path.abspath(path), os.path.abspath(folder)
    inside = os.path.commonpath([full, below]) == below
    return PurePosixPath(os.path.relpath(full, below) if inside else full).as_posix()
