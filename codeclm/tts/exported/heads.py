"""The networks of the heads as graphs; `draw` says in which order they are run."""

from typing import Any

import numpy as np

from codeclm.tts.backbone import Shape, Sizes
from codeclm.tts.exported import decoder, parts
from codeclm.tts.exported.graph import Graph, Shapes
from codeclm.tts.heads import ConsistencyHead, DepthHead, FlowHead, LinearHead, MaskedHead
from codeclm.tts.model import SpeechLM

Made = dict[str, tuple[Graph, dict[str, str]]]  # graphs by name, with their outputs


def make(model: SpeechLM, shapes: Shapes) -> tuple[dict[str, Any], Made]:
    """What `draw` needs to know, and the graphs `head` and, where steps take several runs, `inner`.

    Raises:
        ValueError: the head cannot be exported.
    """
    head, width, local = model.head, model.config.width, model.config.local
    facts: dict[str, Any] = {"kind": model.config.head}
    if isinstance(head, LinearHead):
        whole = model.layout.slots == head.classes.streams
        made = _linear(head, width, whole, shapes)
        return facts | {"digits": head.classes.digits, "whole": whole}, made
    if isinstance(head, DepthHead):
        shape = Shape.of_sizes(local)
        decoder.check(shape)
        facts |= {"digits": head.first.digits, "shape": decoder.facts(shape)}
        return facts, _depth(head, width, shape, local, shapes)
    if isinstance(head, MaskedHead):
        facts |= {"digits": head.classes.digits, "rounds": head.rounds}
        return facts, _masked(head, width, local, shapes)
    if isinstance(head, ConsistencyHead):
        return facts | {"steps": head.steps}, _consistency(head, shapes)
    if isinstance(head, FlowHead):
        facts |= {"steps": head.steps, "shape": head.shape, "history": head.history}
        return facts, _flow(head, width, local, shapes)
    raise ValueError(
        f"head `{model.config.head}` cannot be exported: it goes over whole utterances"
    )


def _linear(head: LinearHead, width: int, whole: bool, shapes: Shapes) -> Made:
    graph = Graph(shapes)
    hidden = graph.input("hidden", np.float32, "rows", width)
    stream = None if whole else graph.input("stream", np.int64)
    scores = parts.logits(graph, hidden, head.classes, "head.classes", stream)
    return {"head": (graph, {"logits": scores})}


def _depth(head: DepthHead, width: int, shape: Shape, sizes: Sizes, shapes: Shapes) -> Made:
    """The first slot; then from what goes before it and the code of the last one, the next."""
    graph = Graph(shapes)
    hidden = graph.input("hidden", np.float32, "rows", width)
    scores = parts.logits(graph, hidden, head.first, "head.first", 0)
    first = graph, {"logits": scores, "projected": graph.linear(hidden, "head.project")}
    graph = Graph(shapes)
    before = graph.input("before", np.float32, "rows", "before", sizes.width)
    code, stream = graph.input("code", np.int64, "rows"), graph.input("stream", np.int64)
    read = parts.code(graph, code, stream, head.read, "head.read")
    x = graph.Concat(before, graph.Unsqueeze(read, [1]), axis=1)
    state, after = decoder.decoder(graph, x, shape, "head.body.")
    scores = parts.logits(graph, state, head.rest, "head.rest", stream)
    return {"head": first, "inner": (graph, {"logits": scores, **after})}


def _masked(head: MaskedHead, width: int, sizes: Sizes, shapes: Shapes) -> Made:
    """Scores of all slots, of which those covered are not seen."""
    graph, classes, streams = Graph(shapes), head.classes, head.classes.streams
    hidden = graph.input("hidden", np.float32, "rows", width)
    slots = graph.input("slots", np.int64, "rows", streams)
    covered = graph.input("covered", np.bool_, "rows", streams)
    codes = parts.code(graph, slots, np.arange(streams), head.read, "head.read")
    x = graph.Where(graph.Unsqueeze(covered, [-1]), "head.covered", codes)
    x = graph.Add(x, "head.places")
    x = graph.Add(x, graph.Unsqueeze(graph.linear(hidden, "head.project"), [1]))
    x = parts.encoder(graph, x, "head.body", sizes)
    # Slot k is classified by the rows of stream k alone: [K, N, d] times [K, d, n L].
    shape = [streams, len(classes.digits), max(classes.digits)]
    weight = graph.Reshape("head.classes.project.weight", [streams, shape[1] * shape[2], -1])
    bias = graph.Reshape("head.classes.project.bias", [streams, 1, shape[1] * shape[2]])
    x = graph.MatMul(graph.Transpose(x, perm=[1, 0, 2]), graph.Transpose(weight, perm=[0, 2, 1]))
    x = graph.Transpose(graph.Add(x, bias), perm=[1, 0, 2])
    scores = graph.Reshape(x, [-1, *shape])
    if classes.missing is not None:
        scores = graph.Where(classes.missing.numpy(), -np.inf, scores)
    return {"head": (graph, {"logits": scores})}


def _consistency(head: ConsistencyHead, shapes: Shapes) -> Made:
    """`Velocity`."""
    graph, network, name = Graph(shapes), head.velocity, "head.velocity"
    ones = np.ones(network.x.out_features, np.float32)
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
        y = graph.LayerNormalization(x, ones, 0 * ones, epsilon=1e-5)
        y = graph.Add(graph.Mul(y, graph.Add(scale, 1.0)), shift)
        y = graph.linear(graph.silu(graph.linear(y, f"{layer}.enter")), f"{layer}.leave")
        x = graph.Add(x, graph.Mul(gate, y))
    x = graph.LayerNormalization(x, ones, 0 * ones, epsilon=1e-5)
    return {"head": (graph, {"velocity": graph.linear(x, f"{name}.leave")})}


def _flow(head: FlowHead, width: int, sizes: Sizes, shapes: Shapes) -> Made:
    """The states and the past of a step once; and `FlowHead.velocity`, at every time of its own."""
    (patch, dims), begin = head.shape, head.history * head.shape[0]
    graph = Graph(shapes)
    hidden = graph.input("hidden", np.float32, "rows", patch, width)
    before = graph.input("before", np.float32, "rows", "before", dims)
    states, past = graph.linear(hidden, "head.state"), graph.linear(before, "head.clean")
    once = graph, {"states": states, "past": past}
    graph = Graph(shapes)
    x = graph.input("x", np.float32, "rows", patch, dims)
    t = graph.input("t", np.float32, "rows")
    known = graph.input("states", np.float32, "rows", patch, sizes.width)
    past = graph.input("past", np.float32, "rows", begin, sizes.width)
    now = graph.Add(graph.linear(x, "head.noisy"), known)
    now = graph.Add(now, graph.Unsqueeze(parts.clock(graph, t, head.time, "head.time"), [1]))
    seen = graph.Add(graph.Concat(past, now, axis=1), "head.places")
    seen = parts.encoder(graph, seen, "head.body", sizes)
    seen = graph.Slice(seen, [begin], [begin + patch], [1])
    return {"head": once, "inner": (graph, {"velocity": graph.linear(seen, "head.leave")})}
