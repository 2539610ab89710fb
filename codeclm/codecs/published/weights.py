"""Where the weights of published codecs lie, and how they are read: tensors, and nothing that runs.

A folder as the hub has it, usually config.json and model.safetensors. It is found by its own path,
in the cache of the hub, or downloaded.
"""

import json
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codeclm import checkpoint

if TYPE_CHECKING:
    from torch import Tensor, nn

TENSORS = "model.safetensors|pytorch_model.bin"


def find(codec: str, given: str | Path, files: tuple[str, ...]) -> Path:
    """The folder of the weights, downloaded if need be.

    Args:
        codec: the name of the codec, for the messages.
        given: a folder, or a hub name "owner/name[@revision]".
        files: what the folder has to hold: names or patterns, alternatives as in "a|b".

    Raises:
        ValueError: no such folder, an incomplete one, or a download that failed.
    """
    folder = Path(given).expanduser()
    if folder.is_dir():
        missing = [each for each in files if not _matches(folder, each)]
        if missing:
            raise ValueError(
                f"{folder} does not hold the weights of {codec}: {_told(missing, ', ')} missing "
                f"(it needs {_told(files)})"
            )
        return folder
    if folder.exists() or isinstance(given, Path) or not checkpoint.HUB_NAME.fullmatch(given):
        raise ValueError(f"no weights of {codec} at {given}: give a folder or a hub name")
    if found := cached(given, files):
        return found
    wanted = [name for each in files for name in each.split("|")]
    repo, gone = given.partition("@")[0], f"the weights of {codec} are not here"
    remedy = f"put {_told(files)} of {repo} into a folder and name the codec {codec}@FOLDER"
    return find(codec, checkpoint.download(given, wanted, gone, remedy), files)


def cached(hub: str, files: tuple[str, ...]) -> Path | None:
    """The folder of these weights in the cache of the hub; None: not downloaded yet."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    repo, _, revision = hub.partition("@")
    try:
        found = snapshot_download(repo, revision=revision or None, local_files_only=True)
    except LocalEntryNotFoundError:
        return None
    folder = Path(found)
    return folder if all(_matches(folder, each) for each in files) else None


def _matches(folder: Path, alternatives: str) -> list[Path]:
    """The files that the first alternative with any finds."""
    for pattern in alternatives.split("|"):
        if found := sorted(folder.glob(pattern)):
            return found
    return []


def _told(files: tuple[str, ...] | list[str], between: str = " and ") -> str:
    return between.join(each.replace("|", " or ") for each in files)


def the_file(folder: Path, alternatives: str) -> Path:
    """The one file of a folder that goes by the first of these names or patterns that any has.

    Raises:
        ValueError: there are several, or none.
    """
    found = _matches(folder, alternatives)
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "no file"
        raise ValueError(f"{folder} holds {names}, not one {_told([alternatives])}")
    return found[0]


def load_tensors(folder: Path) -> dict[str, "Tensor"]:
    """The tensors of a folder, by their names.

    Raises:
        ValueError: the file is damaged, or holds objects that are no tensors.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = the_file(folder, TENSORS)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except (
        *(SafetensorError, pickle.UnpicklingError),
        *(OSError, EOFError, RuntimeError, TypeError, ValueError),
    ) as error:
        raise damaged(path, error) from None


def damaged(path: Path, reason: object) -> ValueError:
    """The error that says so in one line."""
    text = " ".join(str(reason).split())[:300]
    return ValueError(f"{path} is damaged or no plain checkpoint ({text}); download it again")


def check_type(folder: Path, model_type: str, told: str) -> None:
    """Refuses a folder whose config.json names another network than that called `told`."""
    try:
        found = json.loads((folder / "config.json").read_text("utf-8"))["model_type"]
    except (ValueError, LookupError, TypeError):
        found = "unknown thing"
    if found != model_type:
        raise ValueError(f"{folder} does not hold a {told} but a {found}")


def load_model(model: Any, folder: Path) -> Any:
    """A frozen network of `transformers` in single precision.

    Args:
        model: its class.
        folder: as `find` gives it.

    Raises:
        ValueError: the weights are damaged, or those of another network.
    """
    from safetensors import SafetensorError

    check_type(folder, model.config_class.model_type, model.__name__)
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


def undo_weight_norm(network: "nn.Module") -> None:
    """Lets plain weights stand where they were kept as direction and length."""
    from torch.nn.utils import parametrize

    for module in network.modules():
        if parametrize.is_parametrized(module):
            parametrize.remove_parametrizations(module, "weight")


def token_fingerprint(folder: Path, decoding: tuple[str, ...]) -> str:
    """Of the weights that give tokens their meaning: encoder and quantizer.

    Args:
        folder: as `find` gives it.
        decoding: how the names of all other tensors begin.
    """
    tensors = load_tensors(folder)
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
