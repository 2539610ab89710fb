"""The backbone, twice over the same weights.

`llama` is the decoder of `transformers`, for training: its attention kernels, checkpointing and
parallelism come with it. `Decoder` is the same arithmetic bare, for generation: a cache that is a
plain value, written in place, and no more operations than a step needs. It also spares a speaking
process the import of `transformers`. The tests hold the second to the first.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from pydantic import model_validator
from torch import Tensor
from torch.nn import functional as F

from codeclm.config import Config

if TYPE_CHECKING:
    from transformers import LlamaModel

EPS = 1e-6  # of the root-mean-square norms
THETA = 10_000.0  # base of the rotary positions (Su et al. 2021)
ROOM = 256  # steps a cache grows by


class Sizes(Config):
    """Sizes of a transformer: width, layers, attention heads, width inside the feed-forward."""

    width: int = 320
    depth: int = 8
    heads: int = 5
    inner: int = 864

    @model_validator(mode="after")
    def _heads_fit(self) -> "Sizes":
        if self.width % (2 * self.heads):
            raise ValueError(
                f"width {self.width} must be a multiple of twice the heads, {2 * self.heads}: "
                "each head turns pairs of numbers"
            )
        return self


def llama(config: Sizes) -> "LlamaModel":
    """A Llama-shaped decoder of the given sizes, freshly initialized."""
    from transformers import LlamaConfig, LlamaModel

    return LlamaModel(
        LlamaConfig(
            vocab_size=1,  # it never embeds a token itself
            hidden_size=config.width,
            intermediate_size=config.inner,
            num_hidden_layers=config.depth,
            num_attention_heads=config.heads,
            max_position_embeddings=4096,
            rms_norm_eps=EPS,
            rope_parameters={"rope_type": "default", "rope_theta": THETA},
            bos_token_id=None,
            eos_token_id=None,
        )
    )


@dataclass
class Cache:
    """Keys and values of the steps so far.

    Attributes:
        keys, values: [layers, B, H, room, D / H]; only the first `length` steps hold something.
        length: steps so far.
    """

    keys: Tensor
    values: Tensor
    length: int = 0

    def copy(self) -> "Cache":
        """An independent cache that goes on from here."""
        return Cache(self.keys.clone(), self.values.clone(), self.length)


class Layer(NamedTuple):
    """Weights of one layer; projections that read the same input are one matrix."""

    norm_attention: Tensor
    query_key_value: Tensor
    out: Tensor
    norm_inner: Tensor
    gate_up: Tensor
    down: Tensor


class Decoder:
    """A Llama-shaped decoder that only runs forward.

    Args:
        config: its sizes.
        weights: under the names of `transformers.LlamaModel`.
    """

    def __init__(self, config: Sizes, weights: Mapping[str, Tensor]) -> None:
        self.heads = config.heads
        self.size = config.width // config.heads
        self.layers = [
            Layer(
                weights[f"layers.{i}.input_layernorm.weight"],
                torch.cat([weights[f"layers.{i}.self_attn.{p}_proj.weight"] for p in "qkv"]),
                weights[f"layers.{i}.self_attn.o_proj.weight"],
                weights[f"layers.{i}.post_attention_layernorm.weight"],
                torch.cat([weights[f"layers.{i}.mlp.{p}_proj.weight"] for p in ("gate", "up")]),
                weights[f"layers.{i}.mlp.down_proj.weight"],
            )
            for i in range(config.depth)
        ]
        self.norm = weights["norm.weight"]
        self.turns = 1 / THETA ** (torch.arange(0, self.size, 2) / self.size)

    def start(self, batch: int = 1) -> Cache:
        """An empty cache."""
        empty = self.norm.new_zeros(len(self.layers), batch, self.heads, 0, self.size)
        return Cache(empty, empty)

    def __call__(self, x: Tensor, cache: Cache) -> Tensor:
        """Runs inputs [B, S, D] after what the cache holds, and adds them to it.

        Returns:
            Hidden states [B, S, D].
        """
        batch, steps, width = x.shape
        done, total = cache.length, cache.length + steps
        if total > cache.keys.shape[3]:
            room = (0, 0, 0, total + ROOM - cache.keys.shape[3])
            cache.keys, cache.values = F.pad(cache.keys, room), F.pad(cache.values, room)
        angle = torch.arange(done, total)[:, None] * self.turns
        cos, sin = (f(torch.cat([angle, angle], dim=-1)).to(x) for f in (torch.cos, torch.sin))
        visible = torch.ones(steps, total, dtype=torch.bool).tril(done) if steps > 1 else None
        shape = (width,)
        for i, layer in enumerate(self.layers):
            y = F.linear(F.rms_norm(x, shape, layer.norm_attention, EPS), layer.query_key_value)
            query, key, value = y.view(batch, steps, 3, self.heads, self.size).permute(
                2, 0, 3, 1, 4
            )
            cache.keys[i, :, :, done:total] = _rotate(key, cos, sin)
            cache.values[i, :, :, done:total] = value
            heard = F.scaled_dot_product_attention(
                _rotate(query, cos, sin),
                cache.keys[i, :, :, :total],
                cache.values[i, :, :, :total],
                attn_mask=visible,
            )
            x = x + F.linear(heard.transpose(1, 2).reshape(batch, steps, width), layer.out)
            y = F.linear(F.rms_norm(x, shape, layer.norm_inner, EPS), layer.gate_up)
            gate, up = y.chunk(2, dim=-1)
            x = x + F.linear(F.silu(gate) * up, layer.down)
        cache.length = total
        return F.rms_norm(x, shape, self.norm, EPS)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turns the two halves of each head [B, H, S, D / H] by the angle of its position."""
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], dim=-1) * sin
