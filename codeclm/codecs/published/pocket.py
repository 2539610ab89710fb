"""The tokenizer of Pocket TTS: Mimi with Gaussian latents, 32 numbers at 12.5 Hz; causal.

Continuous Audio Language Models, Rouard et al. 2025 (arXiv:2509.06926), by
`transformers.PocketTTSAudioTokenizerModel`. The encoder gives the mean of the latents. They are
not normalised: the mean and deviation that Pocket TTS divides by belong to its language model and
are not published with the tokenizer.
"""

from pathlib import Path
from typing import Any

from torch import Tensor

from codeclm.codecs.base import CodecSpec
from codeclm.codecs.published import causal
from codeclm.codecs.published.chunked import BLOCK_SECONDS, ChunkedCodec
from codeclm.codecs.published.weights import library, load_model, token_fingerprint

MODULE = "transformers.models.pocket_tts_audio_tokenizer.modeling_pocket_tts_audio_tokenizer"


class Pocket(ChunkedCodec):
    """Pocket TTS's tokenizer that streams exactly, as Mimi does."""

    def __init__(self, name: str, model: Any, streams: int, mark: str) -> None:
        modeling = library(MODULE, "codecs")
        self.model = model
        steps = {
            modeling.PocketTTSAudioTokenizerConv1d: causal.convolution,
            modeling.PocketTTSAudioTokenizerConvTranspose1d: causal.transposed,
            modeling.PocketTTSAudioTokenizerTransformerModel: causal.transformer,
        }
        causal.remember(model.encoder, steps)
        causal.remember(model.decoder, steps)
        self.spec = CodecSpec(
            name=name,
            family="vae",
            sample_rate=model.config.sampling_rate,
            hop=model.config.frame_size,
            streams=(),
            causal=True,
            lookahead=0,
            fingerprint=mark,
            latent_dims=model.config.latent_dim,
        )
        self.block = round(BLOCK_SECONDS * self.spec.frame_rate)

    @classmethod
    def load(cls, name: str, folder: Path, streams: int) -> "Pocket":
        """Reads the folder as `transformers` saves it."""
        model = library(MODULE, "codecs").PocketTTSAudioTokenizerModel
        mark = token_fingerprint(folder, ("decoder.", "latent_proj."))
        return cls(name, load_model(model, folder), 0, mark)

    def encode_block(self, wav: Tensor, frames: int, past: Any) -> tuple[Tensor, Any]:
        with causal.after(past) as new:
            return self.model.encoder(wav).latents.transpose(1, 2), new

    def decode_block(self, tokens: Tensor, frames: int, past: Any) -> tuple[Tensor, Any]:
        with causal.after(past) as new:
            return self.model.decode(tokens).audio_values, new
