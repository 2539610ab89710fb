"""A model is a folder of three files, and nothing in it can run code.

    weights.safetensors   the tensors
    config.yaml           the configuration that rebuilds the network
    meta.json             facts about the run: steps, data, scores, licence

A folder is saved whole or not at all, and found by a path, by "starter" (shipped with the package)
or by a hub name such as "owner/name" or "owner/name@revision".
"""

import hashlib
import json
import re
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from codeclm.config import Config, parse_yaml, to_yaml

if TYPE_CHECKING:  # torch is imported where it is used: `resolve` answers in milliseconds
    from torch import Tensor

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"

WEIGHTS, CONFIG, META = "weights.safetensors", "config.yaml", "meta.json"
FILES = (WEIGHTS, CONFIG, META)
ALIGNER = "aligner.safetensors"  # beside a speech model: says when each token of a text sounds

_STARTER = Path(__file__).parent / "starter"
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w./-]+)?")


@dataclass(frozen=True)
class Checkpoint:
    """What `load` found; `config` is the plain YAML, for the owner to validate."""

    folder: Path
    tensors: dict[str, "Tensor"]
    config: dict[str, Any]
    meta: dict[str, Any]

    def weights(self) -> dict[str, "Tensor"]:
        """The tensors in single precision, to compute with."""
        return {name: tensor.float() for name, tensor in self.tensors.items()}


def save(
    folder: str | Path, tensors: Mapping[str, "Tensor"], config: Config, meta: Mapping[str, JSON]
) -> None:
    """Writes a model folder whole: a temporary sibling first, then a rename.

    An older model in `folder` is replaced; other files in it (logs, voices) stay. When anything
    fails on the way, the old folder is as it was.

    Raises:
        ValueError: `folder` is a file, or cannot be written.
    """
    from safetensors.torch import save_file

    folder = Path(folder).resolve()
    fresh = folder.with_name(f".{folder.name}.new-{uuid.uuid4().hex[:8]}")
    try:
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"{folder} is a file; name a folder to save the model in")
        fresh.mkdir(parents=True)
        # Copies, because tied weights share memory, which the format does not allow.
        copies = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
        save_file(copies, fresh / WEIGHTS, metadata={"format": "pt"})
        (fresh / CONFIG).write_text(to_yaml(config), encoding="utf-8")
        text = json.dumps(meta, indent=2, ensure_ascii=False, allow_nan=False)
        (fresh / META).write_text(text + "\n", encoding="utf-8")
        _replace(folder, fresh)
    except OSError as error:
        raise ValueError(f"cannot save a model in {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def load(name: str | Path) -> Checkpoint:
    """Reads a model folder by path, by "starter" or by hub name. Never unpickles.

    Raises:
        ValueError: as `resolve` does, or a file that is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = resolve(name)
    readers: dict[str, Callable[[Path], Any]] = {
        WEIGHTS: load_file,
        CONFIG: lambda file: parse_yaml(file.read_text(encoding="utf-8"), CONFIG),
        META: lambda file: json.loads(file.read_text(encoding="utf-8")),
    }
    found = []
    for file, read in readers.items():
        try:
            content = read(folder / file)
            if not isinstance(content, dict):
                raise ValueError(f"expected a mapping, found {type(content).__name__}")
        except (SafetensorError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(
                f"{folder / file} is damaged ({reason}); copy the model again"
            ) from None
        found.append(content)
    return Checkpoint(folder, *found)


def load_speech(name: str | Path) -> Checkpoint:
    """The same of a model that speaks; one of another kind is a ValueError."""
    saved = load(name)
    if saved.meta.get("kind") != "tts":
        raise ValueError(f"{name} holds a {saved.meta.get('kind')}, not a speech model")
    return saved


def resolve(name: str | Path) -> Path:
    """Finds the folder of a model, downloading it when `name` is a hub name.

    "starter" is the speaking model `starter/tts` of this package, "starter/house-fsq" its codec.
    Any other text is a local folder if there is one, else a hub name "owner/name[@revision]". A
    `Path` is always local.

    Raises:
        ValueError: no such folder, an incomplete one, or a download that failed.
    """
    text = str(name)
    if isinstance(name, str) and text.partition("/")[0] == "starter":
        return _complete(_starter(text))
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _complete(folder)
    if folder.exists():
        raise ValueError(f"{text} is a file; give the folder that holds {', '.join(FILES)}")
    if isinstance(name, str) and HUB_NAME.fullmatch(text):
        wanted = [f"*{CONFIG}", f"*{META}", "*.safetensors", "onnx/*"]
        give = (
            f"copy {', '.join(FILES)} of {text.partition('@')[0]} into a folder and give its path"
        )
        return _complete(download(text, wanted, f"no folder {text!r} here", give))
    raise ValueError(
        f"no model {text!r}: not a folder here; "
        'else give "starter" or a hub name such as "owner/name" or "owner/name@revision"'
    )


def fingerprint(tensors: Mapping[str, "Tensor"]) -> str:
    """Sixteen hex digits that change with any name, shape, dtype or value of the weights."""
    import torch

    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def _replace(folder: Path, fresh: Path) -> None:
    """Puts `fresh` at `folder`. Of an old folder only the three files are ever deleted."""
    if not folder.exists():
        fresh.rename(folder)
        return
    old = folder.with_name(fresh.name.replace(".new-", ".old-"))
    folder.rename(old)
    try:
        fresh.rename(folder)
    except BaseException:
        old.rename(folder)
        raise
    for other in old.iterdir():
        if other.name in FILES:
            other.unlink()
        else:
            other.rename(folder / other.name)
    old.rmdir()


def _starter(name: str) -> Path:
    folder = _STARTER / (name.partition("/")[2] or "tts")
    if not folder.is_dir():
        there = sorted(f"starter/{inner.name}" for inner in _STARTER.glob("*") if inner.is_dir())
        raise ValueError(
            f"no model {name!r} in this installation; there is {', '.join(there) or 'none'}"
        )
    return folder


def _complete(folder: Path) -> Path:
    missing = [file for file in FILES if not (folder / file).is_file()]
    if missing:
        raise ValueError(
            f"{folder} is not a model folder: {', '.join(missing)} missing "
            f"(a model is {', '.join(FILES)})"
        )
    return folder


def download(name: str, wanted: list[str], missing: str, remedy: str) -> Path:
    """The folder of a hub name, "owner/name[@revision]", with the files that match `wanted`.

    Raises:
        ValueError: the download failed; begins with what is missing, ends with the remedy.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    repo, _, revision = name.partition("@")
    try:
        return Path(snapshot_download(repo, revision=revision or None, allow_patterns=wanted))
    except (OSError, HfHubHTTPError, HFValidationError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"{missing}, and downloading {name} from the hub failed ({reason}); without a network, "
            f"{remedy}"
        ) from error
