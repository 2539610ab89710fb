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


def decoder(
    graph: Graph, x: str, shape: Shape, prefix: str, precision: str = "fp32"
) -> tuple[str, dict[str, str]]:
    """Inputs [B, S, D] to the last hidden state [B, D] and the caches, written in place.

    It declares inputs of its own: `lengths` [B], the steps of each row with these, less one;
    `total` [1], those of the longest; `cos` and `sin` [room, size / 2], the turns of all places;
    `keys.0`, `values.0` ... [B, key heads, room, size], the caches.
    """
    turns = ("room", shape.size // 2)
    where = [graph.input("lengths", np.int32, "rows"), graph.input("total", np.int32, 1)]
    where += [graph.input(name, np.float32, *turns) for name in ("cos", "sin")]
    after: dict[str, str] = {}
    for number in range(shape.depth):
        layer, caches = f"{prefix}layers.{number}.", [f"{k}.{number}" for k in ("keys", "values")]
        for name in caches:
            graph.input(name, np.float32, "rows", shape.key_heads, "room", shape.size)
        y = _norm(graph, x, f"{layer}input_layernorm", shape)
        projections = [f"{layer}self_attn.{part}_proj" for part in "qkv"]
        y = graph.linear(y, *projections, precision=precision)
        heard, *written = graph.several(
            3,
            "GroupQueryAttention",
            *_queries(graph, y, shape, f"{layer}self_attn."),
            *caches,
            *where,
            own=True,
            num_heads=shape.heads,
            kv_num_heads=shape.key_heads,
            do_rotary=1,
        )
        after |= {f"{name}.after": done for name, done in zip(caches, written, strict=True)}
        heard = graph.linear(heard, f"{layer}self_attn.o_proj", precision=precision)
        x = graph.Add(x, heard)
        y = _norm(graph, x, f"{layer}post_attention_layernorm", shape)
        gate, up = (
            graph.linear(y, f"{layer}mlp.{part}_proj", precision=precision)
            for part in ("gate", "up")
        )
        inner = graph.Mul(graph.silu(gate), up)
        x = graph.Add(x, graph.linear(inner, f"{layer}mlp.down_proj", precision=precision))
    return graph.Gather(_norm(graph, x, f"{prefix}norm", shape), -1, axis=1), after


def _norm(graph: Graph, x: str, name: str, shape: Shape) -> str:
    return graph.SimplifiedLayerNormalization(x, f"{name}.weight", axis=-1, epsilon=shape.eps)


def _queries(graph: Graph, y: str, shape: Shape, prefix: str) -> list[str]:
    """Queries, keys and values: in one tensor, unless queries and keys are normed by themselves."""
    if f"{prefix}q_norm.weight" not in graph.shapes:
        return [y, "", ""]
    counts = (shape.heads, shape.key_heads, shape.key_heads)
    parts = graph.several(3, "Split", y, [count * shape.size for count in counts], axis=-1)
    for place, count in enumerate(counts[:2]):
        heads = graph.Reshape(parts[place], [0, 0, count, shape.size])
        heads = _norm(graph, heads, f"{prefix}{'qk'[place]}_norm", shape)
        parts[place] = graph.Reshape(heads, [0, 0, count * shape.size])
    return parts


def facts(shape: Shape) -> dict[str, Any]:
    """What a runtime needs to keep a cache, as JSON."""
    turns = shape.turns.tolist()
    return {"depth": shape.depth, "heads": shape.key_heads, "size": shape.size, "turns": turns}
