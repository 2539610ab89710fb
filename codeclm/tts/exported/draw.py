"""The `sample` of every head that can be exported, over its networks in ONNX Runtime."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codeclm.tts.draw import Draw, along_flow, along_map, in_order, in_rounds
from codeclm.tts.exported.memory import Memory, Session

Array = NDArray[Any]
Facts = Mapping[str, Any]  # as `heads.write` gives them
Graphs = Mapping[str, Session]
Head = Callable[[Array, Array, Sequence[int], Draw], Array]  # as `Head.sample`


def make_head(facts: Facts, graphs: Graphs, weights: Mapping[str, Array]) -> Head:
    """The `sample` of a head: hidden [B, D] and marks [B, C] of streams [C] to slots [B, C]."""
    if facts["kind"] == "flow":
        return _flow(facts, graphs, weights["head.unknown"])
    kinds = {"linear": _linear, "depth": _depth, "masked": _masked, "consistency": _consistency}
    return kinds[facts["kind"]](facts, graphs)


def _linear(facts: Facts, graphs: Graphs) -> Head:
    def sample(hidden: Array, slots: Array, streams: Sequence[int], draw: Draw) -> Array:
        scores, stream = scores_of(facts, graphs, hidden, streams), None
        if not facts["whole"]:
            scores, stream = scores[:, 0], streams[0]
        codes: Array = draw.codes(scores, facts["digits"], stream)
        return np.where(slots < 0, slots, codes.reshape(slots.shape))

    return sample


def scores_of(facts: Facts, graphs: Graphs, hidden: Array, streams: Sequence[int]) -> Array:
    """Scores [B, C, n, L] of the linear head."""
    if facts["whole"]:
        return graphs["head"](hidden=hidden)["logits"]
    return graphs["head"](hidden=hidden, stream=np.array(streams[0]))["logits"][:, None]


def _depth(facts: Facts, graphs: Graphs) -> Head:
    memory = Memory(facts["shape"])

    def sample(hidden: Array, slots: Array, streams: Sequence[int], draw: Draw) -> Array:
        first, cache = graphs["head"](hidden=hidden), memory.start(len(hidden))

        def scores(k: int, code: Array) -> Array:
            if k == 0:
                return first["logits"]
            before = first["projected"][:, None][:, : int(k == 1)]
            given = {"before": before, "code": code, "stream": np.array(k - 1)}
            return memory.step(graphs["inner"], given, cache, before.shape[1] + 1)["logits"]

        return in_order(draw, slots, scores, facts["digits"])

    return sample


def _masked(facts: Facts, graphs: Graphs) -> Head:
    digits = facts["digits"]

    def sample(hidden: Array, slots: Array, streams: Sequence[int], draw: Draw) -> Array:
        def scores(known: Array, covered: Array) -> Array:
            return graphs["head"](hidden=hidden, slots=known, covered=covered)["logits"]

        nats = partial(cost, digits=digits)
        return in_rounds(draw, slots, facts["rounds"], scores, nats, digits)

    return sample


def cost(logits: Array, codes: Array, digits: Sequence[int]) -> Array:
    """`Classes.cost`: nats [...] of codes [...] under scores [..., n, L]; marks cost nothing."""
    index = codes.clip(0)[..., None] // np.cumprod([1, *digits[:-1]]) % np.array(digits)
    peak = logits.max(-1, keepdims=True)
    total = np.log(np.exp(logits - peak).sum(-1)) + peak[..., 0]
    nats = (total - np.take_along_axis(logits, index[..., None], -1)[..., 0]).sum(-1)
    return np.where(codes < 0, np.float32(0), nats)


def _consistency(facts: Facts, graphs: Graphs) -> Head:
    def velocity(x: Array, s: float, t: float, hidden: Array) -> Array:
        since, until = (np.full(len(x), time, np.float32) for time in (s, t))
        return graphs["head"](x=x, since=since, until=until, hidden=hidden)["velocity"]

    def sample(hidden: Array, slots: Array, streams: Sequence[int], draw: Draw) -> Array:
        return along_map(draw, hidden, slots.shape[1], facts["steps"], velocity)

    return sample


def _flow(facts: Facts, graphs: Graphs, unknown: Array) -> Head:
    (patch, dims), history = facts["shape"], facts["history"]

    def sample(hidden: Array, slots: Array, streams: Sequence[int], draw: Draw) -> Array:
        rows, last = len(hidden), draw.last(history)
        steps = [step.reshape(rows, patch, dims) for step in last]
        before = np.concatenate([np.zeros((rows, 0, dims), np.float32), *steps], axis=1)
        read = graphs["head"](hidden=hidden.reshape(rows, patch, -1), before=before)
        states, past = read["states"], read["past"]
        missing = np.zeros((rows, (history - len(last)) * patch, past.shape[2]), np.float32)
        past = draw.twice(np.concatenate([missing, past], axis=1))
        if draw.guided:
            states = np.concatenate([states, np.broadcast_to(unknown, states.shape)])

        def velocity(x: Array, t: float) -> Array:
            at = np.full(len(x), t, np.float32)
            return graphs["inner"](x=x, t=at, states=states, past=past)["velocity"]

        return along_flow(draw, (rows, patch, dims), facts["steps"], velocity)

    return sample
