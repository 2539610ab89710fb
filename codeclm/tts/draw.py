"""Drawing a step: what `Sampling` says, done to the scores and velocities of a head's networks.

It is written once for both runtimes: an `Array` is a tensor of torch or an array of numpy. Every
sentence has a `Past` of its own, its random numbers and what it drew last, so that it sounds the
same alone and beside others.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

from codeclm.tts.past import Past
from codeclm.tts.sampling import Sampling

Array = Any
A = TypeVar("A", bound=Any)  # the same, in and out


class Draw:
    """Draws one step of some sentences.

    With guidance the rows come twice: first all with text and voice, then all without. Both halves
    get the same draw.

    Args:
        each: one sampling for each stream.
        pasts: of the sentences; each has as many rows as the others.
        xp: whose arrays are drawn: `torch` or `numpy`.
    """

    def __init__(self, each: Sequence[Sampling], pasts: Sequence[Past], xp: Any) -> None:
        self.each, self.pasts, self.xp = each, pasts, xp
        self.alike = each[0].window == 0 and all(how is each[0] or how == each[0] for how in each)
        self.guided = each[0].guidance != 1.0

    def codes(self, logits: Array, digits: Sequence[int], stream: int | None = None) -> Array:
        """Codes [B, K] from scores [B, K, n, L], or [B, ...] from those [B, ..., n, L] of a stream.

        Args:
            logits: of the n digits of the next codes.
            digits: [n], how many values each can have.
            stream: its number; None: all of them.
        """
        if stream is None and not self.alike:
            each = [self.codes(logits[:, k], digits, k) for k in range(logits.shape[1])]
            return self.xp.stack(each, -1)
        codes = _code(self.classes(logits, stream or 0), digits)
        again = self.repeated(codes, stream or 0)
        if any(again):
            half = _halves(logits)[0] if self.guided else logits
            anew = _code(self.twice(self._pick(half)), digits)
            codes = self.xp.where(self.xp.asarray(again), anew, codes)
        return codes

    def classes(self, logits: Array, stream: int = 0) -> Array:
        """Draws from scores [B, ..., V]; the indices [B, ...]."""
        how, where = self.each[stream], self.xp.where
        if self.guided:
            half, without = _halves(logits)
            with np.errstate(invalid="ignore"):  # what does not exist is -inf on both sides
                logits = where(half == -math.inf, half, _guided(half, without, how))
            if how.guide_top_k:
                logits = where(_below_top(logits, how.guide_top_k), -math.inf, half)
        return self.twice(self._pick(self.truncate(logits, how)))

    def truncate(self, logits: Array, how: Sampling) -> Array:
        """Scores [..., V] at a temperature, minus infinity for what must not be drawn."""
        xp = self.xp
        if how.temperature == 0:
            best = logits.argmax(-1)[..., None] == xp.arange(logits.shape[-1])
            return xp.where(best, 0.0, -math.inf)
        logits = logits / how.temperature
        if how.top_k:
            logits = xp.where(_below_top(logits, how.top_k), -math.inf, logits)
        if how.min_p:
            least = xp.amax(logits, -1)[..., None] + math.log(how.min_p)
            logits = xp.where(logits < least, -math.inf, logits)
        if how.top_p < 1:
            ordered, order = _sorted(logits)
            shares = _softmax(ordered)
            beyond = shares.cumsum(-1) - shares >= how.top_p  # the first that crosses it stays
            logits = xp.where(_unsorted(beyond, order), -math.inf, logits)
        return logits

    def repeated(self, codes: Array, stream: int) -> list[bool]:
        """Which of the codes have been said too often lately; only a step's [B] can have been."""
        how = self.each[stream]
        if not how.window or codes.ndim > 1:
            return []
        often = [
            past.share(stream, int(code), how.window) > how.repeats
            for past, code in zip(self.pasts, codes.tolist(), strict=False)  # half of them, guided
        ]
        return often * (len(codes) // len(often))

    def last(self, count: int) -> list[Array]:
        """The last steps [B, C], so many of them if there were."""
        steps = [past.steps[len(past.steps) - min(count, len(past.steps)) :] for past in self.pasts]
        return [self.xp.asarray(np.stack(step)) for step in zip(*steps, strict=True)]

    def normal(self, *shape: int) -> Array:
        """Normal noise [rows, ...]; with guidance the two halves of the rows are to share it."""
        return self._noise("standard_normal", shape)

    def twice(self, drawn: Array) -> Array:
        """The same for both halves of the rows, where there are two."""
        return self.xp.concatenate([drawn, drawn]) if self.guided else drawn

    def _pick(self, logits: Array) -> Array:
        """One index by lot for every row of scores [..., V]."""
        within = _softmax(logits).cumsum(-1)
        lot = self._noise("random", logits.shape[:-1])[..., None]
        return (within <= lot * within[..., -1:]).sum(-1).clip(0, logits.shape[-1] - 1)

    def _noise(self, kind: str, shape: Sequence[int]) -> Array:
        each = (shape[0] // len(self.pasts), *shape[1:])
        noise = [getattr(past.rng, kind)(each, dtype=np.float32) for past in self.pasts]
        return self.xp.asarray(noise[0] if len(noise) == 1 else np.concatenate(noise))


# How the heads draw a step; `tts.heads` says what their networks are.


def in_order(draw: Draw, slots: A, scores: Callable[[int, A], A], digits: Sequence[int]) -> A:
    """`depth`: slot after slot; `scores` [B, n, L] of slot k know the code drawn before it."""
    drawn: list[A] = []
    for k in range(slots.shape[1]):
        codes = draw.codes(scores(k, drawn[-1] if k else slots), digits, k)
        drawn.append(draw.xp.where(slots[:, k] < 0, slots[:, k], codes))
    step: A = draw.xp.stack(drawn, -1)
    return step


def in_rounds(
    draw: Draw,
    slots: A,
    rounds: int,
    scores: Callable[[A, A], A],
    cost: Callable[[A, A], A],
    digits: Sequence[int],
) -> A:
    """`masked`: in each round those slots are uncovered that cost least.

    `scores` [B, K, n, L] are of slots [B, K] and which of them are known; `cost` [B, K] of scores
    and codes.
    """
    xp, known, covered = draw.xp, slots, slots >= 0
    total = int(covered[0].sum())  # rows of a batch are at the same step
    for number in range(1, rounds + 1):
        logits = scores(known, covered)
        guess = draw.codes(logits, digits)
        left = math.floor(total * math.cos(math.pi / 2 * number / rounds) + 1e-6)
        open_now = int(covered[0].sum()) - left
        if open_now <= 0:
            continue
        sure = -cost(logits, guess)
        if draw.guided:
            sure = draw.twice(_halves(sure)[0])
        best = _top(xp.where(covered, sure, -math.inf), open_now)
        chosen = (best[..., None] == xp.arange(slots.shape[1])).any(1)
        known = xp.where(chosen, guess, known)
        covered = covered & ~chosen
    return known


def along_map(
    draw: Draw, hidden: A, dims: int, steps: int, velocity: Callable[[A, float, float, A], A]
) -> A:
    """`consistency`: from noise to latents [B, dims], by mean velocities from time s to t."""
    how = draw.each[0]
    if draw.guided:
        hidden = _guided(*_halves(hidden), how)
    x: A = how.noise * math.sqrt(how.temperature) * draw.normal(len(hidden), dims)
    for s, t in pairwise(how.times(steps)):
        x = x + (t - s) * velocity(x, s, t, hidden)
    found: A = draw.twice(x)
    return found


def along_flow(
    draw: Draw, shape: tuple[int, ...], steps: int, velocity: Callable[[A, float], A]
) -> A:
    """`flow`: Euler steps from noise [B, P, dims] to latents [B, P * dims].

    With guidance the velocity is asked of all rows twice, first with their states, then without.
    """
    how = draw.each[0]

    def moved(x: A, t: float) -> A:
        v: A = velocity(draw.twice(x), t)
        if draw.guided:
            v = _guided(*_halves(v), how)
        return v

    noise: A = how.noise * draw.normal(*shape)
    x, start = noise, 0.0
    if how.temperature < 1:
        x = draw.xp.zeros_like(noise)
        if how.temperature > 0:
            start = 1 - how.temperature
            x = _lerp(noise, moved(x, 0.0), start)
    for t, following in pairwise(start + (1 - start) * time for time in how.times(steps)):
        x = x + (following - t) * moved(x, t)
    found: A = x.reshape(len(x), -1)
    return found


def _guided(told: Array, without: Array, how: Sampling) -> Array:
    return without + how.guidance * (told - without)


def _halves(x: Array) -> tuple[Array, Array]:
    return x[: len(x) // 2], x[len(x) // 2 :]


def _code(index: Array, digits: Sequence[int]) -> Array:
    """Levels [..., n] as codes [...]."""
    code, place = index[..., 0], 1
    for i, size in enumerate(digits[:-1]):
        place *= size
        code = code + place * index[..., i + 1]
    return code


# What numpy and torch have under names of their own.


def _softmax(x: Array) -> Array:
    if not isinstance(x, np.ndarray):
        return x.softmax(-1)
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def _below_top(x: Array, k: int) -> Array:
    """Which of [..., V] are less than the k largest."""
    k = min(k, x.shape[-1])
    if isinstance(x, np.ndarray):
        return x < np.partition(x, -k, axis=-1)[..., -k, None]
    return x < x.topk(k).values[..., -1:]


def _top(x: Array, k: int) -> Array:
    """Where the k largest of [..., V] are."""
    if isinstance(x, np.ndarray):
        return np.argsort(-x, axis=-1, kind="stable")[..., :k]
    return x.topk(k).indices


def _sorted(x: Array) -> tuple[Array, Array]:
    """[..., V] from the largest on, and where these were."""
    if not isinstance(x, np.ndarray):
        return tuple(x.sort(-1, descending=True))
    order = np.argsort(-x, axis=-1, kind="stable")
    return np.take_along_axis(x, order, -1), order


def _unsorted(x: Array, order: Array) -> Array:
    """Back to where they were before `_sorted`."""
    if not isinstance(x, np.ndarray):
        return x.scatter(-1, order, x)
    found = np.empty_like(x)
    np.put_along_axis(found, order, x, -1)
    return found


def _lerp(x: Array, y: Array, share: float) -> Array:
    return x + share * (y - x) if isinstance(x, np.ndarray) else x.lerp(y, share)
