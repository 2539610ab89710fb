"""The networks of the heads as graphs; `draw` says in which order they are run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from codeclm.tts.backbone import Shape
from codeclm.tts.exported import decoder, parts
from codeclm.tts.exported.graph import Graph
from codeclm.tts.heads import ConsistencyHead, DepthHead, FlowHead, LinearHead, MaskedHead
from codeclm.tts.heads.consistency import Velocity
from codeclm.tts.model import SpeechLM

Shapes = Mapping[str, tuple[int, ...]]
Names = dict[str, list[str]]  # of the weights of each graph


def write(folder: Path, model: SpeechLM, shapes: Shapes, names: Names) -> dict[str, Any]:
    """Writes `head.onnx`, and `inner.onnx` where steps are drawn in several runs.

    Args:
        folder: for the graphs.
        model: with the head.
        shapes: of its weights.
        names: of the weights of each graph, to be added to.

    Returns:
        What `draw` needs to know.

    Raises:
        ValueError: the head cannot be exported.
    """
    head, width = model.head, model.config.width
    facts: dict[str, Any] = {"kind": model.config.head}
    graph = Graph(shapes)
    if isinstance(head, LinearHead):
        hidden = graph.input("hidden", np.float32, "rows", width)
        whole = model.layout.slots == head.classes.streams
        stream = None if whole else graph.input("stream", np.int64)
        scores = parts.logits(graph, hidden, head.classes, "head.classes", stream)
        names["head"] = graph.save(folder / "head.onnx", logits=scores)
        return facts | {"digits": head.classes.digits, "whole": whole}
    if isinstance(head, DepthHead):
        hidden = graph.input("hidden", np.float32, "rows", width)
        first = parts.logits(graph, hidden, head.first, "head.first", graph.constant(0))
        projected = graph.linear(hidden, "head.project")
        names["head"] = graph.save(folder / "head.onnx", logits=first, projected=projected)
        return facts | {"digits": head.first.digits} | _depth(folder, model, head, shapes, names)
    if isinstance(head, MaskedHead):
        _masked(folder, model, head, shapes, names)
        return facts | {"digits": head.classes.digits, "rounds": head.rounds}
    if isinstance(head, ConsistencyHead):
        _consistency(folder, head, shapes, names)
        return facts | {"steps": head.steps}
    if isinstance(head, FlowHead):
        _flow(folder, model, head, shapes, names)
        return facts | {"steps": head.steps, "shape": head.shape, "history": head.history}
    raise ValueError(
        f"head `{model.config.head}` cannot be exported: it goes over whole utterances"
    )


def _depth(
    folder: Path, model: SpeechLM, head: DepthHead, shapes: Shapes, names: Names
) -> dict[str, Any]:
    """One slot: from what goes before it and the code of the last one, the scores of the next."""
    sizes = model.config.local
    shape = Shape.of_sizes(sizes)
    decoder.check(shape)
    graph = Graph(shapes)
    before = graph.input("before", np.float32, "rows", "before", sizes.width)
    code, stream = graph.input("code", np.int64, "rows"), graph.input("stream", np.int64)
    read = parts.each(graph, code, stream, head.read, "head.read")
    x = graph.Concat(before, graph.Unsqueeze(read, [1]), axis=1)
    memory = decoder.caches(graph, shape)
    states, after = decoder.decoder(graph, x, shape, memory, "head.body.", "fp32")
    state = graph.Gather(states, -1, axis=1)
    scores = parts.logits(graph, state, head.rest, "head.rest", stream)
    names["inner"] = graph.save(folder / "inner.onnx", logits=scores, **after)
    return {"shape": decoder.facts(shape)}


def _masked(folder: Path, model: SpeechLM, head: MaskedHead, shapes: Shapes, names: Names) -> None:
    """Scores of all slots, of which those covered are not seen."""
    graph, streams = Graph(shapes), head.classes.streams
    hidden = graph.input("hidden", np.float32, "rows", model.config.width)
    slots = graph.input("slots", np.int64, "rows", streams)
    covered = graph.input("covered", np.bool_, "rows", streams)
    codes = parts.each(graph, slots, graph.constant(np.arange(streams)), head.read, "head.read")
    x = graph.Where(graph.Unsqueeze(covered, [-1]), graph.weight("head.covered"), codes)
    x = graph.Add(x, graph.weight("head.places"))
    x = graph.Add(x, graph.Unsqueeze(graph.linear(hidden, "head.project"), [1]))
    x = parts.encoder(graph, x, "head.body", model.config.local)
    # Slot k is classified by the rows of stream k alone: [K, N, d] times [K, d, n L].
    each = len(head.classes.digits) * max(head.classes.digits)
    weight = graph.Reshape(graph.weight("head.classes.project.weight"), [streams, each, -1])
    bias = graph.Reshape(graph.weight("head.classes.project.bias"), [streams, 1, each])
    x = graph.MatMul(graph.Transpose(x, perm=[1, 0, 2]), graph.Transpose(weight, perm=[0, 2, 1]))
    x = graph.Transpose(graph.Add(x, bias), perm=[1, 0, 2])
    shape = [-1, streams, len(head.classes.digits), max(head.classes.digits)]
    scores = graph.Reshape(x, shape)
    if head.classes.missing is not None:
        scores = graph.Where(head.classes.missing.numpy(), -np.inf, scores)
    names["head"] = graph.save(folder / "head.onnx", logits=scores)


def _consistency(folder: Path, head: ConsistencyHead, shapes: Shapes, names: Names) -> None:
    """`Velocity`."""
    graph, network, name = Graph(shapes), head.velocity, "head.velocity"
    x = graph.input("x", np.float32, "rows", network.x.in_features)
    since, until = (graph.input(time, np.float32, "rows") for time in ("since", "until"))
    hidden = graph.input("hidden", np.float32, "rows", network.state.in_features)
    known = graph.linear(hidden, f"{name}.state")
    known = graph.Add(known, parts.clock(graph, since, network.since, f"{name}.since"))
    known = graph.Add(known, parts.clock(graph, until, network.until, f"{name}.until"))
    known = graph.silu(known)
    x = graph.linear(x, f"{name}.x")
    for number in range(len(network.layers)):
        layer = f"{name}.layers.{number}"
        shift, scale, gate = (
            graph.linear(known, f"{layer}.{part}") for part in ("shift", "scale", "gate")
        )
        y = graph.Add(graph.Mul(_plain_norm(graph, x, network), graph.Add(scale, 1.0)), shift)
        y = graph.linear(graph.silu(graph.linear(y, f"{layer}.enter")), f"{layer}.leave")
        x = graph.Add(x, graph.Mul(gate, y))
    found = graph.linear(_plain_norm(graph, x, network), f"{name}.leave")
    names["head"] = graph.save(folder / "head.onnx", velocity=found)


def _plain_norm(graph: Graph, x: str, network: Velocity) -> str:
    ones = np.ones(network.x.out_features, np.float32)
    return str(graph.LayerNormalization(x, ones, 0 * ones, epsilon=1e-5))


def _flow(folder: Path, model: SpeechLM, head: FlowHead, shapes: Shapes, names: Names) -> None:
    """The states and the past of a step once; and `FlowHead.velocity`, at every time of its own."""
    sizes, (patch, dims) = model.config.local, head.shape
    graph = Graph(shapes)
    hidden = graph.input("hidden", np.float32, "rows", patch, model.config.width)
    before = graph.input("before", np.float32, "rows", "before", dims)
    states, past = graph.linear(hidden, "head.state"), graph.linear(before, "head.clean")
    names["head"] = graph.save(folder / "head.onnx", states=states, past=past)
    graph = Graph(shapes)
    x = graph.input("x", np.float32, "rows", patch, dims)
    t = graph.input("t", np.float32, "rows")
    known = graph.input("states", np.float32, "rows", patch, sizes.width)
    past = graph.input("past", np.float32, "rows", head.history * patch, sizes.width)
    now = graph.Add(graph.linear(x, "head.noisy"), known)
    now = graph.Add(now, graph.Unsqueeze(parts.clock(graph, t, head.time, "head.time"), [1]))
    seen = graph.Add(graph.Concat(past, now, axis=1), graph.weight("head.places"))
    seen = parts.encoder(graph, seen, "head.body", sizes)
    begin = head.history * patch
    seen = graph.Slice(seen, [begin], [begin + patch], [1])
    names["inner"] = graph.save(folder / "inner.onnx", velocity=graph.linear(seen, "head.leave"))
