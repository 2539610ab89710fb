"""Sound in tar shards, read in place: nothing is extracted, so no name can lead out of the tar."""

import tarfile
from functools import cache
from pathlib import Path

from codeclm.remote import AnyPath


def is_plain(name: str) -> bool:
    """A relative path that stays below its folder, on every system."""
    parts = name.split("/")
    return "\\" not in name and ":" not in name and not {"", ".", ".."} & set(parts)


def index(shard: AnyPath) -> dict[str, tuple[int, int]]:
    """Member name to (offset, size) in bytes, for the plain files that lie whole in a tar.

    Raises:
        ValueError: no tar, or a compressed one.
        ConnectionError: its store cannot be asked.
    """
    if not isinstance(shard, Path):  # asked once; what a process reads does not change under it
        return _index_of(shard, 0)
    try:
        return _index_of(shard, shard.stat().st_mtime_ns)
    except OSError as error:
        raise ValueError(f"cannot read {shard}: {error.strerror}") from error


def read(shard: AnyPath, member: str) -> bytes:
    """The bytes of a member.

    Raises:
        ValueError: the name is no plain one, or there is no such member.
    """
    if not is_plain(member):
        raise ValueError(f"tar member {member!r} is refused: use a relative path without `..`")
    members = index(shard)
    if member not in members:
        raise ValueError(f"no member {member!r} in {shard}")
    offset, size = members[member]
    if not isinstance(shard, Path):
        return shard.read_bytes(offset, offset + size)
    with shard.open("rb") as file:
        file.seek(offset)
        return file.read(size)


@cache
def _index_of(shard: AnyPath, mtime_ns: int) -> dict[str, tuple[int, int]]:
    members = {}
    try:
        with shard.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            size = file.seek(0, 2)
            try:
                for m in tar:
                    if m.isreg() and not m.issparse() and m.offset_data + m.size <= size:
                        members[m.name.removeprefix("./")] = (m.offset_data, m.size)
            except tarfile.TarError:  # cut off or damaged here: what stands before it is good
                pass
    except ConnectionError:
        raise
    except (tarfile.TarError, OSError, ValueError) as error:
        raise ValueError(f"{shard} is not an uncompressed tar ({error}): repack it") from error
    return members
