"""Where the weights of published codecs lie, and how they are read: safetensors, never a pickle.

A folder as the hub has it: config.json and model.safetensors. It is found by its own path, in the
cache of the hub, or downloaded.
"""

import json
import re
from pathlib import Path
from typing import Any

from codeclm import checkpoint

FILES = ("config.json", "model.safetensors")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w./-]+)?")


def find(codec: str, given: str | Path) -> Path:
    """The folder of the weights, downloaded if need be.

    Args:
        codec: the name of the codec, for the messages.
        given: a folder, or a hub name "owner/name[@revision]".

    Raises:
        ValueError: no such folder, an incomplete one, or a download that failed.
    """
    folder = Path(given).expanduser()
    if folder.is_dir():
        missing = [file for file in FILES if not (folder / file).is_file()]
        if missing:
            raise ValueError(
                f"{folder} does not hold the weights of {codec}: {', '.join(missing)} missing "
                f"(it needs {' and '.join(FILES)})"
            )
        return folder
    if folder.exists() or isinstance(given, Path) or not _HUB_NAME.fullmatch(given):
        raise ValueError(f"no weights of {codec} at {given}: give a folder or a hub name")
    return cached(given) or _download(codec, given)


def cached(hub: str) -> Path | None:
    """The folder of these weights in the cache of the hub; None: not downloaded yet."""
    from huggingface_hub import try_to_load_from_cache

    repo, _, revision = hub.partition("@")
    found = [try_to_load_from_cache(repo, file, revision=revision or None) for file in FILES]
    return Path(str(found[0])).parent if all(isinstance(file, str) for file in found) else None


def _download(codec: str, hub: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    repo, _, revision = hub.partition("@")
    try:
        folder = snapshot_download(repo, revision=revision or None, allow_patterns=list(FILES))
    except (OSError, HfHubHTTPError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"the weights of {codec} are not here, and downloading {hub} failed ({reason}); "
            f"without a network, put {' and '.join(FILES)} of {repo} into a folder and name the "
            f"codec {codec}@FOLDER"
        ) from error
    return find(codec, Path(folder))


def load_model(model: Any, folder: Path) -> Any:
    """A frozen network of `transformers` in single precision.

    Args:
        model: its class.
        folder: as `find` gives it.

    Raises:
        ValueError: the weights are damaged, or those of another network.
    """
    from safetensors import SafetensorError

    try:
        found = json.loads((folder / FILES[0]).read_text("utf-8"))["model_type"]
    except (ValueError, LookupError, TypeError):
        found = "unknown thing"
    if found != model.config_class.model_type:
        raise ValueError(f"{folder} does not hold a {model.__name__} but a {found}")
    try:
        network, report = model.from_pretrained(
            folder, use_safetensors=True, output_loading_info=True, dtype="float32"
        )
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{folder} does not hold a {model.__name__} ({reason})") from None
    if report["missing_keys"]:
        some = ", ".join(sorted(report["missing_keys"])[:3])
        raise ValueError(f"{folder} does not hold a {model.__name__}: no {some} in it")
    return network.eval().requires_grad_(False)


def token_fingerprint(folder: Path, decoding: tuple[str, ...]) -> str:
    """Of the weights that give tokens their meaning: encoder and quantizer.

    Args:
        folder: as `find` gives it.
        decoding: how the names of all other tensors begin.
    """
    from safetensors.torch import load_file

    tensors = load_file(folder / FILES[1])
    return checkpoint.fingerprint({k: v for k, v in tensors.items() if not k.startswith(decoding)})


def library(module: str, extra: str) -> Any:
    """Imports what an adapter needs.

    Raises:
        ValueError: it is not installed, or too old; `extra` of this package brings it.
    """
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as error:
        raise ValueError(f"{error}: pip install 'codeclm[{extra}]'") from None
