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
from codeclm.codecs.published import causal
from codeclm.codecs.published.chunked import BLOCK_SECONDS, ChunkedCodec
from codeclm.codecs.published.weights import load_model, token_fingerprint

DECODING = ("decoder", "upsample")  # how the names of all that only decodes begin


class Mimi(ChunkedCodec):
    """Mimi that streams exactly; 8 of its 32 codebooks unless told otherwise."""

    def __init__(self, name: str, model: Any, streams: int, mark: str) -> None:
        from transformers.models.mimi import modeling_mimi as library

        if not hasattr(library, "MimiEncoderModel"):
            raise ValueError(
                f"{name} needs Kyutai's package or a newer transformers: "
                "pip install 'codeclm[moshi]' or 'codeclm[codecs]'"
            )
        config = model.config
        books = (config.num_semantic_quantizers, config.num_quantizers, config.codebook_size)
        self.spec = mimi_spec(name, mark, streams, books, config.sampling_rate, config.frame_size)
        self.model = model
        steps = {
            library.MimiConv1d: causal.convolution,
            library.MimiConvTranspose1d: causal.transposed,
            library.MimiTransformerModel: causal.transformer,
        }
        causal.remember(model.encoder, steps)
        causal.remember(model.decoder, steps)
        self.block = round(BLOCK_SECONDS * self.spec.frame_rate)

    @classmethod
    def load(cls, name: str, folder: Path, streams: int) -> Codec:
        """Reads the folder as `transformers` saves it, and uses the first `streams` codebooks."""
        try:
            import moshi.models.loaders  # noqa: F401
        except ImportError:
            from transformers import MimiModel

            model = load_model(MimiModel, folder)
            return cls(name, model, streams, token_fingerprint(folder, DECODING))
        from codeclm.codecs.published.mimi_moshi import MoshiMimi

        return MoshiMimi.load(name, folder, streams)

    def encode_block(self, wav: Tensor, frames: int, past: Any) -> tuple[Tensor, Any]:
        with causal.after(past) as new:
            latent = self.model.encoder(wav).latents
        return self.model.quantizer.encode(latent, len(self.spec.streams)).transpose(0, 1), new

    def decode_block(self, tokens: Tensor, frames: int, past: Any) -> tuple[Tensor, Any]:
        with causal.after(past) as new:
            return self.model.decoder(self.model.quantizer.decode(tokens)).audio_values, new


def mimi_spec(
    name: str, mark: str, streams: int, books: tuple[int, int, int], sample_rate: int, hop: int
) -> CodecSpec:
    """The facts about Mimi.

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
    return CodecSpec(
        name=name,
        family="semantic-rvq",
        sample_rate=sample_rate,
        hop=hop,
        streams=(*first, *rest),
        causal=True,
        lookahead=0,
        fingerprint=mark,
    )
