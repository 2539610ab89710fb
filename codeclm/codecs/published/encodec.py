"""EnCodec of 24 kHz speech and music: causal, residual VQ, 75 frames a second.

High Fidelity Neural Audio Compression, Défossez et al. 2022 (arXiv:2210.13438), by
`transformers.EncodecModel`. The bandwidth is the number of codebooks, 750 bit/s each: trained were
2, 4, 8, 16 and 32. Encoder and decoder mirror the first samples of a stream to begin with, so that
the first seven frames wait for each other; from then on nothing is looked ahead.
"""

from pathlib import Path
from typing import Any

from torch import Tensor

from codeclm.codecs.base import CodecSpec, residual_streams
from codeclm.codecs.published import causal
from codeclm.codecs.published.chunked import BLOCK_SECONDS, ChunkedCodec
from codeclm.codecs.published.weights import load_model, token_fingerprint


class Encodec(ChunkedCodec):
    """EnCodec that streams exactly: convolutions and LSTM remember."""

    def __init__(self, name: str, model: Any, streams: int, mark: str) -> None:
        from transformers.models.encodec import modeling_encodec as library

        config = model.config
        if not config.use_causal_conv or config.audio_channels != 1 or config.chunk_length:
            raise ValueError(f"{name}: only the causal EnCodec of one channel is supported")
        if streams > config.num_quantizers:
            raise ValueError(f"{name} has {config.num_quantizers} codebooks, not {streams}")
        self.model = model
        steps = {
            library.EncodecConv1d: causal.convolution,
            library.EncodecConvTranspose1d: causal.transposed,
            library.EncodecLSTM: causal.lstm,
        }
        causal.remember(model.encoder, steps)
        causal.remember(model.decoder, steps)
        self.spec = CodecSpec(
            name=name,
            family="rvq",
            sample_rate=config.sampling_rate,
            hop=config.hop_length,
            streams=residual_streams(config.codebook_size, streams),
            causal=True,
            lookahead=0,
            fingerprint=mark,
        )
        self.block = round(BLOCK_SECONDS * self.spec.frame_rate)
        self.warm_up = max(config.kernel_size, config.last_kernel_size)

    @classmethod
    def load(cls, name: str, folder: Path, streams: int) -> "Encodec":
        """Reads the folder as `transformers` saves it, and uses the first `streams` codebooks."""
        from transformers import EncodecModel

        model = load_model(EncodecModel, folder)
        return cls(name, model, streams, token_fingerprint(folder, ("decoder.",)))

    def encode_block(self, wav: Tensor, frames: int, past: Any) -> tuple[Tensor, Any]:
        with causal.after(past) as new:
            latent = self.model.encoder(wav)
        quantizer = self.model.quantizer
        streams = len(self.spec.streams)
        kilobits = (streams + 0.5) * self.spec.bitrate / streams / 1000
        return quantizer.encode(latent, kilobits).transpose(0, 1), new

    def decode_block(self, tokens: Tensor, frames: int, past: Any) -> tuple[Tensor, Any]:
        with causal.after(past) as new:
            return self.model.decoder(self.model.quantizer.decode(tokens.transpose(0, 1))), new
