"""What stands around the backbone as graphs: the reading of text and slots, and the encoders."""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import TensorProto

from codeclm.codecs.base import EMPTY, END
from codeclm.codecs.embedding import CodeEmbedding
from codeclm.codecs.levels import code_to_levels, level_to_point
from codeclm.tts.backbone import Sizes
from codeclm.tts.exported.graph import Graph
from codeclm.tts.heads.classes import Classes
from codeclm.tts.heads.local import Time
from codeclm.tts.latents import PatchReader
from codeclm.tts.model import SpeechLM, TextEncoder


def text(graph: Graph, ids: str, model: SpeechLM) -> str:
    """`TextEncoder` or `pretrained.Words`: ids [1, L] to [1, L, D]."""
    if not isinstance(model.text, TextEncoder):
        found = graph.Gather("text.table.weight", graph.Max(graph.Sub(ids, 2), 0))
        return graph.Where(graph.Unsqueeze(graph.Greater(ids, 1), [2]), found, "text.begin")
    real = graph.Unsqueeze(graph.Cast(graph.Greater(ids, 0), to=TensorProto.FLOAT), [2])
    x = graph.Gather("text.embed.weight", ids)
    for layer in range(model.config.text_depth):
        y = graph.Mul(graph.layer_norm(x, f"text.norms.{layer}"), real)
        y, conv = graph.Transpose(y, perm=[0, 2, 1]), f"text.convs.{layer}"
        y = graph.Conv(y, f"{conv}.weight", f"{conv}.bias", pads=[2, 2])
        value, gate = graph.several(2, "Split", y, axis=1, num_outputs=2)
        y = graph.Mul(value, graph.Sigmoid(gate))
        x = graph.Add(x, graph.Transpose(y, perm=[0, 2, 1]))
    return graph.linear(x, "text.leave")


def said(graph: Graph, slots: str, number: str, model: SpeechLM) -> str:
    """`SpeechLM.said`: slots [B, S, C] of the steps before, numbers [B, S], to [B, S, D]."""
    layout = model.layout
    if isinstance(model.read, PatchReader):
        x = _patches(graph, slots, model.read, model.config.local)
    else:
        streams = None
        if layout.slots < layout.streams:
            before = graph.Mod(graph.Max(graph.Sub(number, 1), 0), layout.period)
            streams = graph.Gather(np.array(layout.grid.streams), before)
        x = _codes(graph, slots, streams, model.read)
    wide = graph.Unsqueeze(number, [2])
    x = graph.Where(graph.Greater(wide, 0), x, 0.0)
    x = graph.Where(graph.Equal(wide, 0), "begin", x)
    if model.place is not None:
        inside = graph.Mod(graph.Max(number, 0), layout.period)
        place = graph.Gather("place.weight", inside)
        x = graph.Add(x, graph.Where(graph.Less(wide, 0), 0.0, place))
    return x


def _codes(graph: Graph, slots: str, streams: str | None, read: CodeEmbedding) -> str:
    """`CodeEmbedding.forward`: slots [B, S, C] of the streams [B, S, C] to [B, S, D]."""
    count = 1 if streams else read.streams
    if streams is None and read.points:  # one matrix product for all
        table, kernel = _points(graph, read, "read")
        wide = count * (len(read.levels) + 2)
        found = graph.Reshape(graph.Gather(table, graph.Add(slots, 2)), [0, 0, wide])
        x = graph.MatMul(found, graph.Reshape(kernel, [wide, graph.shapes["read.marks"][1]]))
        x = graph.Add(x, "read.read.bias")
    else:
        each = code(graph, slots, streams or np.arange(count), read, "read")
        x = graph.ReduceSum(each, [-2], keepdims=0)
    return graph.Div(x, float(count)) if read.mean else x


def code(
    graph: Graph, slots: str, stream: str | NDArray[np.int64], read: CodeEmbedding, prefix: str
) -> str:
    """`CodeEmbedding.each`: slots [...] of streams that broadcast to them, to [..., D]."""
    known = graph.Unsqueeze(graph.GreaterOrEqual(slots, 0), [-1])
    if read.points:
        table, kernel = _points(graph, read, prefix)
        found = graph.Unsqueeze(graph.Gather(table, graph.Add(slots, 2)), [-2])
        found = graph.Squeeze(graph.MatMul(found, graph.Gather(kernel, stream)), [-2])
        return graph.Add(found, graph.Where(known, f"{prefix}.read.bias", 0.0))
    codes = graph.Add(graph.Max(slots, 0), graph.Gather(read.first.numpy(), stream))
    found = graph.Gather(f"{prefix}.table.weight", codes)
    over = graph.Cast(graph.Equal(slots, END), to=TensorProto.INT64)
    mark = graph.Gather(f"{prefix}.marks", graph.Add(graph.Mul(stream, 2), over))
    return graph.Where(known, found, mark)


def _points(graph: Graph, read: CodeEmbedding, prefix: str) -> tuple[NDArray[np.float32], str]:
    """END, EMPTY and all codes as numbers [2 + size, n + 2], and what reads them, [K, n + 2, D].

    The numbers of a code are its point; a mark is 1 in a place of its own.
    """
    size = len(read.levels)
    table = np.pad(all_points(read.levels), ((2, 0), (0, 2)))
    table[EMPTY + 2, size] = table[END + 2, size + 1] = 1
    weight = graph.Transpose(f"{prefix}.read.weight", perm=[1, 0])
    weight = graph.Reshape(weight, [read.streams, size, -1])
    marks = graph.Reshape(f"{prefix}.marks", [read.streams, 2, -1])
    return table, graph.Concat(weight, marks, axis=1)


def all_points(levels: tuple[int, ...]) -> NDArray[np.float32]:
    """The points [size, n] of all FSQ codes."""
    codes = torch.arange(math.prod(levels))
    return level_to_point(code_to_levels(codes, levels), levels).float().numpy()


def logits(
    graph: Graph, x: str, classes: Classes, prefix: str, stream: str | int | None = None
) -> str:
    """`Classes.logits`: [N, D] to [N, K, n, L]; with a stream to [N, n, L]."""
    shape = [classes.streams, len(classes.digits), max(classes.digits)]
    missing: Any = None if classes.missing is None else classes.missing.numpy()
    if stream is None:
        scores = graph.Reshape(graph.linear(x, f"{prefix}.project"), [-1, *shape])
    else:
        each = [shape[0], shape[1] * shape[2]]
        rows = graph.Reshape(f"{prefix}.project.weight", [*each, -1])
        biases = graph.Reshape(f"{prefix}.project.bias", each)
        weight, bias = (graph.Gather(part, stream) for part in (rows, biases))
        scores = graph.Reshape(graph.Gemm(x, weight, bias, transB=1), [-1, *shape[1:]])
        missing = None if missing is None else graph.Gather(missing, stream)
    return scores if missing is None else graph.Where(missing, -np.inf, scores)


def encoder(graph: Graph, x: str, prefix: str, sizes: Sizes, depth: int | None = None) -> str:
    """`heads.local.encoder`: [B, S, d] to [B, S, d], seen both ways."""
    for number in range(sizes.depth if depth is None else depth):
        layer = f"{prefix}.layers.{number}"
        y, weight = graph.layer_norm(x, f"{layer}.norm1"), f"{layer}.self_attn.in_proj_weight"
        y = graph.MatMul(y, graph.Transpose(weight, perm=[1, 0]))
        y = graph.Add(y, f"{layer}.self_attn.in_proj_bias")
        parts = graph.several(3, "Split", y, axis=-1, num_outputs=3)
        y = graph.MultiHeadAttention(*parts, own=True, num_heads=sizes.heads)
        x = graph.Add(x, graph.linear(y, f"{layer}.self_attn.out_proj"))
        y = graph.Gelu(graph.linear(graph.layer_norm(x, f"{layer}.norm2"), f"{layer}.linear1"))
        x = graph.Add(x, graph.linear(y, f"{layer}.linear2"))
    return graph.layer_norm(x, f"{prefix}.norm")


def _patches(graph: Graph, slots: str, read: PatchReader, sizes: Sizes) -> str:
    """`PatchReader`: latents [B, S, P * dims] to [B, S, D]."""
    patch, dims = read.shape
    latents = graph.Where(graph.IsNaN(slots), 0.0, slots)
    if read.gather is None:
        return graph.linear(latents, "read.enter")
    x = graph.linear(graph.Reshape(latents, [-1, patch, dims]), "read.enter")
    x = graph.Add(graph.Pad(x, [0, 1, 0, 0, 0, 0], 0.0), "read.places")
    x = encoder(graph, x, "read.gather", sizes, depth=1)
    first = graph.linear(graph.Gather(x, 0, axis=1), "read.leave")  # [B * S, D]
    return graph.Reshape(first, graph.Concat(graph.Shape(slots, end=2), [-1], axis=0))


def clock(graph: Graph, t: str, time: Time, prefix: str) -> str:
    """`heads.local.Time`: times [N] to [N, d]."""
    angle = graph.Mul(graph.Unsqueeze(t, [1]), time.turns.numpy())
    waves = graph.Concat(graph.Cos(angle), graph.Sin(angle), axis=-1)
    return graph.linear(graph.silu(graph.linear(waves, f"{prefix}.mix.0")), f"{prefix}.mix.2")
