"""The tokens of a codec taken apart: what its parts carry, and what its codes stand for.

A part is some rows of the token matrix [rows, T]: a stream of codes, or some dimensions of latents.
What is lost when a part is noise is what it carried.
"""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from codeclm.codecs.base import Codec, CodecSpec
from codeclm.codecs.house.bottlenecks.rvq import RVQ, ResidualStack
from codeclm.codecs.house.bottlenecks.semantic import SemanticRVQ
from codeclm.codecs.house.bottlenecks.vae import VAE
from codeclm.codecs.levels import code_to_levels, level_to_point


def parts(codec: Codec, latents: Tensor | None = None, groups: int = 8) -> dict[str, list[int]]:
    """The parts of a codec's tokens: rows by name.

    Of codes every stream is one. Of latents the dimensions are sorted by their variance, the
    largest first, and fall into `groups` parts of about the same size.

    Args:
        codec: whose tokens they are.
        latents: [D, T] of a continuous codec, to measure the variances.
        groups: parts of a continuous codec, at most one a dimension.
    """
    if codec.spec.streams:
        return {str(k): [k] for k in range(codec.spec.rows)}
    assert latents is not None, "dimensions are sorted by their variance: give latents"
    order = (latents.var(dim=1) * divided_by(codec, latents)).argsort(descending=True).tolist()
    count = min(groups, len(order))
    ends = [len(order) * group // count for group in range(count + 1)]
    return {f"dims {begin + 1}-{end}": sorted(order[begin:end]) for begin, end in pairwise(ends)}


def divided_by(codec: Codec, latents: Tensor) -> Tensor:
    """What the codec itself divides the variances of `latents` [D, T] by, [D]."""
    bottleneck = _bottleneck(codec)
    return bottleneck.variance if isinstance(bottleneck, VAE) else latents.new_ones(len(latents))


def _bottleneck(codec: Codec) -> Any:
    """Of a house codec; None of others."""
    return getattr(getattr(codec, "autoencoder", None), "bottleneck", None)


def corrupt(
    matrix: Tensor, rows: list[int], spec: CodecSpec, latents: Tensor | None, seed: int
) -> Tensor:
    """A copy of a token matrix [rows, T] in which some rows say nothing.

    Codes are drawn evenly from all of their stream; numbers of a latent from the Gaussian that has
    the mean and deviation of their dimension in `latents` [D, any T].
    """
    draw = torch.Generator().manual_seed(seed)
    noisy, frames = matrix.clone(), matrix.shape[1]
    for row in rows:
        if spec.streams:
            noisy[row] = torch.randint(spec.streams[row].size, (frames,), generator=draw)
        else:
            assert latents is not None, "noise has the deviation of latents: give some"
            noise = torch.randn(frames, generator=draw)
            noisy[row] = latents[row].mean() + latents[row].std() * noise
    return noisy


def swap(first: Tensor, rest: Tensor, rows: list[int]) -> Tensor:
    """`rows` of the matrix `first` [rows, T] with the other rows of `rest`, as long as both are."""
    frames = min(first.shape[1], rest.shape[1])
    mixed = rest[:, :frames].clone()
    mixed[rows] = first[rows, :frames]
    return mixed


READ = {  # adapters of published codecs: codes [B, k, T] to [B, D, T]
    "Encodec": lambda codec, codes: codec.model.quantizer.decode(codes.transpose(0, 1)),
    "Mimi": lambda codec, codes: codec.model.quantizer.decode(codes),
    "Dac": lambda codec, codes: codec.model.quantizer.from_codes(codes)[0],
}


def vectors(codec: Codec, codes: Tensor, first: int) -> Tensor | None:
    """The vectors [T, D] that the decoder reads for the first streams of `codes` [K, T].

    FSQ codes are points of their grid; residual codes the sum of their codebooks' vectors, for the
    house codecs, EnCodec, Mimi and DAC. None: this codec's are not at hand, and its codes are
    symbols that are alike or not.
    """
    streams = codec.spec.streams[:first]
    if all(stream.levels for stream in streams):
        points = [
            level_to_point(code_to_levels(row, stream.levels), stream.levels)
            for row, stream in zip(codes, streams, strict=False)
        ]
        return torch.cat(points, dim=1)
    codes = codes[None, :first]
    bottleneck = _bottleneck(codec)
    if isinstance(bottleneck, RVQ):
        return _residual(bottleneck.stack, codes)
    if isinstance(bottleneck, SemanticRVQ):
        words = bottleneck.semantic.decode(codes[:, 0])[0]
        return words + _residual(bottleneck.acoustic, codes[:, 1:]) if first > 1 else words
    read = READ.get(type(codec).__name__)
    return read(codec, codes)[0].T if read else None


def _residual(stack: ResidualStack, codes: Tensor) -> Tensor:
    """The sum of the first stages, [T, D], for as many codes [1, k, T] as there are."""
    stages: Any = stack.stages
    frames = [stage.decode(row) for stage, row in zip(stages, codes.unbind(1), strict=False)]
    return torch.stack(frames).sum(dim=0)[0]
