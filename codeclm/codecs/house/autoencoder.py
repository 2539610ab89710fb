"""The token space: a causal mel autoencoder with the bottleneck in its middle.

log-mel at 100 Hz -> ConvNeXt -> four frames into one -> ConvNeXt at 25 Hz -> bottleneck, and the
mirror image back. Working on spectra it trains in minutes on a CPU; sound is the vocoder's task.
"""

import torch
from torch import Tensor, nn

from codeclm import checkpoint
from codeclm.checkpoint import Checkpoint
from codeclm.codecs.house.bottlenecks import LATENT, BottleneckConfig, Losses, make_bottleneck
from codeclm.codecs.house.bottlenecks.fsq import FSQConfig
from codeclm.codecs.house.features import MELS
from codeclm.codecs.house.nn import Down, Stack, Up
from codeclm.config import Config

STRIDE = 4  # mel frames a codec frame

Past = tuple[tuple[Tensor, ...], tuple[Tensor, ...]]


class SizeConfig(Config):
    """Sizes of one side; `fast` blocks run at 100 Hz, `slow` ones at 25 Hz."""

    fast_width: int = 192
    fast_depth: int = 3
    slow_width: int = 288
    slow_depth: int = 3


class AutoencoderConfig(Config):
    """A bottleneck between an encoder and a decoder."""

    bottleneck: BottleneckConfig = FSQConfig()
    encoder: SizeConfig = SizeConfig(fast_width=160, fast_depth=2, slow_width=256, slow_depth=2)
    decoder: SizeConfig = SizeConfig()


class Encoder(nn.Module):
    """Mel [B, 4 T, 100] to what enters the bottleneck, [B, T, 64]."""

    def __init__(self, size: SizeConfig) -> None:
        super().__init__()
        self.enter = nn.Linear(MELS, size.fast_width)
        self.fast = Stack(size.fast_width, size.fast_depth)
        self.down = Down(STRIDE, size.fast_width, size.slow_width)
        self.slow = Stack(size.slow_width, size.slow_depth)
        self.leave = nn.Linear(size.slow_width, LATENT)

    def forward(self, mel: Tensor, past: Past | None = None) -> tuple[Tensor, Past]:
        x, fast = self.fast(self.enter(mel), past[0] if past else None)
        x, slow = self.slow(self.down(x), past[1] if past else None)
        return self.leave(x), (fast, slow)


class Decoder(nn.Module):
    """What left the bottleneck, [B, T, 64], to mel [B, 4 T, 100]."""

    def __init__(self, size: SizeConfig) -> None:
        super().__init__()
        self.enter = nn.Linear(LATENT, size.slow_width)
        self.slow = Stack(size.slow_width, size.slow_depth)
        self.up = Up(STRIDE, size.slow_width, size.fast_width)
        self.fast = Stack(size.fast_width, size.fast_depth)
        self.leave = nn.Linear(size.fast_width, MELS)

    def forward(self, latent: Tensor, past: Past | None = None) -> tuple[Tensor, Past]:
        x, slow = self.slow(self.enter(latent), past[0] if past else None)
        x, fast = self.fast(self.up(x), past[1] if past else None)
        return self.leave(x), (slow, fast)


class Autoencoder(nn.Module):
    """Spectrum [B, 4 T, 100] to tokens and back."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config.encoder)
        self.bottleneck = make_bottleneck(config.bottleneck)
        self.decoder = Decoder(config.decoder)

    @classmethod
    def load(cls, saved: Checkpoint) -> "Autoencoder":
        """The frozen network of a checkpoint."""
        model = cls(AutoencoderConfig(**saved.config))
        model.load_state_dict(saved.weights())
        return model.eval().requires_grad_(False)

    def forward(self, mel: Tensor, teacher: Tensor | None = None) -> tuple[Tensor, Losses]:
        """Through the bottleneck and back: the mel again, and the bottleneck's own losses."""
        z, _ = self.encoder(mel)
        with torch.autocast(z.device.type, enabled=False):
            latent, losses = self.bottleneck(z.float(), teacher)
        mel, _ = self.decoder(latent)
        return mel.float(), losses


def token_fingerprint(saved: Checkpoint) -> str:
    """Of the weights that give tokens their meaning: encoder and bottleneck.

    A better decoder or vocoder can replace an older one under the same tokens.
    """
    meaning = {k: v for k, v in saved.tensors.items() if not k.startswith("decoder.")}
    return checkpoint.fingerprint(meaning)
