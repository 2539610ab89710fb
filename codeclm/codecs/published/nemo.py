"""What a .nemo archive holds of NanoCodec: the sizes of its network, and its weights.

Such an archive is a tar with model_config.yaml and model_weights.ckpt. Sizes are read from the one,
under NeMo's names, tensors from the other; nothing is unpickled or written to disk.
"""

import math
import pickle
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import torch
from pydantic import BaseModel, ValidationError
from torch import Tensor

from codeclm import checkpoint
from codeclm.codecs.published.weights import damaged
from codeclm.config import parse_yaml

PadMode = Literal["zeros", "reflect", "replicate"]
PARTS = {
    "audio_encoder": "HiFiGANEncoder",
    "vector_quantizer": "GroupFiniteScalarQuantizer",
    "audio_decoder": "CausalHiFiGANDecoder",
}


class EncoderConfig(BaseModel):
    """The sizes of NeMo's `HiFiGANEncoder`, under its names and with its defaults."""

    encoded_dim: int
    down_sample_rates: list[int] = [2, 2, 8, 8]
    base_channels: int = 32
    in_kernel_size: int = 7
    out_kernel_size: int = 7
    resblock_kernel_sizes: list[int] = [3, 7, 11]
    resblock_dilation_sizes: list[int] = [1, 3, 5]
    activation: str = "lrelu"
    pad_mode: PadMode = "reflect"


class DecoderConfig(BaseModel):
    """The sizes of NeMo's `CausalHiFiGANDecoder`, under its names and with its defaults."""

    input_dim: int
    up_sample_rates: list[int] = [8, 8, 2, 2]
    base_channels: int = 512
    in_kernel_size: int = 7
    out_kernel_size: int = 3
    resblock_kernel_sizes: list[int] = [3, 7, 11]
    resblock_dilation_sizes: list[int] = [1, 3, 5]
    activation: str = "lrelu"
    output_activation: str = "tanh"
    n_groups_equal_to_out_channels: bool = True


class QuantizerConfig(BaseModel):
    """The sizes of NeMo's `GroupFiniteScalarQuantizer`."""

    num_groups: int
    num_levels_per_group: list[int]
    eps: float = 1e-3


class NanoCodecConfig(BaseModel):
    """What a codec needs of model_config.yaml; the rest of it is about training."""

    sample_rate: int
    samples_per_frame: int
    audio_encoder: EncoderConfig
    vector_quantizer: QuantizerConfig
    audio_decoder: DecoderConfig


def read_nemo(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The configuration and the tensors of a .nemo archive, read without unpacking it.

    Raises:
        ValueError: not such an archive, or its checkpoint holds objects that are no tensors.
    """
    config: Any = None
    tensors: dict[str, Tensor] | None = None
    try:
        with tarfile.open(path, "r:*") as tar:
            for member in tar:
                file = tar.extractfile(member) if member.isfile() else None
                inner = PurePosixPath(member.name).name
                if file is not None and inner == "model_config.yaml":
                    config = parse_yaml(file.read().decode(), inner)
                elif file is not None and inner == "model_weights.ckpt":
                    tensors = torch.load(file, map_location="cpu", weights_only=True)
    except (
        *(tarfile.TarError, pickle.UnpicklingError),
        *(OSError, EOFError, RuntimeError, ValueError),
    ) as error:
        raise damaged(path, error) from None
    if not isinstance(config, dict) or not isinstance(tensors, dict):
        raise damaged(path, "a .nemo archive holds model_config.yaml and model_weights.ckpt")
    return config, tensors


def read_config(path: Path, raw: dict[str, Any]) -> NanoCodecConfig:
    """The sizes in a model_config.yaml.

    Raises:
        ValueError: it is that of another network.
    """
    for part, kind in PARTS.items():
        section = raw.get(part)
        found = str(section.get("_target_") if isinstance(section, dict) else None)
        if found.rpartition(".")[2] != kind:
            raise ValueError(f"{path} is no NanoCodec: its {part} is {found}, not {kind}")
    try:
        config = NanoCodecConfig(**raw)
    except ValidationError as error:
        raise damaged(path, error) from None
    rates = config.audio_encoder.down_sample_rates, config.audio_decoder.up_sample_rates
    if any(math.prod(each) != config.samples_per_frame for each in rates):
        raise damaged(path, f"rates {rates} do not make {config.samples_per_frame} samples a frame")
    return config


def plain_names(tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """NeMo's tensors by part, under the names of the modules here.

    A weight that is kept as direction and length (weight normalization, Salimans and Kingma 2016)
    becomes the one tensor it stands for.
    """
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        if part not in ("audio_encoder", "audio_decoder"):
            continue
        for long, short in (
            (".conv.parametrizations.weight.original1", ".weight"),
            (".conv.weight_v", ".weight"),
            (".conv.weight", ".weight"),
            (".conv.bias", ".bias"),
            (".activation.snake_act.alpha", ".alpha"),
        ):
            if rest.endswith(long):
                if long.endswith(("original1", "weight_v")):
                    tensor = _joined(tensors[name[:-1] + ("0" if name[-1] == "1" else "g")], tensor)
                parts.setdefault(part, {})[rest.removesuffix(long) + short] = tensor.float()
                break
    return parts


def token_fingerprint(tensors: dict[str, Tensor], levels: Tensor) -> str:
    """Of what gives tokens their meaning: encoder and quantizer, as published."""
    meaning = {
        name: tensor
        for name, tensor in tensors.items()
        if name.startswith(("audio_encoder.", "vector_quantizer."))
    }
    return checkpoint.fingerprint({**meaning, "levels": levels})


def _joined(length: Tensor, direction: Tensor) -> Tensor:
    norm = torch.linalg.vector_norm(direction.float(), dim=(1, 2), keepdim=True)
    joined: Tensor = direction.float() * (length.float() / norm)
    return joined
