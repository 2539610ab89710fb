"""The acoustic tokenizer of VibeVoice: 64 numbers at 7.5 frames a second; causal.

VibeVoice Technical Report, Peng et al. 2025 (arXiv:2508.19205), by
`transformers.VibeVoiceAcousticTokenizerModel`. Latents are what the encoder gives, without the
noise that the sigma-VAE adds in training. They are not normalised: the factor and the shift of
VibeVoice belong to its language model and are not published with the tokenizer. VibeVoice brings
speech to -25 dB below full scale first; give it such speech for latents like its own.
"""

import copy
from typing import Any

from torch import Tensor

from codeclm.codecs.base import CodecSpec
from codeclm.codecs.published.by_transformers import TransformersCodec


class VibeVoice(TransformersCodec):
    """VibeVoice's tokenizer; the library remembers what its convolutions need."""

    network = (
        "vibevoice_acoustic_tokenizer.modeling_vibevoice_acoustic_tokenizer"
        ":VibeVoiceAcousticTokenizerModel"
    )

    def __init__(self, name: str, model: Any, streams: int, mark: str) -> None:
        hop, dims = model.config.hop_length, model.config.hidden_size
        spec = CodecSpec(name, "vae", 24_000, hop, fingerprint=mark, latent_dims=dims)
        super().__init__(spec, model)

    def encode_block(self, wav: Tensor, frames: int, past: Any) -> tuple[Tensor, Any]:
        cache = copy.deepcopy(past)
        made = self.model.encode(wav, padding_cache=cache, use_cache=True, sample=False)
        return made.latents, made.padding_cache

    def decode_block(self, tokens: Tensor, frames: int, past: Any) -> tuple[Tensor, Any]:
        cache = copy.deepcopy(past)
        made = self.model.decode(tokens, padding_cache=cache, use_cache=True)
        return made.audio, made.padding_cache
