"""A house codec put together: autoencoder for the tokens, vocoder for the sound.

A codec folder holds the autoencoder; its meta.json says where the shared vocoder lies.
"""

import sys
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from codeclm import checkpoint
from codeclm.codecs.base import CodecSpec
from codeclm.codecs.chunked import ChunkedCodec
from codeclm.codecs.house.autoencoder import STRIDE, Autoencoder, token_fingerprint
from codeclm.codecs.house.bottlenecks.vae import VAE
from codeclm.codecs.house.features import HOP, SAMPLE_RATE, WINDOW, framed_log_mel
from codeclm.codecs.house.vocoder import Vocoder


class HouseCodec(ChunkedCodec):
    """Codec of 24 kHz sound, 25 frames a second, causal, 70 ms of algorithmic latency."""

    paddable = True  # the look-ahead past the end is silence anyway

    def __init__(self, name: str, autoencoder: Autoencoder, vocoder: Vocoder, mark: str) -> None:
        self.autoencoder = autoencoder.eval().requires_grad_(False)
        self.vocoder = vocoder.eval().requires_grad_(False)
        bottleneck = autoencoder.bottleneck
        super().__init__(
            CodecSpec(
                name=name,
                family=bottleneck.family,
                sample_rate=SAMPLE_RATE,
                hop=STRIDE * HOP,
                streams=bottleneck.streams,
                lookahead=WINDOW - HOP,
                fingerprint=mark,
                latent_dims=bottleneck.config.dims if isinstance(bottleneck, VAE) else 0,
            )
        )
        self.block = sys.maxsize  # all that there is at once: sums have one order

    @classmethod
    def load(cls, folder: Path) -> "HouseCodec":
        """Reads a codec folder and the vocoder it names."""
        saved = checkpoint.load(folder)
        place = folder / saved.meta["vocoder"]
        if not place.is_dir():
            raise ValueError(f"{folder} needs the vocoder {place}, which is not there")
        vocoder = Vocoder.load(checkpoint.load(place))
        return cls(saved.meta["name"], Autoencoder.load(saved), vocoder, token_fingerprint(saved))

    def encode_block(self, wav: Tensor, frames: int, past: Any) -> tuple[Tensor, Any]:
        size = frames * self.spec.hop + self.spec.lookahead
        mel = framed_log_mel(F.pad(wav[:, 0], (0, size - wav.shape[2])))
        z, past = self.autoencoder.encoder(mel, past)
        return self.autoencoder.bottleneck.tokens(z), past

    def decode_block(self, tokens: Tensor, frames: int, past: Any) -> tuple[Tensor, Any]:
        spectrum, sound = past or (None, None)
        latent = self.autoencoder.bottleneck.latent(tokens)
        mel, spectrum = self.autoencoder.decoder(latent, spectrum)
        wav, _, sound = self.vocoder(mel, sound)
        return wav[:, None], (spectrum, sound)
