"""A house codec put together: autoencoder for the tokens, vocoder for the sound.

A codec folder holds the autoencoder; its meta.json says where the shared vocoder lies.
"""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from codeclm import checkpoint
from codeclm.codecs.base import Codec, CodecSpec
from codeclm.codecs.house.autoencoder import STRIDE, Autoencoder, Past, token_fingerprint
from codeclm.codecs.house.bottlenecks import LATENT
from codeclm.codecs.house.bottlenecks.vae import VAE
from codeclm.codecs.house.features import HOP, SAMPLE_RATE, WINDOW, framed_log_mel
from codeclm.codecs.house.vocoder import Vocoder, VocoderState

LOOKAHEAD = WINDOW - HOP


class HearState(NamedTuple):
    """Where an encoded stream stands: the encoder's past, and sound not yet encoded [B, n]."""

    past: Past | None
    waiting: Tensor


class SoundState(NamedTuple):
    """Where a decoded stream stands: the pasts of the two networks."""

    spectrum: Past
    sound: VocoderState


class HouseCodec(Codec):
    """Codec of 24 kHz sound, 25 frames a second, causal, 70 ms of algorithmic latency."""

    paddable = True  # the look-ahead past the end is silence anyway

    def __init__(self, name: str, autoencoder: Autoencoder, vocoder: Vocoder, mark: str) -> None:
        self.autoencoder = autoencoder.eval().requires_grad_(False)
        self.vocoder = vocoder.eval().requires_grad_(False)
        bottleneck = autoencoder.bottleneck
        self.spec = CodecSpec(
            name=name,
            family=bottleneck.family,
            sample_rate=SAMPLE_RATE,
            hop=STRIDE * HOP,
            streams=bottleneck.streams,
            latent_dims=bottleneck.config.dims if isinstance(bottleneck, VAE) else 0,
            causal=True,
            lookahead=LOOKAHEAD,
            fingerprint=mark,
        )

    @classmethod
    def load(cls, folder: Path) -> "HouseCodec":
        """Reads a codec folder and the vocoder it names."""
        saved = checkpoint.load(folder)
        place = folder / saved.meta["vocoder"]
        if not place.is_dir():
            raise ValueError(f"{folder} needs the vocoder {place}, which is not there")
        vocoder = Vocoder.load(checkpoint.load(place))
        return cls(saved.meta["name"], Autoencoder.load(saved), vocoder, token_fingerprint(saved))

    @torch.inference_mode()
    def encode_chunk(
        self, wav: Tensor, state: HearState | None = None, last: bool = False
    ) -> tuple[Tensor, HearState]:
        waiting = wav[:, 0] if state is None else torch.cat([state.waiting, wav[:, 0]], dim=1)
        if last:
            waiting = F.pad(waiting, (0, -waiting.shape[1] % self.spec.hop + LOOKAHEAD))
        ready = max(0, waiting.shape[1] - LOOKAHEAD) // self.spec.hop * self.spec.hop
        past = state.past if state else None
        if ready == 0:
            nothing = waiting.new_zeros(len(waiting), 0, LATENT)
            return self.autoencoder.bottleneck.tokens(nothing), HearState(past, waiting)
        mel = framed_log_mel(waiting[:, : ready + LOOKAHEAD])
        z, past = self.autoencoder.encoder(mel, past)
        return self.autoencoder.bottleneck.tokens(z), HearState(past, waiting[:, ready:])

    @torch.inference_mode()
    def decode_chunk(
        self, tokens: Tensor, state: SoundState | None = None, last: bool = False
    ) -> tuple[Tensor, SoundState | None]:
        if tokens.shape[self.spec.time_axis] == 0:
            return self.vocoder.filters.weight.new_zeros(len(tokens), 1, 0), state
        latent = self.autoencoder.bottleneck.latent(tokens)
        mel, spectrum = self.autoencoder.decoder(latent, state.spectrum if state else None)
        wav, _, sound = self.vocoder(mel, state.sound if state else None)
        return wav[:, None], SoundState(spectrum, sound)
