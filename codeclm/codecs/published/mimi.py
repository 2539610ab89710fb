"""Mimi: split residual VQ of speech, 12.5 frames a second, codebook 0 distilled from WavLM; causal.

Moshi: a speech-text foundation model for real-time dialogue, Défossez et al. 2024
(arXiv:2410.00037), by `transformers.MimiModel`, whose weights are those of Kyutai's `moshi` under
other names. That package streams; `transformers` by itself does not when it decodes. Here its
convolutions remember and its attention keeps its window, so that streams equal wholes.
"""

from pathlib import Path
from typing import Any

from torch import Tensor

from codeclm.codecs.base import CodecSpec, Stream, residual_streams
from codeclm.codecs.published import causal
from codeclm.codecs.published.chunked import BLOCK_SECONDS, ChunkedCodec
from codeclm.codecs.published.weights import load_model, token_fingerprint


class Mimi(ChunkedCodec):
    """Mimi that streams exactly; 8 of its 32 codebooks unless told otherwise."""

    def __init__(self, name: str, model: Any, streams: int, mark: str) -> None:
        from transformers.models.mimi import modeling_mimi as library

        if not hasattr(library, "MimiEncoderModel"):
            raise ValueError(f"{name} needs a newer transformers: pip install 'codeclm[codecs]'")
        config = model.config
        semantic = config.num_semantic_quantizers
        if not semantic <= streams <= config.num_quantizers:
            raise ValueError(
                f"{name} has {semantic} to {config.num_quantizers} codebooks, not {streams}"
            )
        self.model = model
        steps = {
            library.MimiConv1d: causal.convolution,
            library.MimiConvTranspose1d: causal.transposed,
            library.MimiTransformerModel: causal.transformer,
        }
        causal.remember(model.encoder, steps)
        causal.remember(model.decoder, steps)
        first = [Stream(config.codebook_size, "semantic", tuple(range(k))) for k in range(semantic)]
        rest = residual_streams(config.codebook_size, streams, begin=semantic, since=semantic)
        self.spec = CodecSpec(
            name=name,
            family="semantic-rvq",
            sample_rate=config.sampling_rate,
            hop=config.frame_size,
            streams=(*first, *rest),
            causal=True,
            lookahead=0,
            fingerprint=mark,
        )
        self.block = round(BLOCK_SECONDS * self.spec.frame_rate)

    @classmethod
    def load(cls, name: str, folder: Path, streams: int) -> "Mimi":
        """Reads the folder as `transformers` saves it, and uses the first `streams` codebooks."""
        from transformers import MimiModel

        model = load_model(MimiModel, folder)
        return cls(name, model, streams, token_fingerprint(folder, ("decoder", "upsample")))

    def encode_block(self, wav: Tensor, frames: int, past: Any) -> tuple[Tensor, Any]:
        with causal.after(past) as new:
            latent = self.model.encoder(wav).latents
        return self.model.quantizer.encode(latent, len(self.spec.streams)).transpose(0, 1), new

    def decode_block(self, tokens: Tensor, frames: int, past: Any) -> tuple[Tensor, Any]:
        with causal.after(past) as new:
            return self.model.decoder(self.model.quantizer.decode(tokens)).audio_values, new
