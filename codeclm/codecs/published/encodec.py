"""EnCodec of 24 kHz speech and music: causal, residual VQ, 75 frames a second.

High Fidelity Neural Audio Compression, Défossez et al. 2022 (arXiv:2210.13438), by
`transformers.EncodecModel`. The bandwidth is the number of codebooks, 750 bit/s each: trained were
2, 4, 8, 16 and 32. Encoder and decoder mirror the first samples of a stream to begin with, so that
the first seven frames wait for each other; from then on nothing is looked ahead.
"""

from typing import Any

from torch import Tensor

from codeclm.codecs.base import CodecSpec
from codeclm.codecs.published.by_transformers import first_codebooks
from codeclm.codecs.published.causal import CausalCodec


class Encodec(CausalCodec):
    """EnCodec that streams exactly."""

    network = "encodec.modeling_encodec:EncodecModel"
    prefix = "Encodec"

    def __init__(self, name: str, model: Any, streams: int, mark: str) -> None:
        config = model.config
        if not config.use_causal_conv or config.audio_channels != 1 or config.chunk_length:
            raise ValueError(f"{name}: only the causal EnCodec of one channel is supported")
        rows = first_codebooks(name, streams, config.num_quantizers, config.codebook_size)
        rate, hop = config.sampling_rate, config.hop_length
        super().__init__(CodecSpec(name, "rvq", rate, hop, rows, fingerprint=mark), model)
        self.warm_up = max(config.kernel_size, config.last_kernel_size)

    def tokens(self, wav: Tensor) -> Tensor:
        streams = len(self.spec.streams)
        kilobits = (streams + 0.5) * self.spec.bitrate / streams / 1000
        codes: Tensor = self.model.quantizer.encode(self.model.encoder(wav), kilobits)
        return codes.transpose(0, 1)

    def sound(self, tokens: Tensor) -> Tensor:
        made: Tensor = self.model.decoder(self.model.quantizer.decode(tokens.transpose(0, 1)))
        return made
