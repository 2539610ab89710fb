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
from torch import Tensor, nn

from codeclm import checkpoint
from codeclm.codecs.published.weights import damaged, undo_weight_norm
from codeclm.config import parse_yaml

PadMode = Literal["zeros", "reflect", "replicate"]
PARTS = {
    "audio_encoder": "HiFiGANEncoder",
    "vector_quantizer": "GroupFiniteScalarQuantizer",
    "audio_decoder": "CausalHiFiGANDecoder",
}


class SideConfig(BaseModel):
    """Sizes that both sides have, under NeMo's names and with its defaults."""

    in_kernel_size: int = 7
    resblock_kernel_sizes: list[int] = [3, 7, 11]
    resblock_dilation_sizes: list[int] = [1, 3, 5]
    activation: str = "lrelu"


class EncoderConfig(SideConfig):
    """NeMo's `HiFiGANEncoder`."""

    encoded_dim: int
    down_sample_rates: list[int] = [2, 2, 8, 8]
    base_channels: int = 32
    out_kernel_size: int = 7
    pad_mode: PadMode = "reflect"


class DecoderConfig(SideConfig):
    """NeMo's `CausalHiFiGANDecoder`."""

    input_dim: int
    up_sample_rates: list[int] = [8, 8, 2, 2]
    base_channels: int = 512
    out_kernel_size: int = 3
    output_activation: str = "tanh"
    n_groups_equal_to_out_channels: bool = True


class QuantizerConfig(BaseModel):
    """NeMo's `GroupFiniteScalarQuantizer`."""

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


def load_part(network: nn.Module, tensors: dict[str, Tensor], part: str) -> None:
    """Fills a network with the tensors of its part, weight normalization undone, and freezes it.

    Raises:
        KeyError: some are missing.
    """
    own = {
        name.removeprefix(f"{part}.").replace(".activation.snake_act.", "."): tensor
        for name, tensor in tensors.items()
        if name.startswith(f"{part}.")
    }
    if any(name.endswith(".conv.weight") for name in own):
        undo_weight_norm(network)
    missing, _ = network.load_state_dict(own, strict=False)
    if missing:
        raise KeyError(f"no {', '.join(missing[:3])} of the {part}")
    undo_weight_norm(network)
    network.eval().requires_grad_(False)


def token_fingerprint(tensors: dict[str, Tensor], levels: Tensor) -> str:
    """Of what gives tokens their meaning: encoder and quantizer, as published."""
    meaning = {
        name: tensor
        for name, tensor in tensors.items()
        if name.startswith(("audio_encoder.", "vector_quantizer."))
    }
    return checkpoint.fingerprint({**meaning, "levels": levels})
