"""`patch`: the latents of a few frames at once, for codecs without codes.

    P = 2     step      0    1    2
              frame 0   x0   x2   x4
              frame 1   x1   x3   -

The slots of a step hold P latents of D numbers in a row (DiTAR; P = 1 is CALM). A slot past the end
of the utterance holds no number, which is written NaN.
"""

import math

import torch
from torch import Tensor

from codeclm.tts.layouts.base import Layout


class Patch(Layout):
    """S = ceil(T / P) steps of C = P * D slots; D numbers of a latent count as D streams.

    Args:
        dims: D.
        patch: P.
    """

    before = after = math.nan

    def __init__(self, dims: int, patch: int = 1) -> None:
        if patch < 1:
            raise ValueError(f"`patch` is {patch}: a step takes at least one latent")
        self.streams, self.patch = dims, patch
        self.slots = self.drawn = dims * patch

    def where(self, steps: Tensor) -> tuple[Tensor, Tensor]:
        slot = torch.arange(self.slots, device=steps.device).expand(*steps.shape, -1)
        return slot % self.streams, steps[..., None] * self.patch + slot // self.streams

    def steps(self, frames: int) -> int:
        return -(-frames // self.patch)

    def ready(self, step: int) -> int:
        return (step + 1) * self.patch
