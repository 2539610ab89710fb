"""What stands around the backbone as graphs: the reading of text and slots, and the encoders."""

import math

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
from codeclm.tts.model import SpeechLM


def text(graph: Graph, ids: str, model: SpeechLM) -> str:
    """`TextEncoder`: ids [1, L] to [1, L, D]."""
    real = graph.Unsqueeze(graph.Cast(graph.Greater(ids, 0), to=TensorProto.FLOAT), [2])
    x = graph.Gather(graph.weight("text.embed.weight"), ids)
    for layer in range(model.config.text_depth):
        y = graph.Mul(graph.layer_norm(x, f"text.norms.{layer}"), real)
        weight, bias = (graph.weight(f"text.convs.{layer}.{part}") for part in ("weight", "bias"))
        y = graph.Conv(graph.Transpose(y, perm=[0, 2, 1]), weight, bias, pads=[2, 2])
        value, gate = graph.Split(y, axis=1, num_outputs=2, outputs=2)
        y = graph.Mul(value, graph.Sigmoid(gate))
        x = graph.Add(x, graph.Transpose(y, perm=[0, 2, 1]))
    return graph.linear(x, "text.leave")


def words(graph: Graph, ids: str, model: SpeechLM) -> str:
    """`pretrained.Words`: ids [1, L] to [1, L, D]."""
    table = graph.weight("text.table.weight")
    found = graph.Gather(table, graph.Max(graph.Sub(ids, 2), 0))
    known = graph.Unsqueeze(graph.Greater(ids, 1), [2])
    return str(graph.Where(known, found, graph.weight("text.begin")))


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
        x = steps(graph, slots, streams, model.read, "read")
    wide = graph.Unsqueeze(number, [2])
    x = graph.Where(graph.Greater(wide, 0), x, 0.0)
    x = graph.Where(graph.Equal(wide, 0), graph.weight("begin"), x)
    if model.place is not None:
        inside = graph.Mod(graph.Max(number, 0), layout.period)
        place = graph.Gather(graph.weight("place.weight"), inside)
        x = graph.Add(x, graph.Where(graph.Less(wide, 0), 0.0, place))
    return str(x)


def steps(graph: Graph, slots: str, streams: str | None, read: CodeEmbedding, prefix: str) -> str:
    """`CodeEmbedding.forward`: slots [B, S, C] of the streams [B, S, C] to [B, S, D]."""
    count = 1 if streams else read.streams
    if streams is None and read.points:  # one matrix product for all
        table, kernel = _points(graph, read, prefix)
        found = graph.Gather(table, graph.Add(slots, 2))
        found = graph.Reshape(found, [0, 0, count * (len(read.levels) + 2)])
        width = graph.shapes[f"{prefix}.marks"][1]
        x = graph.MatMul(found, graph.Reshape(kernel, [count * (len(read.levels) + 2), width]))
        x = graph.Add(x, graph.weight(f"{prefix}.read.bias"))
    else:
        mine = streams or graph.constant(np.arange(count))
        x = graph.ReduceSum(each(graph, slots, mine, read, prefix), [-2], keepdims=0)
    return str(graph.Div(x, float(count)) if read.mean else x)


def each(graph: Graph, slots: str, stream: str, read: CodeEmbedding, prefix: str) -> str:
    """`CodeEmbedding.each`: slots [...] of streams that broadcast to them, to [..., D]."""
    if read.points:
        table, kernel = _points(graph, read, prefix)
        found = graph.Unsqueeze(graph.Gather(table, graph.Add(slots, 2)), [-2])
        found = graph.Squeeze(graph.MatMul(found, graph.Gather(kernel, stream)), [-2])
        bias = graph.weight(f"{prefix}.read.bias")
        return str(graph.Add(found, graph.Where(_known(graph, slots), bias, 0.0)))
    first = graph.Gather(read.first.numpy(), stream)
    codes = graph.Add(graph.Max(slots, 0), first)
    found = graph.Gather(graph.weight(f"{prefix}.table.weight"), codes)
    over = graph.Cast(graph.Equal(slots, END), to=TensorProto.INT64)
    mark = graph.Gather(graph.weight(f"{prefix}.marks"), graph.Add(graph.Mul(stream, 2), over))
    return str(graph.Where(_known(graph, slots), found, mark))


def _known(graph: Graph, slots: str) -> str:
    """[..., 1], whether a slot holds a code."""
    return str(graph.Unsqueeze(graph.GreaterOrEqual(slots, 0), [-1]))


def _points(graph: Graph, read: CodeEmbedding, prefix: str) -> tuple[str, str]:
    """END, EMPTY and all codes as numbers [2 + size, n + 2], and what reads them, [K, n + 2, D].

    The numbers of a code are its point; a mark is 1 in a place of its own.
    """
    points, size = _all_points(read.levels), len(read.levels)
    table = np.zeros((2 + len(points), size + 2), np.float32)
    table[2:, :size] = points
    table[EMPTY + 2, size] = table[END + 2, size + 1] = 1
    weight = graph.Transpose(graph.weight(f"{prefix}.read.weight"), perm=[1, 0])
    weight = graph.Reshape(weight, [read.streams, size, -1])
    marks = graph.Reshape(graph.weight(f"{prefix}.marks"), [read.streams, 2, -1])
    return graph.constant(table), graph.Concat(weight, marks, axis=1)


def points(graph: Graph, codes: str, levels: tuple[int, ...]) -> str:
    """FSQ codes [...] as points [..., n]."""
    return str(graph.Gather(_all_points(levels), codes))


def _all_points(levels: tuple[int, ...]) -> NDArray[np.float32]:
    """Of all codes, [size, n]."""
    codes = torch.arange(math.prod(levels))
    return level_to_point(code_to_levels(codes, levels), levels).float().numpy()


def logits(graph: Graph, x: str, classes: Classes, prefix: str, stream: str | None = None) -> str:
    """`Classes.logits`: [..., D] to [..., K, n, L]; with a stream [N, D] to [N, n, L]."""
    shape = [classes.streams, len(classes.digits), max(classes.digits)]
    missing = None if classes.missing is None else classes.missing.numpy()
    if stream is None:
        scores = graph.linear(x, f"{prefix}.project")
        leading = graph.Shape(x, end=-1)
        scores = graph.Reshape(scores, graph.Concat(leading, shape, axis=0))
    else:
        rows = graph.Reshape(
            graph.weight(f"{prefix}.project.weight"), [shape[0], shape[1] * shape[2], -1]
        )
        bias = graph.Reshape(
            graph.weight(f"{prefix}.project.bias"), [shape[0], shape[1] * shape[2]]
        )
        weight, offset = (graph.Gather(part, stream) for part in (rows, bias))
        scores = graph.Reshape(graph.Gemm(x, weight, offset, transB=1), [-1, *shape[1:]])
        missing = None if missing is None else graph.Gather(missing, stream)
    return str(scores if missing is None else graph.Where(missing, -np.inf, scores))


def encoder(graph: Graph, x: str, prefix: str, sizes: Sizes) -> str:
    """`heads.local.encoder`: [B, S, d] to [B, S, d], seen both ways."""
    for number in range(sizes.depth):
        layer = f"{prefix}.layers.{number}"
        weight, bias = (graph.weight(f"{layer}.self_attn.in_proj_{k}") for k in ("weight", "bias"))
        y = graph.MatMul(
            graph.layer_norm(x, f"{layer}.norm1"), graph.Transpose(weight, perm=[1, 0])
        )
        parts = graph.Split(graph.Add(y, bias), axis=-1, num_outputs=3, outputs=3)
        y = graph.MultiHeadAttention(*parts, own=True, num_heads=sizes.heads)
        x = graph.Add(x, graph.linear(y, f"{layer}.self_attn.out_proj"))
        y = graph.gelu(graph.linear(graph.layer_norm(x, f"{layer}.norm2"), f"{layer}.linear1"))
        x = graph.Add(x, graph.linear(y, f"{layer}.linear2"))
    return graph.layer_norm(x, f"{prefix}.norm")


def _patches(graph: Graph, slots: str, read: PatchReader, sizes: Sizes) -> str:
    """`PatchReader`: latents [B, S, P * dims] to [B, S, D]."""
    patch, dims = read.shape
    latents = graph.Where(graph.IsNaN(slots), 0.0, slots)
    if read.gather is None:
        return graph.linear(latents, "read.enter")
    x = graph.linear(graph.Reshape(latents, [-1, patch, dims]), "read.enter")
    x = graph.Pad(x, [0, 1, 0, 0, 0, 0], 0.0)
    x = graph.Add(x, graph.weight("read.places"))
    x = encoder(graph, x, "read.gather", sizes.model_copy(update={"depth": 1}))
    first = graph.linear(graph.Gather(x, 0, axis=1), "read.leave")  # [B * S, D]
    shape = graph.Concat(graph.Shape(slots, end=2), [-1], axis=0)
    return str(graph.Reshape(first, shape))


def clock(graph: Graph, t: str, time: Time, prefix: str) -> str:
    """`heads.local.Time`: times [N] to [N, d]."""
    angle = graph.Mul(graph.Unsqueeze(t, [1]), time.turns.numpy())
    waves = graph.Concat(graph.Cos(angle), graph.Sin(angle), axis=-1)
    return graph.linear(graph.silu(graph.linear(waves, f"{prefix}.mix.0")), f"{prefix}.mix.2")
