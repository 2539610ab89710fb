"""Files that are there whole or not at all, here or in a store; their folders come with them."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from codeclm.remote import AnyPath, Remote

if TYPE_CHECKING:
    from torch import Tensor


def write_text(path: AnyPath, text: str) -> None:
    """Writes a file under a temporary name, then renames it."""
    with _fresh(path) as file:
        file.write_text(text, encoding="utf-8")


def write_tensors(
    path: AnyPath, tensors: "Mapping[str, Tensor]", header: Mapping[str, str]
) -> None:
    """Writes a safetensors file under a temporary name, then renames it."""
    from safetensors.torch import save_file

    with _fresh(path) as file:
        save_file(dict(tensors), file, metadata=dict(header))


@contextmanager
def _fresh(path: AnyPath) -> Iterator[Path]:
    """A file to write, which becomes `path` when it is done."""
    if isinstance(path, Remote):
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder, path.name)
            path.upload(Path(folder, path.name))
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield path.with_name(path.name + ".tmp")
        os.replace(path.with_name(path.name + ".tmp"), path)
