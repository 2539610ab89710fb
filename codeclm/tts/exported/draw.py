"""Drawing a step in numpy: `tts.draw` and the `sample` of every head, over exported networks.

The same numbers in the same order from the same generators, so that a seed says the same in both.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codeclm.tts.exported.memory import Memory, Run
from codeclm.tts.past import Past
from codeclm.tts.sampling import Sampling

Array = NDArray[Any]


class Draw:
    """`tts.draw.Draw` over arrays.

    Args:
        each: one sampling for each stream.
        pasts: of the sentences; each has as many rows as the others.
    """

    def __init__(self, each: Sequence[Sampling], pasts: Sequence[Past]) -> None:
        self.each, self.pasts = each, pasts
        self.alike = each[0].window == 0 and all(how is each[0] or how == each[0] for how in each)
        self.guided = each[0].guidance != 1.0

    def codes(self, logits: Array, digits: Sequence[int], stream: int | None = None) -> Array:
        """Codes [B, K] from scores [B, K, n, L], or [B] from those [B, n, L] of one stream."""
        if stream is None:
            if self.alike:
                return _code(self._classes(logits, 0), digits)
            each = [self.codes(logits[:, k], digits, k) for k in range(logits.shape[1])]
            return np.stack(each, axis=-1)
        codes = _code(self._classes(logits, stream), digits)
        again = self._repeated(codes, stream)
        if again.any():
            half = logits[: len(logits) // 2] if self.guided else logits
            codes = np.where(again, _code(self._twice(self._pick(half)), digits), codes)
        return codes

    def last(self, count: int) -> list[Array]:
        """The last steps [B, C], so many of them if there were."""
        steps = [past.steps[len(past.steps) - min(count, len(past.steps)) :] for past in self.pasts]
        return [np.stack(step) for step in zip(*steps, strict=True)]

    def normal(self, *shape: int) -> Array:
        """Normal noise [rows, ...]; with guidance the two halves of the rows are to share it."""
        return self._noise("standard_normal", shape)

    def _classes(self, logits: Array, stream: int) -> Array:
        how = self.each[stream]
        if self.guided:
            half, without = np.split(logits, 2)
            with np.errstate(invalid="ignore"):  # what does not exist is -inf on both sides
                logits = without + np.float32(how.guidance) * (half - without)
            logits = np.where(half == -np.inf, -np.inf, logits)
            if how.guide_top_k:
                logits = np.where(_below_top(logits, how.guide_top_k), -np.inf, half)
        return self._twice(self._pick(truncate(logits, how)))

    def _twice(self, drawn: Array) -> Array:
        return np.concatenate([drawn, drawn]) if self.guided else drawn

    def _repeated(self, codes: Array, stream: int) -> Array:
        how = self.each[stream]
        if not how.window:
            return np.zeros(len(codes), bool)
        often = [
            past.share(stream, int(code), how.window) > how.repeats
            for past, code in zip(self.pasts, codes.tolist(), strict=False)  # half of them, guided
        ]
        return np.array(often * (len(codes) // len(often)))

    def _pick(self, logits: Array) -> Array:
        """One index by lot for every row of scores [..., V]."""
        within = softmax(logits).cumsum(-1)
        lot = self._noise("random", logits.shape[:-1])[..., None]
        picked = (within <= lot * within[..., -1:]).sum(-1)
        found: Array = np.minimum(picked, logits.shape[-1] - 1)
        return found

    def _noise(self, kind: str, shape: tuple[int, ...]) -> Array:
        each = (shape[0] // len(self.pasts), *shape[1:])
        noise: list[Array] = [
            getattr(past.rng, kind)(each, dtype=np.float32) for past in self.pasts
        ]
        return noise[0] if len(noise) == 1 else np.concatenate(noise)


def truncate(logits: Array, how: Sampling) -> Array:
    """`tts.draw.truncate`: scores [..., V], minus infinity for what must not be drawn."""
    if how.temperature == 0:
        best = np.full_like(logits, -np.inf)
        np.put_along_axis(best, logits.argmax(-1)[..., None], 0.0, -1)
        return best
    logits = logits / np.float32(how.temperature)
    if how.top_k:
        logits = np.where(_below_top(logits, how.top_k), -np.inf, logits)
    if how.min_p:
        least = logits.max(-1, keepdims=True) + np.float32(math.log(how.min_p))
        logits = np.where(logits < least, -np.inf, logits)
    if how.top_p < 1:
        order = np.argsort(-logits, axis=-1, kind="stable")
        shares = softmax(np.take_along_axis(logits, order, -1))
        beyond = np.empty(logits.shape, bool)
        np.put_along_axis(beyond, order, shares.cumsum(-1) - shares >= how.top_p, -1)
        logits = np.where(beyond, -np.inf, logits)
    return logits


def softmax(logits: Array) -> Array:
    """Over the last axis."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    found: Array = powers / powers.sum(-1, keepdims=True)
    return found


def _below_top(logits: Array, k: int) -> Array:
    k = min(k, logits.shape[-1])
    found: Array = logits < np.partition(logits, -k, axis=-1)[..., -k, None]
    return found


def _code(index: Array, digits: Sequence[int]) -> Array:
    """Levels [..., n] as codes [...]."""
    if len(digits) == 1:
        return index[..., 0]
    found: Array = index @ np.cumprod([1, *digits[:-1]])
    return found


Head = Callable[[Array, Array, Sequence[int], Draw], Array]  # as `Head.sample`


def make_head(facts: dict[str, Any], run: Run, inner: Run | None, memory: Memory | None) -> Head:
    """The `sample` of a head: hidden [B, D] and marks [B, C] of streams [C] to slots [B, C]."""
    found: Head = {
        "linear": _linear,
        "depth": _depth,
        "masked": _masked,
        "consistency": _consistency,
        "flow": _flow,
    }[facts["kind"]](facts, run, inner, memory)
    return found


def _linear(facts: dict[str, Any], run: Run, *_: Any) -> Head:
    def sample(hidden: Array, slots: Array, streams: Sequence[int], draw: Draw) -> Array:
        scores = scores_of(facts, run, hidden, streams)
        if facts["whole"]:
            drawn = draw.codes(scores, facts["digits"])
        else:
            drawn = draw.codes(scores[:, 0], facts["digits"], streams[0])[:, None]
        return np.where(slots < 0, slots, drawn)

    return sample


def scores_of(facts: Mapping[str, Any], run: Run, hidden: Array, streams: Sequence[int]) -> Array:
    """Scores [B, C, n, L] of the linear head."""
    if facts["whole"]:
        return run(hidden=hidden)["logits"]
    return run(hidden=hidden, stream=np.array(streams[0]))["logits"][:, None]


def _depth(facts: dict[str, Any], run: Run, inner: Any, memory: Any) -> Head:
    def sample(hidden: Array, slots: Array, streams: Sequence[int], draw: Draw) -> Array:
        first = run(hidden=hidden)
        drawn, before = np.array(slots), first["projected"][:, None]
        cache = memory.start(len(hidden))
        logits = first["logits"]
        for k in range(slots.shape[1]):
            codes = draw.codes(logits, facts["digits"], k)
            drawn[:, k] = np.where(slots[:, k] < 0, slots[:, k], codes)
            if k + 1 < slots.shape[1]:
                given = {"before": before, "code": drawn[:, k], "stream": np.array(k)}
                logits = memory.step(inner, given, cache, before.shape[1] + 1)["logits"]
                before = before[:, :0]
        return drawn

    return sample


def _masked(facts: dict[str, Any], run: Run, *_: Any) -> Head:
    def sample(hidden: Array, slots: Array, streams: Sequence[int], draw: Draw) -> Array:
        known, covered = np.array(slots), slots >= 0
        total, rounds = int(covered[0].sum()), facts["rounds"]
        for number in range(1, rounds + 1):
            logits = run(hidden=hidden, slots=known, covered=covered)["logits"]
            guess = draw.codes(logits, facts["digits"])
            left = math.floor(total * math.cos(math.pi / 2 * number / rounds) + 1e-6)
            open_now = int(covered[0].sum()) - left
            if open_now <= 0:
                continue
            sure = -cost(logits, guess, facts["digits"])
            if draw.guided:
                sure = np.concatenate([np.split(sure, 2)[0]] * 2)
            best = np.argsort(np.where(covered, -sure, np.inf), axis=1, kind="stable")
            chosen = np.zeros_like(covered)
            np.put_along_axis(chosen, best[:, :open_now], True, 1)
            known = np.where(chosen, guess, known)
            covered = covered & ~chosen
        return known

    return sample


def cost(logits: Array, codes: Array, digits: Sequence[int]) -> Array:
    """`Classes.cost`: nats [...] of codes [...] under scores [..., n, L]; marks cost nothing."""
    index = codes.clip(0)[..., None] // np.cumprod([1, *digits[:-1]]) % np.array(digits)
    peak = logits.max(-1, keepdims=True)
    total = np.log(np.exp(logits - peak).sum(-1)) + peak[..., 0]
    nats = (total - np.take_along_axis(logits, index[..., None], -1)[..., 0]).sum(-1)
    return np.where(codes < 0, np.float32(0), nats)


def _consistency(facts: dict[str, Any], run: Run, *_: Any) -> Head:
    def sample(hidden: Array, slots: Array, streams: Sequence[int], draw: Draw) -> Array:
        how = draw.each[0]
        if draw.guided:
            spoken, silent = np.split(hidden, 2)
            hidden = silent + np.float32(how.guidance) * (spoken - silent)
        scale = how.noise * math.sqrt(how.temperature)
        x: Array = np.float32(scale) * draw.normal(len(hidden), slots.shape[1])
        for s, t in pairwise(how.times(facts["steps"])):
            since, until = (np.full(len(x), time, np.float32) for time in (s, t))
            v = run(x=x, since=since, until=until, hidden=hidden)["velocity"]
            x = x + np.float32(t - s) * v
        return np.concatenate([x, x]) if draw.guided else x

    return sample


def _flow(facts: dict[str, Any], run: Run, inner: Any, *_: Any) -> Head:
    (patch, dims), history = facts["shape"], facts["history"]

    def sample(hidden: Array, slots: Array, streams: Sequence[int], draw: Draw) -> Array:
        how, rows = draw.each[0], len(hidden)
        last = draw.last(history)
        before = np.concatenate(
            [step.reshape(rows, patch, dims) for step in last]
            or [np.zeros((rows, 0, dims), np.float32)],
            axis=1,
        )
        read = run(hidden=hidden.reshape(rows, patch, -1), before=before)
        states, past = read["states"], read["past"]
        missing = (history - len(last)) * patch
        past = np.concatenate([np.zeros((rows, missing, past.shape[2]), np.float32), past], axis=1)
        if draw.guided:
            unknown = np.broadcast_to(facts["unknown"], states.shape)
            states, past = np.concatenate([states, unknown]), np.concatenate([past, past])

        def velocity(x: Array, t: float) -> Array:
            both = np.concatenate([x, x]) if draw.guided else x
            at = np.full(len(both), t, np.float32)
            v: Array = inner(x=both, t=at, states=states, past=past)["velocity"]
            if not draw.guided:
                return v
            with_text, without = np.split(v, 2)
            found: Array = without + np.float32(how.guidance) * (with_text - without)
            return found

        noise: Array = np.float32(how.noise) * draw.normal(rows, patch, dims)
        x, start = noise, 0.0
        if how.temperature < 1:
            x = np.zeros_like(noise)
            if how.temperature > 0:
                start = 1 - how.temperature
                x = noise + np.float32(start) * (velocity(x, 0.0) - noise)
        times = [start + (1 - start) * time for time in how.times(facts["steps"])]
        for t, following in pairwise(times):
            x = x + np.float32(following - t) * velocity(x, t)
        return x.reshape(rows, -1)

    return sample
