"""Files in stores, by URL: the only file that knows fsspec.

    s3://bucket/corpus/rows.jsonl   gs://...   hf://datasets/owner/name/rows.jsonl   file:///nfs/...

`place` turns a name into what all others work with: a `Path`, or a `Remote`, which answers to the
same few words (`/`, `name`, `exists`, `glob` ...). A library that needs a file of this machine gets
`local(place)`. The store itself says who may read it, in its own variables and files.
"""

import fnmatch
import hashlib
import os
import posixpath
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator

_URL = re.compile(r"([a-z][a-z0-9+.-]+)://(.*)", re.DOTALL)


@dataclass(frozen=True, order=True)
class Remote:
    """A file or folder of a store.

    Raises:
        ConnectionError: the store cannot be asked, or says no.
        FileNotFoundError: there is no such file.
        ImportError: the library of its protocol is not installed.
    """

    url: str

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> "Remote":
        protocol, _, path = self.url.partition("://")
        return Remote(f"{protocol}://{posixpath.normpath(f'{path}/{name}')}")

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> "Remote":
        protocol, _, path = self.url.partition("://")
        return Remote(f"{protocol}://{posixpath.dirname(path)}")

    def with_name(self, name: str) -> "Remote":
        return self.parent / name

    def absolute(self) -> "Remote":
        return self

    def exists(self) -> bool:
        with self._store() as (store, path):
            return bool(store.exists(path))

    def is_file(self) -> bool:
        with self._store() as (store, path):
            return bool(store.isfile(path))

    def is_dir(self) -> bool:
        with self._store() as (store, path):
            return bool(store.isdir(path))

    def is_listed(self) -> bool:
        """Whether its folder has it, which is asked once for all files of a folder.

        The web has no folders: whatever is there is taken at its word.
        """
        return self.url.startswith("http") or self.name in _listing(self.parent)

    def glob(self, pattern: str) -> "list[Remote]":
        """Files and folders in this folder whose names match."""
        try:
            with self._store() as (store, path):
                names = {
                    each.rstrip("/").rpartition("/")[2] for each in store.ls(path, detail=False)
                }
        except FileNotFoundError:
            return []
        return [self / name for name in sorted(fnmatch.filter(names, pattern))]

    @contextmanager
    def open(self, mode: str = "rb") -> Iterator[Any]:
        """The file to read from, of which little more is fetched than is read."""
        with self._store() as (store, path):
            file = store.open(path, mode)
        try:
            with file:
                yield file
        except OSError as error:
            raise self._failed(error) from error

    def read_bytes(self, begin: int | None = None, end: int | None = None) -> bytes:
        with self._store() as (store, path):
            return bytes(store.cat_file(path, start=begin, end=end))

    def read_text(self, encoding: str) -> str:
        return self.read_bytes().decode(encoding)

    def unlink(self) -> None:
        with self._store() as (store, path):
            store.rm_file(path)

    def upload(self, file: Path) -> None:
        """Puts a file there, whole or not at all."""
        with self._store() as (store, path):
            store.makedirs(posixpath.dirname(path), exist_ok=True)
            store.put_file(str(file), f"{path}.tmp")
            store.mv(f"{path}.tmp", path)

    def download(self) -> Path:
        """A copy on this machine, fetched again when the file has changed."""
        with self._store() as (store, path):
            mark = hashlib.sha256(f"{self.url} {store.ukey(path)}".encode()).hexdigest()
            copies = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "codeclm").expanduser()
            copy = copies / mark[:2] / mark / self.name
            if not copy.exists():
                copy.parent.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryDirectory(dir=copies) as folder:
                    store.get_file(path, f"{folder}/{self.name}")
                    os.replace(f"{folder}/{self.name}", copy)
            return copy

    @contextmanager
    def _store(self) -> Iterator[tuple[Any, str]]:
        """The file system of the store, which remembers nothing, and how it calls the file."""
        store, path = _open(self.url)
        try:
            store.invalidate_cache()
            yield store, path
        except FileNotFoundError:
            raise FileNotFoundError(f"{self.url}: no such file") from None
        except Exception as error:  # every library of a store has errors of its own
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> ConnectionError:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return ConnectionError(f"{self.url}: the store did not do it ({reason})")


AnyPath = Path | Remote


def place(name: str | AnyPath, folder: AnyPath | None = None) -> AnyPath:
    """What a name means: a URL, or a path, seen from `folder` unless it is a full one."""
    if isinstance(name, Remote):
        return name
    found = _URL.fullmatch(name) if isinstance(name, str) else None
    if found:
        return Remote(f"{found[1]}://{found[2].rstrip('/')}")
    path = Path(name)
    return path if folder is None or path.is_absolute() else folder / str(name)


def local(path: AnyPath) -> Path:
    """The file itself, or a copy of a remote one."""
    return path.download() if isinstance(path, Remote) else path


def _setting(value: object) -> AnyPath:
    if not isinstance(value, str | Path | Remote):
        raise ValueError("write a path, or a URL such as s3://bucket/folder")
    return place(value)


Named = Annotated[AnyPath, PlainValidator(_setting), PlainSerializer(str)]
"""A path or URL as a setting."""


@lru_cache(maxsize=64)
def _listing(folder: Remote) -> frozenset[str]:
    return frozenset(each.name for each in folder.glob("*"))


def forget_listings() -> None:
    """Makes `is_listed` ask again."""
    _listing.cache_clear()


def _open(url: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs
    from fsspec.registry import known_implementations

    protocol = url.partition("://")[0]
    try:
        store, path = url_to_fs(url)
    except ImportError as error:
        library = known_implementations[protocol]["class"].partition(".")[0]
        needed = re.findall(r'"(\w+)"', str(error)) if library == "fsspec" else [library]
        raise ImportError(
            f"{protocol}:// needs a library of its own: pip install {' '.join(needed) or library}"
        ) from None
    except Exception as error:  # fsspec's, and those of protocols that need more than a URL
        raise ValueError(f"{url}: {error}; write a path, or s3://, gs://, hf:// ...") from None
    return store, path
