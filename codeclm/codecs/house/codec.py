"""A house codec put together: autoencoder for the tokens, vocoder for the sound.

A codec folder holds the autoencoder; its meta.json says where the shared vocoder lies. The
fingerprint is that of the autoencoder alone, which gives the tokens their meaning: a better vocoder
can replace an older one under the same tokens.
"""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from codeclm import checkpoint
from codeclm.codecs.base import Codec, CodecSpec, Stream
from codeclm.codecs.house.autoencoder import STRIDE, Autoencoder, Past
from codeclm.codecs.house.features import HOP, SAMPLE_RATE, WINDOW, log_mel
from codeclm.codecs.house.vocoder import Vocoder, VocoderConfig, VocoderState


class HouseState(NamedTuple):
    """Where a decoded stream stands: the pasts of the two networks."""

    spectrum: Past
    sound: VocoderState


class HouseCodec(Codec):
    """Codec of 24 kHz sound, 25 frames a second, causal, 70 ms of algorithmic latency."""

    def __init__(self, name: str, autoencoder: Autoencoder, vocoder: Vocoder, mark: str) -> None:
        self.autoencoder = autoencoder.eval().requires_grad_(False)
        self.vocoder = vocoder.eval().requires_grad_(False)
        levels = autoencoder.config.levels
        self.spec = CodecSpec(
            name=name,
            family="fsq",
            sample_rate=SAMPLE_RATE,
            hop=STRIDE * HOP,
            streams=(Stream(size=int(torch.tensor(levels).prod()), levels=levels),)
            * autoencoder.config.groups,
            causal=True,
            lookahead=WINDOW - HOP,
            fingerprint=mark,
        )

    @classmethod
    def load(cls, folder: Path) -> "HouseCodec":
        """Reads a codec folder and the vocoder it names."""
        saved = checkpoint.load(folder)
        place = folder / saved.meta["vocoder"]
        if not place.is_dir():
            raise ValueError(f"{folder} needs the vocoder {place}, which is not there")
        sound = checkpoint.load(place)
        vocoder = Vocoder(VocoderConfig(**sound.config))
        vocoder.load_state_dict(sound.weights())
        mark = checkpoint.fingerprint(saved.tensors)
        return cls(saved.meta["name"], Autoencoder.load(saved), vocoder, mark)

    @torch.inference_mode()
    def encode(self, wav: Tensor) -> Tensor:
        wav = wav[:, 0]
        wav = F.pad(wav, (0, -wav.shape[1] % self.spec.hop))
        latent, _ = self.autoencoder.latent(log_mel(wav))
        return self.autoencoder.bottleneck.codes(latent)

    @torch.inference_mode()
    def decode_chunk(
        self, codes: Tensor, state: HouseState | None = None
    ) -> tuple[Tensor, HouseState]:
        points = self.autoencoder.bottleneck.points(codes)
        mel, spectrum = self.autoencoder.spectrum(points, state.spectrum if state else None)
        wav, _, sound = self.vocoder(mel, state.sound if state else None)
        return wav[:, None], HouseState(spectrum, sound)
