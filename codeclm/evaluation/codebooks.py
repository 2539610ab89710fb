"""How well a codec uses the codes it has."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Use:
    """One codebook over some frames.

    Attributes:
        size: legal codes.
        frames: codes seen.
        used: share of the legal codes that were seen.
        perplexity: how many codes, all equally often, would be as hard to guess.
    """

    size: int
    frames: int
    used: float
    perplexity: float


def use(codes: NDArray[np.integer[Any]], size: int) -> Use:
    """The use of a codebook of `size` codes in `codes` [frames]."""
    if len(codes) == 0:
        raise ValueError("no codes to count: check the selection and the split names")
    counts = np.bincount(codes, minlength=size)
    assert len(counts) == size, f"code {len(counts) - 1} in a codebook of {size}"
    share = counts[counts > 0] / len(codes)
    perplexity = float(np.exp(-(share * np.log(share)).sum()))
    return Use(size, len(codes), float((counts > 0).mean()), perplexity)


def active_dimensions(latents: NDArray[np.floating[Any]], above: float = 0.1) -> float:
    """Share of the dimensions of `latents` [frames, D] whose deviation is larger than `above`.

    Of a Gaussian autoencoder these are the posterior means, on the scale where the prior is 1: a
    dimension that says nothing stays at 0 (active units, Burda et al. 2016).
    """
    return float((latents.std(axis=0) > above).mean())
