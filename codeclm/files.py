"""Files that are there whole or not at all."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def write_text(path: Path, text: str) -> None:
    """Writes a file under a temporary name, then renames it."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def write_tensors(path: Path, tensors: "Mapping[str, Tensor]", header: Mapping[str, str]) -> None:
    """Writes a safetensors file under a temporary name, then renames it."""
    from safetensors.torch import save_file

    temporary = path.with_name(path.name + ".tmp")
    save_file(dict(tensors), temporary, metadata=dict(header))
    os.replace(temporary, path)
