"""Causal networks of `transformers`, run block by block: layers remember, the past is a value.

Its EnCodec, Mimi and Pocket TTS are built from the same few layers: causal convolutions, transposed
ones, an LSTM or a transformer with a sliding window. `remember` gives every such layer a forward
that begins where the block before ended; all else is the code of the library. Blocks then equal the
whole, as streaming does in the code of the authors (Défossez et al. 2022 and 2024).
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from codeclm.codecs.base import CodecSpec
from codeclm.codecs.published.by_transformers import TransformersCodec

Past = dict[str, Any]
Step = Callable[[Any, Any, Tensor], tuple[Any, Any]]  # layer, its past, input: output, its new past

_PASTS: ContextVar[tuple[Past, Past]] = ContextVar("pasts")


@contextmanager
def after(past: Past | None) -> Iterator[Past]:
    """Networks run in this block go on from `past`; yields the new past, whole at the end."""
    new: Past = {}
    token = _PASTS.set((past or {}, new))
    try:
        yield new
    finally:
        _PASTS.reset(token)


def _forward(name: str, step: Step, layer: nn.Module, x: Tensor, *args: Any, **more: Any) -> Any:
    pasts = _PASTS.get(None)
    if pasts is None:  # called by the library's own encode or decode
        return type(layer).forward(layer, x, *args, **more)
    past, new = pasts
    y, new[name] = step(layer, past.get(name), x)
    return y


def convolution(layer: Any, past: Tensor | None, x: Tensor) -> tuple[Tensor, Tensor]:
    """A convolution that remembers the columns before; the library pads the beginning."""
    size = int(layer.padding_total)
    if past is None:
        x = layer._pad1d(x, (size, 0), mode=layer.pad_mode)
    else:
        x = torch.cat([past, x], dim=2)
    return layer.conv(x), x[..., x.shape[2] - size :].clone()


def transposed(layer: Any, past: Tensor | None, x: Tensor) -> tuple[Tensor, Tensor]:
    """A transposed convolution that remembers the columns which reach into the next block."""
    stride = layer.conv.stride[0]
    before = 0 if past is None else past.shape[2]
    x = x if past is None else torch.cat([past, x], dim=2)
    keep = min(x.shape[2], -(-layer.conv.kernel_size[0] // stride) - 1)
    y = layer.conv(x)[..., before * stride : x.shape[2] * stride]
    return y, x[..., x.shape[2] - keep :].clone()


def lstm(layer: Any, past: Any, x: Tensor) -> tuple[Tensor, Any]:
    """An LSTM with a way around it, on [B, D, T]."""
    columns = x.permute(2, 0, 1)
    y, past = layer.lstm(columns, past)
    return (y + columns).permute(1, 2, 0), past


def transformer(layer: Any, past: Any, x: Tensor) -> tuple[Any, Any]:
    """A transformer with a sliding window; its past is the cache of keys and values."""
    from transformers import DynamicCache

    cache = DynamicCache(config=layer.config) if past is None else copy.deepcopy(past)
    y = type(layer).forward(layer, x, past_key_values=cache, use_cache=True)
    return y, cache


STEPS: dict[str, Step] = {
    "Conv1d": convolution,
    "ConvTranspose1d": transposed,
    "LSTM": lstm,
    "TransformerModel": transformer,
}


def remember(network: nn.Module, prefix: str) -> None:
    """Lets the layers of the classes `prefix` + a name in `STEPS` remember; run it in `after`."""
    for name, layer in network.named_modules():
        step = STEPS.get(type(layer).__name__.partition(prefix)[2])
        if step is not None:
            layer.forward = partial(_forward, name, step, layer)


class CausalCodec(TransformersCodec):
    """A codec that streams exactly, because the layers of its two halves remember.

    Attributes:
        prefix: how the names of the library's layers begin.
    """

    prefix: ClassVar[str]

    def __init__(self, spec: CodecSpec, model: Any) -> None:
        super().__init__(spec, model)
        remember(model.encoder, self.prefix)
        remember(model.decoder, self.prefix)

    def encode_block(self, wav: Tensor, frames: int, past: Any) -> tuple[Tensor, Any]:
        with after(past) as new:
            return self.tokens(wav), new

    def decode_block(self, tokens: Tensor, frames: int, past: Any) -> tuple[Tensor, Any]:
        with after(past) as new:
            return self.sound(tokens), new
