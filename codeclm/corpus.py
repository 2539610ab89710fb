"""Read a corpus: one JSONL manifest, one utterance a row, audio in files or in tar shards.

A row names its sound in one of two ways, both relative to the manifest's folder:

    {"audio": "clips/a.wav", "text": "Hello.", "speaker": "anna"}
    {"shard": "audio-000.tar", "audio": "00000.opus", "text": "Hello.", "speaker": "anna", ...}

Optional keys: `id`, `split` (train), `language` (en), `accent`, `duration` (seconds), `phonemes`
(IPA). Other keys are ignored. Audio in a tar is read in place, nothing is extracted.
"""

import io
import json
import math
import tarfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from torch import Tensor

_SHOWN = 30  # bad rows listed in full; the rest is counted


@dataclass(frozen=True)
class Utterance:
    """One recording with its text.

    `language` is the most exact tag the row has (`en-gb` where it names an accent).
    `audio` is a file, or a tar and the member inside it. `duration` is None when unknown.
    """

    id: str
    text: str
    speaker: str
    split: str
    language: str
    duration: float | None
    audio: Path | tuple[Path, str]
    phonemes: str | None = None


def read_manifest(path: str | Path) -> list[Utterance]:
    """All utterances of a manifest. One ValueError lists every bad row and its remedy."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"no manifest at {path}: give a JSONL file, one utterance a row")
    utterances: list[Utterance] = []
    problems: list[str] = []
    seen: dict[str, int] = {}
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                utterance = _parse(line, path.parent)
                if utterance.id in seen:
                    raise ValueError(
                        f"id {utterance.id!r} stands already on line {seen[utterance.id]}: "
                        "give each row its own `id`"
                    )
            except ValueError as error:
                problems.append(f"  line {number}: {error}")
                continue
            seen[utterance.id] = number
            utterances.append(utterance)
    if problems:
        listed = "\n".join(problems[:_SHOWN])
        more = f"\n  ... and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise ValueError(f"{path}: {len(problems)} bad row(s)\n{listed}{more}")
    if not utterances:
        raise ValueError(f"{path} has no rows: write one JSON object a line")
    return utterances


def read_audio(utterance: Utterance, sample_rate: int) -> Tensor:
    """The sound of an utterance, `[1, N]` float32 mono at `sample_rate`."""
    from codeclm.audio import read

    if isinstance(utterance.audio, Path):
        return read(utterance.audio, sample_rate)
    shard, member = utterance.audio
    offset, size = _find(shard, member)
    with shard.open("rb") as file:
        file.seek(offset)
        sound = io.BytesIO(file.read(size))
    try:
        return read(sound, sample_rate)
    except ValueError as error:
        raise ValueError(f"{member} in {shard}: {error}") from error


def _parse(line: str, folder: Path) -> Utterance:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error}): write one JSON object a line") from None
    if not isinstance(row, dict):
        raise ValueError(f"a JSON {type(row).__name__}, not an object: write {{...}}")
    name = _string(row, "audio")
    audio = _locate(folder, name, _string(row, "shard") if "shard" in row else None)
    language = _string(row, "language", "en")
    return Utterance(
        id=_string(row, "id", str(PurePosixPath(name).with_suffix(""))),
        text=_string(row, "text"),
        speaker=_string(row, "speaker"),
        split=_string(row, "split", "train"),
        language=_string(row, "accent", language),
        duration=_duration(row),
        audio=audio,
        phonemes=_string(row, "phonemes") if row.get("phonemes") else None,
    )


def _string(row: dict[str, Any], key: str, default: str | None = None) -> str:
    value = row.get(key)
    if value is None:
        value = default
    if value is None:
        raise ValueError(f"no `{key}`: add it (keys here: {', '.join(row) or 'none'})")
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"`{key}` is {value!r}: write a string that is not empty")
    return value


def _duration(row: dict[str, Any]) -> float | None:
    value = row.get("duration")
    if value is None:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value <= 0:
        raise ValueError(f"`duration` is {value!r}: write seconds above 0, or leave it out")
    return float(value)


def _locate(folder: Path, name: str, shard: str | None) -> Path | tuple[Path, str]:
    if shard is None:
        file = folder / name  # an absolute name stays as it is
        if not _exists(file):
            raise ValueError(f"no audio file {file}: correct `audio` or remove the row")
        return file
    for key, value in (("shard", shard), ("audio", name)):
        if not _is_plain(value):
            raise ValueError(f"`{key}` is {value!r}: write a relative path without `..`")
    tar = folder / shard
    if not _exists(tar):
        raise ValueError(f"no shard {tar}: correct `shard` or remove the row")
    if name not in _index(tar):
        raise ValueError(f"no member {name!r} in {tar}: correct `audio` or remove the row")
    return tar, name


def _is_plain(name: str) -> bool:
    """A relative path that stays below its folder, on every system."""
    parts = name.split("/")
    return "\\" not in name and ":" not in name and not {"", ".", ".."} & set(parts)


def _exists(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long, NUL inside
        return False


def _find(shard: Path, member: str) -> tuple[int, int]:
    if not _is_plain(member):
        raise ValueError(f"tar member {member!r} is refused: use a relative path without `..`")
    index = _index(shard)
    if member not in index:
        raise ValueError(f"no member {member!r} in {shard}")
    return index[member]


def _index(shard: Path) -> dict[str, tuple[int, int]]:
    """Member name to (offset, size), for the plain files of a tar."""
    try:
        stat = shard.stat()
    except OSError as error:
        raise ValueError(f"cannot read {shard}: {error.strerror}") from error
    return _index_of(shard, stat.st_mtime_ns, stat.st_size)


@cache
def _index_of(shard: Path, mtime_ns: int, size: int) -> dict[str, tuple[int, int]]:
    try:
        with tarfile.open(shard, "r:") as tar:
            return {m.name.removeprefix("./"): (m.offset_data, m.size) for m in tar if m.isreg()}
    except (tarfile.TarError, OSError) as error:
        raise ValueError(f"{shard} is not an uncompressed tar ({error}): repack it") from error
