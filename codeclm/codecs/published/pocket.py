"""The tokenizer of Pocket TTS: Mimi with Gaussian latents, 32 numbers at 12.5 Hz; causal.

Continuous Audio Language Models, Rouard et al. 2025 (arXiv:2509.06926), by
`transformers.PocketTTSAudioTokenizerModel`. The encoder gives the mean of the latents. They are
not normalised: the mean and deviation that Pocket TTS divides by belong to its language model and
are not published with the tokenizer.
"""

from typing import Any

from torch import Tensor

from codeclm.codecs.base import CodecSpec
from codeclm.codecs.published.causal import CausalCodec


class Pocket(CausalCodec):
    """Pocket TTS's tokenizer that streams exactly, as Mimi does."""

    network = (
        "pocket_tts_audio_tokenizer.modeling_pocket_tts_audio_tokenizer"
        ":PocketTTSAudioTokenizerModel"
    )
    prefix = "PocketTTSAudioTokenizer"
    decoding = ("decoder.", "latent_proj.")

    def __init__(self, name: str, model: Any, streams: int, mark: str) -> None:
        config = model.config
        rate, hop, dims = config.sampling_rate, config.frame_size, config.latent_dim
        spec = CodecSpec(name, "vae", rate, hop, fingerprint=mark, latent_dims=dims)
        super().__init__(spec, model)

    def tokens(self, wav: Tensor) -> Tensor:
        latents: Tensor = self.model.encoder(wav).latents
        return latents.transpose(1, 2)

    def sound(self, tokens: Tensor) -> Tensor:
        made: Tensor = self.model.decode(tokens).audio_values
        return made
