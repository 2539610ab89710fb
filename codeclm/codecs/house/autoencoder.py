"""The token space: a causal mel autoencoder with the bottleneck in its middle.

log-mel at 100 Hz -> ConvNeXt -> four frames into one -> ConvNeXt at 25 Hz -> bottleneck, and the
mirror image back. Working on spectra it trains in minutes on a CPU; sound is the vocoder's task.
"""

import torch
from torch import Tensor, nn

from codeclm.checkpoint import Checkpoint
from codeclm.codecs.house.features import MELS
from codeclm.codecs.house.fsq import FSQ
from codeclm.codecs.house.nn import Down, Stack, Up
from codeclm.config import Config

STRIDE = 4  # mel frames a codec frame

Past = tuple[tuple[Tensor, ...], tuple[Tensor, ...]]


class AutoencoderConfig(Config):
    """Sizes of the autoencoder; `fast` blocks run at 100 Hz, `slow` ones at 25 Hz."""

    groups: int = 8
    levels: tuple[int, ...] = (8, 7, 6, 6)
    fast_width: int = 192
    fast_depth: int = 3
    slow_width: int = 320
    slow_depth: int = 3


class Autoencoder(nn.Module):
    """Spectrum [B, 4 T, 100] to codes [B, K, T] and back."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        fast, slow = config.fast_width, config.slow_width
        self.bottleneck = FSQ(config.groups, config.levels)
        self.enter = nn.Linear(MELS, fast)
        self.encode_fast = Stack(fast, config.fast_depth)
        self.down = Down(STRIDE, fast, slow)
        self.encode_slow = Stack(slow, config.slow_depth)
        self.to_latent = nn.Linear(slow, self.bottleneck.dims)
        self.from_latent = nn.Linear(self.bottleneck.dims, slow)
        self.decode_slow = Stack(slow, config.slow_depth)
        self.up = Up(STRIDE, slow, fast)
        self.decode_fast = Stack(fast, config.fast_depth)
        self.leave = nn.Linear(fast, MELS)

    @classmethod
    def load(cls, saved: Checkpoint) -> "Autoencoder":
        """The frozen network of a checkpoint."""
        model = cls(AutoencoderConfig(**saved.config))
        model.load_state_dict(saved.weights())
        return model.eval().requires_grad_(False)

    def latent(self, mel: Tensor, past: Past | None = None) -> tuple[Tensor, Past]:
        """What enters the bottleneck, [B, T, dims], for mel [B, 4 T, 100]."""
        x, fast = self.encode_fast(self.enter(mel), past[0] if past else None)
        x, slow = self.encode_slow(self.down(x), past[1] if past else None)
        return self.to_latent(x), (fast, slow)

    def spectrum(self, points: Tensor, past: Past | None = None) -> tuple[Tensor, Past]:
        """Mel [B, 4 T, 100] for what left the bottleneck, [B, T, dims]."""
        x, slow = self.decode_slow(self.from_latent(points), past[0] if past else None)
        x, fast = self.decode_fast(self.up(x), past[1] if past else None)
        return self.leave(x), (slow, fast)

    def forward(self, mel: Tensor) -> Tensor:
        """Through the bottleneck and back, for training."""
        latent, _ = self.latent(mel)
        mel, _ = self.spectrum(self.bottleneck(latent.float()).to(latent.dtype))
        return mel


def reconstruction_loss(predicted: Tensor, mel: Tensor) -> Tensor:
    """Mean absolute error of log-mels, [B, M, 100] both."""
    return torch.nn.functional.l1_loss(predicted.float(), mel)
