"""The heads that can be exported, over their networks in ONNX Runtime."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codeclm.tts.draw import Draw, along_flow, along_map, in_order, in_rounds
from codeclm.tts.exported.memory import Memory, Session

Array = NDArray[Any]


class OnnxHead:
    """`sample`, as that of `tts.heads.Head`, has a method for every kind of head.

    Args:
        facts: as `exported.heads.make` gives them.
        graphs: the sessions by name.
        weights: of the model, by name.
    """

    def __init__(
        self, facts: Mapping[str, Any], graphs: Mapping[str, Session], weights: Mapping[str, Array]
    ) -> None:
        self.facts, self.kind, self.digits = facts, facts["kind"], facts.get("digits", ())
        self.head, self.inner = graphs["head"], graphs.get("inner", graphs["head"])
        self.unknown = weights.get("head.unknown")  # of `flow`
        self.memory = Memory(facts["shape"]) if self.kind == "depth" else None

    def sample(self, hidden: Array, slots: Array, streams: Sequence[int], draw: Draw) -> Array:
        """Hidden states [B, D] and marks [B, C] of streams [C] to slots [B, C]."""
        if self.kind == "linear":
            return self._linear(hidden, slots, streams, draw)
        kinds = {
            "depth": self._depth,
            "masked": self._masked,
            "consistency": self._consistency,
            "flow": self._flow,
        }
        return kinds[self.kind](hidden, slots, draw)

    def _scores(self, hidden: Array, streams: Sequence[int]) -> Array:
        """Scores [B, C, n, L] of the head `linear`."""
        if self.facts["whole"]:
            return self.head(hidden=hidden)["logits"]
        return self.head(hidden=hidden, stream=np.array(streams[0]))["logits"][:, None]

    def _linear(self, hidden: Array, slots: Array, streams: Sequence[int], draw: Draw) -> Array:
        scores, stream = self._scores(hidden, streams), None
        if not self.facts["whole"]:
            scores, stream = scores[:, 0], streams[0]
        codes: Array = draw.codes(scores, self.digits, stream)
        return np.where(slots < 0, slots, codes.reshape(slots.shape))

    def _depth(self, hidden: Array, slots: Array, draw: Draw) -> Array:
        assert self.memory is not None
        memory, first, cache = self.memory, self.head(hidden=hidden), self.memory.start(len(hidden))

        def scores(k: int, code: Array) -> Array:
            if k == 0:
                return first["logits"]
            before = first["projected"][:, None][:, : int(k == 1)]
            given = {"before": before, "code": code, "stream": np.array(k - 1)}
            return memory.step(self.inner, given, cache, before.shape[1] + 1)["logits"]

        return in_order(draw, slots, scores, self.digits)

    def _masked(self, hidden: Array, slots: Array, draw: Draw) -> Array:
        def scores(known: Array, covered: Array) -> Array:
            return self.head(hidden=hidden, slots=known, covered=covered)["logits"]

        nats = partial(cost, digits=self.digits)
        return in_rounds(draw, slots, self.facts["rounds"], scores, nats, self.digits)

    def _consistency(self, hidden: Array, slots: Array, draw: Draw) -> Array:
        def velocity(x: Array, s: float, t: float, hidden: Array) -> Array:
            since, until = (np.full(len(x), time, np.float32) for time in (s, t))
            return self.head(x=x, since=since, until=until, hidden=hidden)["velocity"]

        return along_map(draw, hidden, slots.shape[1], self.facts["steps"], velocity)

    def _flow(self, hidden: Array, slots: Array, draw: Draw) -> Array:
        rows, (patch, dims), history = len(hidden), self.facts["shape"], self.facts["history"]
        last = [step.reshape(rows, patch, dims) for step in draw.last(history)]
        before = np.concatenate([np.zeros((rows, 0, dims), np.float32), *last], axis=1)
        read = self.head(hidden=hidden.reshape(rows, patch, -1), before=before)
        states, past = read["states"], read["past"]
        missing = np.zeros((rows, (history - len(last)) * patch, past.shape[2]), np.float32)
        past = draw.twice(np.concatenate([missing, past], axis=1))
        if draw.guided:
            assert self.unknown is not None
            states = np.concatenate([states, np.broadcast_to(self.unknown, states.shape)])

        def velocity(x: Array, t: float) -> Array:
            at = np.full(len(x), t, np.float32)
            return self.inner(x=x, t=at, states=states, past=past)["velocity"]

        return along_flow(draw, (rows, patch, dims), self.facts["steps"], velocity)


def cost(logits: Array, codes: Array, digits: Sequence[int]) -> Array:
    """`Classes.cost`: nats [...] of codes [...] under scores [..., n, L]; marks cost nothing."""
    index = codes.clip(0)[..., None] // np.cumprod([1, *digits[:-1]]) % np.array(digits)
    peak = logits.max(-1, keepdims=True)
    total = np.log(np.exp(logits - peak).sum(-1)) + peak[..., 0]
    nats = (total - np.take_along_axis(logits, index[..., None], -1)[..., 0]).sum(-1)
    return np.where(codes < 0, np.float32(0), nats)
