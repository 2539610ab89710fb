"""The backbone as a graph: the arithmetic of `backbone.Decoder`, for any rows and steps."""

from typing import Any

import numpy as np

from codeclm.tts.backbone import Shape
from codeclm.tts.exported.graph import Graph


def check(shape: Shape) -> None:
    """Refuses heads that ONNX Runtime cannot turn."""
    if shape.size % 16:
        raise ValueError(
            f"attention heads of {shape.size} numbers cannot be exported: ONNX Runtime turns heads "
            "of a multiple of 16"
        )


def caches(graph: Graph, shape: Shape) -> dict[str, str]:
    """Declares the inputs of the decoder: where the rows are, and what they remember.

    `lengths` [B] are the steps of each row with these, less one; `total` [1] those of the longest;
    `cos` and `sin` [room, size / 2] the turns of all places; `keys.0`, `values.0` ... the caches.
    """
    named = {
        "lengths": graph.input("lengths", np.int32, "rows"),
        "total": graph.input("total", np.int32, 1),
        **{name: graph.input(name, np.float32, "room", shape.size // 2) for name in ("cos", "sin")},
    }
    for layer in range(shape.depth):
        for kind in ("keys", "values"):
            axes = ("rows", shape.key_heads, "room", shape.size)
            named[f"{kind}.{layer}"] = graph.input(f"{kind}.{layer}", np.float32, *axes)
    return named


def decoder(
    graph: Graph, x: str, shape: Shape, memory: dict[str, str], prefix: str, precision: str
) -> tuple[str, dict[str, str]]:
    """Inputs [B, S, D] to hidden states [B, S, D] and the caches, written in place."""
    after: dict[str, str] = {}
    for number in range(shape.depth):
        layer = f"{prefix}layers.{number}."
        y = _norm(graph, x, f"{layer}input_layernorm", shape)
        projections = [f"{layer}self_attn.{part}_proj" for part in "qkv"]
        y = graph.linear(y, *projections, precision=precision)
        heard, keys, values = graph.GroupQueryAttention(
            *_queries(graph, y, shape, f"{layer}self_attn."),
            *(memory[f"{kind}.{number}"] for kind in ("keys", "values")),
            *(memory[name] for name in ("lengths", "total", "cos", "sin")),
            outputs=3,
            own=True,
            num_heads=shape.heads,
            kv_num_heads=shape.key_heads,
            do_rotary=1,
        )
        after |= {f"keys.{number}.after": keys, f"values.{number}.after": values}
        heard = graph.linear(heard, f"{layer}self_attn.o_proj", precision=precision)
        x = graph.Add(x, heard)
        y = _norm(graph, x, f"{layer}post_attention_layernorm", shape)
        gate, up = (
            graph.linear(y, f"{layer}mlp.{part}_proj", precision=precision)
            for part in ("gate", "up")
        )
        inner = graph.Mul(graph.silu(gate), up)
        x = graph.Add(x, graph.linear(inner, f"{layer}mlp.down_proj", precision=precision))
    return _norm(graph, x, f"{prefix}norm", shape), after


def _norm(graph: Graph, x: str, name: str, shape: Shape) -> str:
    scale = graph.weight(f"{name}.weight")
    return str(graph.SimplifiedLayerNormalization(x, scale, axis=-1, epsilon=shape.eps))


def _queries(graph: Graph, y: str, shape: Shape, prefix: str) -> list[Any]:
    """Queries, keys and values: in one tensor, unless queries and keys are normed by themselves."""
    if f"{prefix}q_norm.weight" not in graph.shapes:
        return [y, "", ""]
    counts = (shape.heads, shape.key_heads, shape.key_heads)
    parts = graph.Split(y, [count * shape.size for count in counts], axis=-1, outputs=3)
    for place, count in enumerate(counts[:2]):
        heads = graph.Reshape(parts[place], [0, 0, count, shape.size])
        heads = _norm(graph, heads, f"{prefix}{'qk'[place]}_norm", shape)
        parts[place] = graph.Reshape(heads, [0, 0, count * shape.size])
    return list(parts)


def facts(shape: Shape) -> dict[str, Any]:
    """What a runtime needs to keep a cache, as JSON."""
    return {
        "depth": shape.depth,
        "heads": shape.key_heads,
        "size": shape.size,
        "turns": shape.turns.tolist(),
    }
