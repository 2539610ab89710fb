"""Tokens of one recording in a file, with the codec that they belong to.

A safetensors file of one tensor, `codes` [K, T] int32 or `latents` [T, D] float32. Its header has
one entry, `made`: the codec's spec, fingerprint and all, and the samples of the recording.
"""

import json
from pathlib import Path

import torch
from torch import Tensor

from codeclm.codecs.base import CodecSpec
from codeclm.files import write_tensors


def write_tokens(path: Path, tokens: Tensor, spec: CodecSpec, samples: int) -> None:
    """Writes the tokens of one recording: codes [K, T] or latents [T, D].

    Args:
        path: where.
        tokens: as `Codec.encode` gives them, without the batch.
        spec: of the codec that made them.
        samples: how long the recording is, at the codec's sample rate.
    """
    made = json.dumps({"spec": spec.to_dict(), "samples": samples})
    named = (
        {"latents": tokens.float().contiguous()}
        if spec.latent_dims
        else {"codes": tokens.to(torch.int32).contiguous()}
    )
    write_tensors(path, named, {"made": made})


def read_tokens(path: Path) -> tuple[Tensor, CodecSpec, int]:
    """The tokens, the spec of their codec, and the samples of the recording.

    Returns:
        codes [K, T] int64 or latents [T, D] float32, the spec, the number of samples.

    Raises:
        ValueError: no token file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            made = json.loads(file.metadata()["made"])
            spec, samples = CodecSpec.from_dict(made["spec"]), int(made["samples"])
            tokens: Tensor = file.get_tensor("latents" if spec.latent_dims else "codes")
    except (SafetensorError, ValueError, LookupError, TypeError) as error:
        raise ValueError(f"{path} is no token file, or a damaged one ({error})") from None
    return tokens if spec.latent_dims else tokens.long(), spec, samples
