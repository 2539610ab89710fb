"""Mimi by Kyutai's own package `moshi`, from the weights that `transformers` reads.

The network, its streaming and its names are Kyutai's (Défossez et al. 2024, arXiv:2410.00037).
Their modules hold the state of a stream inside and write into it; here it is handed in and out, a
value, so that one network serves many streams. That rules out the CUDA graphs of their `decode`.
Their ring of keys is as long as the window, so it loses some while it takes in those of several
frames; ours has room for a block more, and streams equal wholes.
"""

import copy
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from codeclm.codecs.chunked import ChunkedCodec
from codeclm.codecs.published import weights
from codeclm.codecs.published.mimi import Mimi, mimi_spec

States = list[dict[str, Any]]  # of the modules of one half

# What the names of `moshi` are in the files of `transformers`, in this order.
_RENAMED = (
    (r"(\.conv(tr)?)+", ".conv"),
    (r"coder\.model", "coder.layers"),
    (r"_transformer\.transformer", "_transformer"),
    (r"out_projs\.0", "o_proj"),
    (r"linear(\d)", r"mlp.fc\1"),
    (r"norm1", "input_layernorm"),
    (r"norm2", "post_attention_layernorm"),
    (r"layer_scale_1", "self_attn_layer_scale"),
    (r"layer_scale_2", "mlp_layer_scale"),
    (r"rvq_first", "semantic_residual_vector_quantizer"),
    (r"rvq_rest", "acoustic_residual_vector_quantizer"),
    (r"\.vq\.", "."),
    (r"_codebook\._?", "codebook."),
    (r"embedding_sum", "embed_sum"),
)


class MoshiMimi(ChunkedCodec):
    """Mimi that streams by `moshi`; 8 of its 32 codebooks unless told otherwise."""

    def __init__(self, name: str, model: Any, streams: int, mark: str) -> None:
        books = (model.quantizer.n_q_semantic, model.total_codebooks, model.cardinality)
        spec = mimi_spec(name, mark, streams, books, model.sample_rate, model.frame_size)
        super().__init__(spec)
        self.model = model
        model.set_num_codebooks(streams)
        self.columns = self.block * round(model.encoder_frame_rate / model.frame_rate)

    @classmethod
    def load(cls, name: str, folder: Path, streams: int) -> "MoshiMimi":
        """Reads the folder as `transformers` saves it, and uses the first `streams` codebooks."""
        weights.check_type(folder, "mimi", "Mimi")
        model = weights.library("moshi.models.loaders", "moshi").get_mimi(None, num_codebooks=1)
        try:
            model.load_state_dict(of_moshi(weights.load_tensors(folder), model))
        except (KeyError, RuntimeError) as error:
            raise weights.damaged(folder, error) from None
        model.eval().requires_grad_(False)
        return cls(name, model, streams, weights.token_fingerprint(folder, Mimi.decoding))

    def encode_block(self, wav: Tensor, frames: int, past: Any) -> tuple[Tensor, Any]:
        model = self.model
        half = (model.encoder, model.encoder_transformer, model.downsample.conv)
        with self._streaming(half, len(wav), past) as new:
            (x,) = model.encoder_transformer(model.encoder(wav))
            return model.quantizer.encode(model.downsample(x)), new

    def decode_block(self, tokens: Tensor, frames: int, past: Any) -> tuple[Tensor, Any]:
        model = self.model
        half = (model.upsample.convtr, model.decoder_transformer, model.decoder)
        with self._streaming(half, len(tokens), past) as new:
            (x,) = model.decoder_transformer(model.upsample(model.quantizer.decode(tokens)))
            return model.decoder(x), new

    @contextmanager
    def _streaming(
        self, half: tuple[Any, ...], batch: int, past: States | None
    ) -> Iterator[States]:
        """These modules go on from `past` inside; yields the new states, whole at the end."""
        from moshi.utils.compile import no_compile

        new: States = []
        with no_compile(), ExitStack() as stack:
            for part in half:
                stack.enter_context(part.streaming(batch))
            if past is None:
                self._make_room(half, batch)
            else:
                for part, states in zip(half, past, strict=True):
                    part.set_streaming_state(copy.deepcopy(states))
            yield new
            new += [part.get_streaming_state() for part in half]

    def _make_room(self, half: tuple[Any, ...], batch: int) -> None:
        from moshi.modules.transformer import RingKVCache, StreamingMultiheadAttention

        for layer in (layer for part in half for layer in part.modules()):
            if isinstance(layer, StreamingMultiheadAttention):
                state: Any = layer._streaming_state
                ring = state.kv_cache.cache
                state.kv_cache = RingKVCache(
                    batch,
                    layer.num_heads,
                    ring.shape[-1],
                    capacity=layer.context + self.columns,
                    device=ring.device,
                    dtype=ring.dtype,
                )


def of_moshi(tensors: dict[str, Tensor], model: Any) -> dict[str, Tensor]:
    """The weights of `transformers.MimiModel`, as its files name them, for `moshi`.

    Raises:
        KeyError: one is missing.
    """
    heads = model.encoder_transformer.transformer.layers[0].self_attn.num_heads

    def interleaved(weight: Tensor) -> Tensor:
        """Rotary pairs side by side, not in two halves of each head."""
        return weight.view(heads, 2, -1, weight.shape[1]).transpose(1, 2).reshape(weight.shape)

    found = {}
    for name in model.state_dict():
        theirs = name
        for pattern, other in _RENAMED:
            theirs = re.sub(pattern, other, theirs)
        if "in_projs" in theirs:
            query, key, value = (tensors[theirs.replace("in_projs.0", f"{p}_proj")] for p in "qkv")
            found[name] = torch.cat([interleaved(query), interleaved(key), value])
        else:
            found[name] = tensors[theirs]
    return found
