"""The backbone, twice over the same weights.

`llama` is the decoder of `transformers`, for training: its attention kernels, checkpointing and
parallelism come with it. `Decoder` is the same arithmetic bare, for generation: a cache that is a
plain value, written in place, and no more operations than a step needs. It also spares a speaking
process the import of `transformers`. The tests hold the second to the first.

A pretrained LLM (`tts.pretrained`) takes the place of `llama` in training, and where it is of this
shape it runs in the same `Decoder`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

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

Attention = Literal["auto", "sdpa", "eager", "flash_attention_2"]


class Sizes(Config):
    """Sizes of a transformer: width, layers, attention heads, width inside the feed-forward."""

    width: int = 320
    depth: int = 8
    heads: int = 5
    inner: int = 864

    @model_validator(mode="after")
    def _heads_fit(self) -> "Sizes":
        check_heads(self)
        return self


def check_heads(sizes: Sizes) -> None:
    """Refuses heads whose numbers do not come in pairs."""
    if sizes.width % (2 * sizes.heads):
        raise ValueError(
            f"width {sizes.width} must be a multiple of twice the heads, {2 * sizes.heads}: "
            "each head turns pairs of numbers"
        )


def attention_kernel(wanted: Attention, precision: str) -> str:
    """The attention kernel of `transformers` to train with, in precision `bf16`, `fp16` or `no`.

    `auto` takes `flash_attention_2` where it can run and `sdpa`, the one in torch, elsewhere; any
    other name is taken as it is.

    Raises:
        ValueError: flash attention was asked for where it cannot run; says why.
    """
    if wanted in ("sdpa", "eager"):
        return wanted
    obstacle = ""
    if find_spec("flash_attn") is None:
        obstacle = 'it is not installed: pip install "codeclm[flash]"'
    elif not torch.cuda.is_available():
        obstacle = "there is no CUDA device"
    elif precision not in ("bf16", "fp16"):
        obstacle = "it computes in half precision only: set mixed_precision=bf16"
    if obstacle and wanted == "flash_attention_2":
        raise ValueError(f"attention `flash_attention_2`: {obstacle}; or take `auto`")
    return "sdpa" if obstacle else "flash_attention_2"


def llama(config: Sizes, attention: str = "sdpa") -> "LlamaModel":
    """A Llama-shaped decoder, freshly initialized; `attention` as `attention_kernel` names it."""
    from transformers import LlamaConfig, LlamaModel

    shape = LlamaConfig(
        vocab_size=1,  # it never embeds a token itself
        hidden_size=config.width,
        intermediate_size=config.inner,
        num_hidden_layers=config.depth,
        num_attention_heads=config.heads,
        max_position_embeddings=4096,
        rms_norm_eps=EPS,
        # `transformers` 4 does not know these; they are its defaults.
        rope_parameters={"rope_type": "default", "rope_theta": THETA},
        bos_token_id=None,
        eos_token_id=None,
    )
    shape._attn_implementation = attention
    return LlamaModel(shape)


@dataclass(frozen=True)
class Shape:
    """What the weights of a Llama-shaped decoder do not say themselves.

    Attributes:
        depth: layers.
        heads: of the queries.
        key_heads: of the keys and values, each heard by heads / key_heads queries.
        size: of a head.
        eps: of the root-mean-square norms.
        turns: [size / 2] angles by which a step turns the pairs of a head.
    """

    depth: int
    heads: int
    key_heads: int
    size: int
    eps: float
    turns: Tensor

    @classmethod
    def of_sizes(cls, config: Sizes) -> "Shape":
        """That of `llama`."""
        size = config.width // config.heads
        turns = 1 / THETA ** (torch.arange(0, size, 2) / size)
        return cls(config.depth, config.heads, config.heads, size, EPS, turns)

    @classmethod
    def of_llm(cls, llm: Mapping[str, Any]) -> "Shape | None":
        """That of a model of `transformers`, from its config; None: `Decoder` cannot run it.

        Llama, SmolLM, Mistral, Qwen2 and Qwen3 can be run, without a sliding window.
        """
        rope = llm.get("rope_parameters") or _older_rope(llm)
        kinds = set(llm.get("layer_types") or ["full_attention"])
        if (
            llm["model_type"] not in ("llama", "mistral", "qwen2", "qwen3")
            or llm["hidden_act"] != "silu"
            or llm.get("mlp_bias")
            or llm.get("sliding_window")
            or kinds != {"full_attention"}
            or rope.get("rope_type") not in ("default", "llama3")
            or rope.get("partial_rotary_factor", 1.0) != 1.0
        ):
            return None
        heads = llm["num_attention_heads"]
        size = llm.get("head_dim") or llm["hidden_size"] // heads
        turns = 1 / rope["rope_theta"] ** (torch.arange(0, size, 2) / size)
        if rope["rope_type"] == "llama3":
            turns = _stretched(turns, rope)
        key_heads = llm["num_key_value_heads"]
        return cls(llm["num_hidden_layers"], heads, key_heads, size, llm["rms_norm_eps"], turns)


def _older_rope(llm: Mapping[str, Any]) -> dict[str, Any]:
    """What `transformers` 5 calls `rope_parameters`, from a config that 4 wrote."""
    default = {"rope_type": "default", "rope_theta": llm.get("rope_theta")}
    return {**default, **(llm.get("rope_scaling") or {})}


def _stretched(turns: Tensor, rope: Mapping[str, Any]) -> Tensor:
    """Llama 3's angles: slow ones are `factor` times slower, fast ones as they were."""
    around = turns * float(rope["original_max_position_embeddings"]) / (2 * math.pi)
    low, high = float(rope["low_freq_factor"]), float(rope["high_freq_factor"])
    fast = ((around - low) / (high - low)).clamp(0, 1)
    return (1 - fast) * turns / float(rope["factor"]) + fast * turns


@dataclass
class Cache:
    """Keys and values of the steps so far, of rows that may be at different steps.

    Attributes:
        keys, values: [layers, B, key heads, room, size of a head]; of each row only the first
            steps, as many as `lengths` says, hold something.
        lengths: [B] steps so far.
    """

    keys: Tensor
    values: Tensor
    lengths: list[int]

    @property
    def length(self) -> int:
        """Steps of the longest row."""
        return max(self.lengths)

    def copy(self) -> "Cache":
        """An independent cache that goes on from here."""
        return Cache(self.keys.clone(), self.values.clone(), list(self.lengths))

    def part(self, rows: Sequence[int]) -> "Cache":
        """Some of the rows."""
        if list(rows) == list(range(len(self.lengths))):
            return self
        lengths = [self.lengths[row] for row in rows]
        index = torch.tensor(list(rows), device=self.keys.device)
        keys, values = (t[:, index, :, : max(lengths)] for t in (self.keys, self.values))
        return Cache(keys, values, lengths)

    def join(self, others: "Sequence[Cache]") -> "Cache":
        """These rows and then those of others; alone they are not copied."""
        if not others:
            return self
        caches = [self, *others]
        room = max(cache.length for cache in caches)
        keys, values = (
            torch.cat([F.pad(t, (0, 0, 0, room - t.shape[3])) for t in each], dim=1)
            for each in ([c.keys for c in caches], [c.values for c in caches])
        )
        return Cache(keys, values, [length for cache in caches for length in cache.lengths])


JOINED = {  # projections that read the same input are one matrix
    "self_attn.qkv_proj": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "mlp.gate_up_proj": ("mlp.gate_proj", "mlp.up_proj"),
}


def below(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those whose names begin with a prefix, without it."""
    return {k.removeprefix(prefix): t for k, t in weights.items() if k.startswith(prefix)}


def _layer(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The weights of a layer, whose names in `transformers` begin with `prefix`."""
    own = below(weights, prefix)
    for name, parts in JOINED.items():
        for kind in ("weight", "bias"):
            if f"{parts[0]}.{kind}" in own:
                own[f"{name}.{kind}"] = torch.cat([own.pop(f"{part}.{kind}") for part in parts])
    return own


class Decoder:
    """A Llama-shaped decoder that only runs forward.

    Args:
        shape: its shape, or the sizes of a `llama`.
        weights: under the names of `transformers`.
    """

    def __init__(self, shape: Shape | Sizes, weights: Mapping[str, Tensor]) -> None:
        self.shape = Shape.of_sizes(shape) if isinstance(shape, Sizes) else shape
        self.layers = [_layer(weights, f"layers.{i}.") for i in range(self.shape.depth)]
        self.norm = weights["norm.weight"]
        self._turns = self._turned(ROOM)

    def _turned(self, positions: int) -> Tensor:
        """Cosines and sines [2, positions, size of a head] of the angles that heads turn by.

        The sines of the first half are negative, as `_rotate` wants them.
        """
        angle = torch.arange(positions)[:, None] * self.shape.turns.cpu()
        cos, sin = angle.cos(), angle.sin()
        both = torch.stack([torch.cat([cos, cos], dim=-1), torch.cat([-sin, sin], dim=-1)])
        return both.to(self.norm)

    def start(self, batch: int = 1) -> Cache:
        """An empty cache."""
        shape = self.shape
        empty = self.norm.new_zeros(shape.depth, batch, shape.key_heads, 0, shape.size)
        return Cache(empty, empty, [0] * batch)

    def __call__(self, x: Tensor, cache: Cache) -> Tensor:
        """Runs inputs [B, S, D] after what the cache holds, and adds them to it.

        Several steps at a time need rows that are equally far.

        Returns:
            Hidden states [B, S, D].
        """
        batch, steps, width = x.shape
        done, total = cache.length, cache.length + steps
        if total > cache.keys.shape[3]:
            room = (0, 0, 0, total + ROOM - cache.keys.shape[3])
            cache.keys, cache.values = F.pad(cache.keys, room), F.pad(cache.values, room)
        if total > self._turns.shape[1]:
            self._turns = self._turned(total + ROOM)
        size, eps, heads = self.shape.size, self.shape.eps, self.shape.heads
        turned = heads + self.shape.key_heads
        shared = heads != self.shape.key_heads
        where: tuple[Any, ...] = (slice(None), slice(None), slice(done, total))
        turns, visible = self._turns[:, done:total], None
        if len(set(cache.lengths)) > 1:
            assert steps == 1, "rows that are not equally far go step by step"
            at = torch.tensor(cache.lengths, device=x.device)
            where = (torch.arange(batch, device=x.device), slice(None), at)
            turns = self._turns[:, at, None, None]
            visible = torch.arange(total, device=x.device) <= at[:, None, None, None]
        elif steps > 1:
            visible = torch.ones(steps, total, dtype=torch.bool, device=x.device).tril(done)
        cos, sin = turns
        whole, equal = (width,), visible is None or steps > 1
        kept = zip(cache.keys, cache.values, strict=True)
        for layer, (keys, values) in zip(self.layers, kept, strict=True):
            y = F.rms_norm(x, whole, layer["input_layernorm.weight"], eps)
            y = F.linear(
                y, layer["self_attn.qkv_proj.weight"], layer.get("self_attn.qkv_proj.bias")
            )
            y = y.view(batch, steps, -1, size).transpose(1, 2)
            both, value = y[:, :turned], y[:, turned:]
            if "self_attn.q_norm.weight" in layer:
                query = F.rms_norm(both[:, :heads], (size,), layer["self_attn.q_norm.weight"], eps)
                key = F.rms_norm(both[:, heads:], (size,), layer["self_attn.k_norm.weight"], eps)
                both = torch.cat([query, key], dim=1)
            both = _rotate(both, cos, sin)
            key = both[:, heads:]
            keys[where] = key if equal else key[:, :, 0]
            values[where] = value if equal else value[:, :, 0]
            heard = F.scaled_dot_product_attention(
                both[:, :heads],
                keys[:, :, :total],
                values[:, :, :total],
                attn_mask=visible,
                enable_gqa=shared,
            )
            heard = heard.transpose(1, 2).reshape(batch, steps, -1)
            out = layer["self_attn.o_proj.weight"], layer.get("self_attn.o_proj.bias")
            x = x + F.linear(heard, *out)
            y = F.rms_norm(x, whole, layer["post_attention_layernorm.weight"], eps)
            gate, up = F.linear(y, layer["mlp.gate_up_proj.weight"]).chunk(2, dim=-1)
            x = x + F.linear(F.silu(gate) * up, layer["mlp.down_proj.weight"])
        cache.lengths = [length + steps for length in cache.lengths]
        return F.rms_norm(x, whole, self.norm, eps)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turns the two halves of each head [B, H, S, D / H] by the angles of `Decoder._turned`."""
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, dims=-1), sin)
