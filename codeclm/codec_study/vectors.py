"""What codes stand for: the vectors that a codec's decoder reads, of all streams or the first ones.

Where a codec does not give them away, its codes are symbols that are alike or not.
"""

from typing import Any

import torch
from torch import Tensor

from codeclm.codecs.base import Codec
from codeclm.codecs.house.bottlenecks.rvq import RVQ, ResidualStack
from codeclm.codecs.house.bottlenecks.semantic import SemanticRVQ
from codeclm.codecs.levels import code_to_levels, level_to_point


def vectors(codec: Codec, codes: Tensor, first: int) -> Tensor | None:
    """Codes [K, T] to vectors [T, D] of the first `first` streams.

    FSQ codes are points of their grid; residual codes the sum of their codebooks' vectors, for the
    house codecs, EnCodec, Mimi and DAC. None: this codec's are not at hand.
    """
    streams = codec.spec.streams[:first]
    if all(stream.levels for stream in streams):
        points = [
            level_to_point(code_to_levels(row, stream.levels), stream.levels)
            for row, stream in zip(codes, streams, strict=False)
        ]
        return torch.cat(points, dim=1)
    codes = codes[None, :first]
    bottleneck = getattr(getattr(codec, "autoencoder", None), "bottleneck", None)
    if isinstance(bottleneck, RVQ):
        return residual(bottleneck.stack, codes)[0]
    if isinstance(bottleneck, SemanticRVQ):
        words = bottleneck.semantic.decode(codes[:, 0])[0]
        return words + residual(bottleneck.acoustic, codes[:, 1:])[0] if first > 1 else words
    read = READ.get(type(codec).__name__)
    return read(codec, codes)[0].T if read else None


def residual(stack: ResidualStack, codes: Tensor) -> Tensor:
    """The sum of the first stages, [B, T, 64], for as many codes [B, k, T] as there are."""
    stages: Any = stack.stages
    frames = [stage.decode(row) for stage, row in zip(stages, codes.unbind(1), strict=False)]
    return torch.stack(frames).sum(dim=0)


READ = {  # adapters of published codecs: codes [B, k, T] to [B, D, T]
    "Encodec": lambda codec, codes: codec.model.quantizer.decode(codes.transpose(0, 1)),
    "Mimi": lambda codec, codes: codec.model.quantizer.decode(codes),
    "Dac": lambda codec, codes: codec.model.quantizer.from_codes(codes)[0],
}
