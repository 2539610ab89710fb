"""Sound in tar shards, read in place: nothing is extracted, so no name can lead out of the tar."""

import tarfile
from functools import cache
from pathlib import Path


def is_plain(name: str) -> bool:
    """A relative path that stays below its folder, on every system."""
    parts = name.split("/")
    return "\\" not in name and ":" not in name and not {"", ".", ".."} & set(parts)


def index(shard: Path) -> dict[str, tuple[int, int]]:
    """Member name to (offset, size) in bytes, for the plain files that lie whole in a tar.

    Raises:
        ValueError: no tar, or a compressed one.
    """
    try:
        stat = shard.stat()
    except OSError as error:
        raise ValueError(f"cannot read {shard}: {error.strerror}") from error
    return _index_of(shard, stat.st_mtime_ns, stat.st_size)


def read(shard: Path, member: str) -> bytes:
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
    with shard.open("rb") as file:
        file.seek(offset)
        return file.read(size)


@cache
def _index_of(shard: Path, mtime_ns: int, size: int) -> dict[str, tuple[int, int]]:
    members = {}
    try:
        with tarfile.open(shard, "r:") as tar:
            try:
                for m in tar:
                    if m.isreg() and not m.issparse() and m.offset_data + m.size <= size:
                        members[m.name.removeprefix("./")] = (m.offset_data, m.size)
            except tarfile.TarError:  # cut off or damaged here: what stands before it is good
                pass
    except (tarfile.TarError, OSError, ValueError) as error:
        raise ValueError(f"{shard} is not an uncompressed tar ({error}): repack it") from error
    return members
