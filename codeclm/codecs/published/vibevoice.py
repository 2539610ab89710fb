"""The acoustic tokenizer of VibeVoice: 64 numbers at 7.5 frames a second; causal.

VibeVoice Technical Report, Peng et al. 2025 (arXiv:2508.19205), by
`transformers.VibeVoiceAcousticTokenizerModel`. Latents are what the encoder gives, without the
noise that the sigma-VAE adds in training. They are not normalised: the factor and the shift of
VibeVoice belong to its language model and are not published with the tokenizer. VibeVoice brings
speech to -25 dB below full scale first; give it such speech for latents like its own.
"""

import copy
from pathlib import Path
from typing import Any

from torch import Tensor

from codeclm.codecs.base import CodecSpec
from codeclm.codecs.published.chunked import BLOCK_SECONDS, ChunkedCodec
from codeclm.codecs.published.weights import library, load_model, token_fingerprint

MODULE = "transformers.models.vibevoice_acoustic_tokenizer.modeling_vibevoice_acoustic_tokenizer"


class VibeVoice(ChunkedCodec):
    """VibeVoice's tokenizer; the library remembers what its convolutions need."""

    def __init__(self, name: str, model: Any, streams: int, mark: str) -> None:
        self.model = model
        self.spec = CodecSpec(
            name=name,
            family="vae",
            sample_rate=24_000,
            hop=model.config.hop_length,
            streams=(),
            causal=True,
            lookahead=0,
            fingerprint=mark,
            latent_dims=model.config.hidden_size,
        )
        self.block = round(BLOCK_SECONDS * self.spec.frame_rate)

    @classmethod
    def load(cls, name: str, folder: Path, streams: int) -> "VibeVoice":
        """Reads the folder as `transformers` saves it."""
        model = library(MODULE, "codecs").VibeVoiceAcousticTokenizerModel
        return cls(name, load_model(model, folder), 0, token_fingerprint(folder, ("decoder.",)))

    def encode_block(self, wav: Tensor, frames: int, past: Any) -> tuple[Tensor, Any]:
        cache = copy.deepcopy(past)
        made = self.model.encode(wav, padding_cache=cache, use_cache=True, sample=False)
        return made.latents, made.padding_cache

    def decode_block(self, tokens: Tensor, frames: int, past: Any) -> tuple[Tensor, Any]:
        cache = copy.deepcopy(past)
        made = self.model.decode(tokens, padding_cache=cache, use_cache=True)
        return made.audio, made.padding_cache
