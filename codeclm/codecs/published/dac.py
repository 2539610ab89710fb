"""The Descript Audio Codec: residual VQ of sound at 16, 24 or 44.1 kHz; not causal.

High-Fidelity Audio Compression with Improved RVQGAN, Kumar et al. 2023 (arXiv:2306.06546), by
`transformers.DacModel`. Its convolutions see a few frames to both sides. Blocks are computed with
just these frames around them, so that they equal the whole, and that is what a stream waits for.
"""

import math
from pathlib import Path
from typing import Any

from torch import Tensor

from codeclm.codecs.base import CodecSpec, residual_streams
from codeclm.codecs.published.chunked import BLOCK_SECONDS, ChunkedCodec, with_context
from codeclm.codecs.published.weights import load_model, token_fingerprint

UNIT = 3 * (1 + 3 + 9)  # columns to each side that the three residual units of a block see


class Dac(ChunkedCodec):
    """DAC; frames are computed again where blocks meet."""

    def __init__(self, name: str, model: Any, streams: int, mark: str) -> None:
        config = model.config
        if streams > config.n_codebooks:
            raise ValueError(f"{name} has {config.n_codebooks} codebooks, not {streams}")
        self.model = model
        hop = config.hop_length
        sees = encoder_radius(config.downsampling_ratios)
        self.encoder_left = -(-sees // hop)
        self.decoder_left = decoder_radius(config.upsampling_ratios)
        self.spec = CodecSpec(
            name=name,
            family="rvq",
            sample_rate=config.sampling_rate,
            hop=hop,
            streams=residual_streams(config.codebook_size, streams),
            causal=False,
            lookahead=sees,
            decoder_lookahead=self.decoder_left * hop,
            fingerprint=mark,
        )
        self.block = round(BLOCK_SECONDS * self.spec.frame_rate)

    @classmethod
    def load(cls, name: str, folder: Path, streams: int) -> "Dac":
        """Reads the folder as `transformers` saves it, and uses the first `streams` codebooks."""
        from transformers import DacModel

        model = load_model(DacModel, folder)
        return cls(name, model, streams, token_fingerprint(folder, ("decoder.",)))

    def encode_block(self, wav: Tensor, frames: int, past: Any) -> tuple[Tensor, Any]:
        def codes(sound: Tensor) -> Tensor:
            found: Tensor = self.model.encode(sound, n_quantizers=len(self.spec.streams))[2]
            return found

        return with_context(codes, wav, frames, past, self.encoder_left, (self.spec.hop, 1))

    def decode_block(self, tokens: Tensor, frames: int, past: Any) -> tuple[Tensor, Any]:
        def sound(codes: Tensor) -> Tensor:
            made: Tensor = self.model.decode(audio_codes=codes).audio_values
            return made[:, None]

        return with_context(sound, tokens, frames, past, self.decoder_left, (1, self.spec.hop))


def encoder_radius(strides: tuple[int, ...]) -> int:
    """Samples before the begin and past the end of a frame that the encoder sees."""
    sees, column = 3, 1  # the first convolution; samples a column stands for
    for stride in strides:
        sees += (UNIT + math.ceil(stride / 2)) * column
        column *= stride
    return sees + column


def decoder_radius(strides: tuple[int, ...]) -> int:
    """Frames to each side that the decoder sees, rounded up."""
    sees, column = 3.0, 1.0  # the first convolution; frames a column stands for
    for stride in strides:
        sees += column
        column /= stride
        sees += UNIT * column
    return math.ceil(sees + 3 * column)
