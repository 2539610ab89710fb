"""Parts of a codec's tokens: filled with noise, or exchanged for those of another sound.

A part is some rows of the token matrix [rows, T]: a stream of codes, or some dimensions of latents.
What is lost when a part is noise is what it carried.
"""

import torch
from torch import Tensor

from codeclm.codecs.base import Codec, CodecSpec
from codeclm.codecs.house.bottlenecks.vae import VAE


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
    order = (latents.var(dim=1) * _divided_by(codec, latents)).argsort(descending=True).tolist()
    count = min(groups, len(order))
    ends = [len(order) * (group + 1) // count for group in range(count)]
    return {
        f"dims {begin + 1}-{end}": sorted(order[begin:end])
        for begin, end in zip([0, *ends[:-1]], ends, strict=True)
    }


def _divided_by(codec: Codec, like: Tensor) -> Tensor:
    """What the codec itself divides the variances by, [D]: house latents leave it with 1 each."""
    bottleneck = getattr(getattr(codec, "autoencoder", None), "bottleneck", None)
    return bottleneck.variance if isinstance(bottleneck, VAE) else like.new_ones(len(like))


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
