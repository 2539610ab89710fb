"""Mimi: split residual VQ of speech, 12.5 frames a second, codebook 0 distilled from WavLM; causal.

Moshi: a speech-text foundation model for real-time dialogue, Défossez et al. 2024
(arXiv:2410.00037). Where Kyutai's package `moshi` is installed it does the work (`mimi_moshi`),
elsewhere `transformers.MimiModel`: the same weights, tokens and sound. `transformers` by itself
does not stream when it decodes. Here its convolutions remember and its attention keeps its window,
so that streams equal wholes.
"""

from pathlib import Path
from typing import Any

from torch import Tensor

from codeclm.codecs.base import Codec, CodecSpec, Stream, residual_streams
from codeclm.codecs.published.causal import CausalCodec


class Mimi(CausalCodec):
    """Mimi that streams exactly; 8 of its 32 codebooks unless told otherwise."""

    network = "mimi.modeling_mimi:MimiModel"
    prefix = "Mimi"
    decoding = ("decoder", "upsample")

    def __init__(self, name: str, model: Any, streams: int, mark: str) -> None:
        from transformers.models.mimi import modeling_mimi as library

        if not hasattr(library, "MimiEncoderModel"):
            raise ValueError(
                f"{name} needs Kyutai's package or a newer transformers: "
                "pip install 'codeclm[moshi]' or 'codeclm[codecs]'"
            )
        config = model.config
        books = (config.num_semantic_quantizers, config.num_quantizers, config.codebook_size)
        rate, hop = config.sampling_rate, config.frame_size
        super().__init__(mimi_spec(name, mark, streams, books, rate, hop), model)

    @classmethod
    def load(cls, name: str, folder: Path, streams: int) -> Codec:
        try:
            import moshi.models.loaders  # noqa: F401
        except ImportError:
            return super().load(name, folder, streams)
        from codeclm.codecs.published.mimi_moshi import MoshiMimi

        return MoshiMimi.load(name, folder, streams)

    def tokens(self, wav: Tensor) -> Tensor:
        latent = self.model.encoder(wav).latents
        codes: Tensor = self.model.quantizer.encode(latent, len(self.spec.streams))
        return codes.transpose(0, 1)

    def sound(self, tokens: Tensor) -> Tensor:
        made: Tensor = self.model.decoder(self.model.quantizer.decode(tokens)).audio_values
        return made


def mimi_spec(
    name: str, mark: str, streams: int, books: tuple[int, int, int], sample_rate: int, hop: int
) -> CodecSpec:
    """The facts about Mimi that uses `streams` codebooks.

    Args:
        name: as the spec has it.
        mark: fingerprint of the weights.
        streams: codebooks to use.
        books: semantic ones, all, and the codes of each.
        sample_rate: Hz.
        hop: samples a frame.

    Raises:
        ValueError: it does not have so many codebooks.
    """
    semantic, total, size = books
    if not semantic <= streams <= total:
        raise ValueError(f"{name} has {semantic} to {total} codebooks, not {streams}")
    first = [Stream(size, "semantic", tuple(range(k))) for k in range(semantic)]
    rest = residual_streams(size, streams, begin=semantic, since=semantic)
    family, rows = "semantic-rvq", (*first, *rest)
    return CodecSpec(name, family, sample_rate, hop, rows, fingerprint=mark)
