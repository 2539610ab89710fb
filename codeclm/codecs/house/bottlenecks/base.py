"""What stands between encoder and decoder: the one thing in which the house codecs differ.

Every bottleneck takes and gives the same `LATENT` numbers a frame, with its own projections inside,
so that encoder and decoder have the same shape in all of them.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from codeclm.codecs.base import Stream

LATENT = 64  # numbers a frame on both sides of a bottleneck

Losses = dict[str, Tensor]


class Bottleneck(nn.Module, ABC):
    """Latents in, tokens in the middle, latents out.

    Tokens are codes [B, K, T], int64; a continuous bottleneck has latents [B, T, D] instead.
    """

    family: ClassVar[str]

    @property
    def streams(self) -> tuple[Stream, ...]:
        """One entry a row of the code matrix; none when the tokens are continuous."""
        return ()

    @abstractmethod
    def forward(self, z: Tensor, teacher: Tensor | None = None) -> tuple[Tensor, Losses]:
        """Through the bottleneck, for training.

        Args:
            z: [B, T, 64], single precision, from the encoder.
            teacher: [B, T, D], what a speech model hears in these frames; only a semantic
                bottleneck wants it.

        Returns:
            [B, T, 64] for the decoder, and the losses that are the bottleneck's own, by name.
        """

    @abstractmethod
    def tokens(self, z: Tensor) -> Tensor:
        """[B, T, 64] from the encoder to tokens."""

    @abstractmethod
    def latent(self, tokens: Tensor) -> Tensor:
        """Tokens to the [B, T, 64] that the decoder reads."""
