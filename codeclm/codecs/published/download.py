"""The files of a published codec: from a folder at hand or from the hub, never unpickled."""

import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def find_folder(name: str, weights: str | Path, files: Sequence[str]) -> Path:
    """The folder that holds the files of codec `name`.

    Args:
        name: what users call the codec.
        weights: a folder, or a hub name "owner/name"; a `Path` is always local.
        files: patterns of what the codec needs from the hub.

    Raises:
        ValueError: no such folder, or a download that failed; says what to put where.
    """
    folder = Path(weights).expanduser()
    if folder.is_dir():
        return folder
    if not isinstance(weights, str) or weights.startswith(("/", ".", "~")):
        raise ValueError(f"the weights of codec {name}: no folder {weights}")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(snapshot_download(weights, allow_patterns=list(files)))
    except (OSError, HfHubHTTPError, HFValidationError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"the weights of codec {name}: no folder {weights!r} here, and downloading it from the "
            f"hub failed ({reason}); without a network, download {' or '.join(files)} from "
            f"https://huggingface.co/{weights} into a folder and give its path as `weights`"
        ) from error


def find_file(name: str, folder: Path, files: Sequence[str]) -> Path:
    """The first of `files`, which may be patterns, that `folder` holds.

    Raises:
        ValueError: it holds none.
    """
    for file in files:
        for path in sorted(folder.glob(file)):
            return path
    raise ValueError(f"the weights of codec {name}: {folder} holds no {' or '.join(files)}")


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise damaged(path, error) from None
    if not isinstance(content, dict):
        raise damaged(path, "not an object")
    return content


def read_tensors(path: Path) -> dict[str, "Tensor"]:
    """The tensors of a .safetensors file or of a torch checkpoint, which may hold nothing else.

    Raises:
        ValueError: the file is damaged, or holds objects that are no tensors.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise damaged(path, error) from None


def damaged(path: Path, reason: object) -> ValueError:
    """The error that says so in one line."""
    text = " ".join(str(reason).split())[:300]
    return ValueError(f"{path} is damaged or no plain checkpoint ({text}); download it again")
