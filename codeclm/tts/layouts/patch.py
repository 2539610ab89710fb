"""`patch`: the latents of a few frames at once, for codecs without codes.

    P = 2     step      0    1    2
              frame 0   x0   x2   x4
              frame 1   x1   x3   -

The slots of a step hold P latents of D numbers in a row (DiTAR; P = 1 is CALM). A slot past the end
of the utterance holds no number, which is written NaN.
"""

import math

from codeclm.tts.grid import Grid
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
        slots = range(dims * patch)
        streams, frames = tuple(i % dims for i in slots), tuple(i // dims for i in slots)
        super().__init__(Grid(dims, (streams,), (frames,), patch))
