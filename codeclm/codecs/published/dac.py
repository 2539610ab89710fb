"""The Descript Audio Codec: residual VQ of sound at 16, 24 or 44.1 kHz; not causal.

High-Fidelity Audio Compression with Improved RVQGAN, Kumar et al. 2023 (arXiv:2306.06546), by
`transformers.DacModel`. Its convolutions see a few frames to both sides. Blocks are computed with
just these frames around them, so that they equal the whole, and that is what a stream waits for.
"""

import math
from typing import Any

from torch import Tensor

from codeclm.codecs.base import CodecSpec
from codeclm.codecs.chunked import reach
from codeclm.codecs.published.by_transformers import TransformersCodec, first_codebooks

UNIT = 3 * (1 + 3 + 9)  # columns to each side that the three residual units of a block see


class Dac(TransformersCodec):
    """DAC; frames are computed again where blocks meet."""

    network = "dac.modeling_dac:DacModel"

    def __init__(self, name: str, model: Any, streams: int, mark: str) -> None:
        config = model.config
        hop, sees = config.hop_length, max(reach(model.encoder))
        left = decoder_radius(config.upsampling_ratios)
        rows = first_codebooks(name, streams, config.n_codebooks, config.codebook_size)
        spec = CodecSpec(
            name, "rvq", config.sampling_rate, hop, rows, False, sees, mark, 0, left * hop
        )
        super().__init__(spec, model)
        self.encoder_left, self.decoder_left = -(-sees // hop), left

    def tokens(self, wav: Tensor) -> Tensor:
        found: Tensor = self.model.encode(wav, n_quantizers=len(self.spec.streams))[2]
        return found

    def sound(self, tokens: Tensor) -> Tensor:
        made: Tensor = self.model.decode(audio_codes=tokens).audio_values
        return made[:, None]


def decoder_radius(strides: tuple[int, ...]) -> int:
    """Frames to each side that the decoder sees, rounded up."""
    sees, column = 3.0, 1.0  # the first convolution; frames a column stands for
    for stride in strides:
        sees += column
        column /= stride
        sees += UNIT * column
    return math.ceil(sees + 3 * column)
