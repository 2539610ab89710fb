"""When each token of a transcript sounds in a recording, by the model's own likelihood.

The model is led through the recording with the text at several places at once. Each frame costs
what its codes and the chance to move on cost there, and the cheapest few places go on: a Viterbi
search in which each place keeps the memory of the way that led to it.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from codeclm.tts.runtime import Network

BEAM = 12  # places


class Way(NamedTuple):
    """A way through the text to a place in it."""

    cost: float  # in nats
    spent: tuple[int, ...]  # frames of each token so far; the last one sounds now
    row: int = 0  # of the cache that it goes on in

    @property
    def token(self) -> int:
        """That sounds now."""
        return len(self.spent) - 1


def follow(
    network: "Network", ids: Sequence[int], tokens: NDArray[Any], beam: int = BEAM
) -> tuple[int, ...]:
    """Frames that each token of a text lasts in a recording [K, T] of it.

    Args:
        network: of a model that reads its text as a stream, and takes at most a frame a step.
        ids: of the text.
        tokens: token matrix of the recording.
        beam: places that are looked at.

    Raises:
        ValueError: the text has more sounds than the recording has frames.
    """
    grid, frames, count = network.grid, tokens.shape[1], len(ids)
    if frames < count:
        raise ValueError(
            f"the transcript has {count} sounds, and the recording only {frames} frames: is this "
            "what is said in it?"
        )
    slots, text, cache = network.pack(tokens), network.text(ids), network.start()
    before = np.full_like(slots[0], network.marks[0])
    ways = [Way(0.0, (0,))]
    for step, wanted in enumerate(slots[: grid.period * frames]):
        rows = len(ways)
        token, age = np.array([(way.token, way.spent[-1]) for way in ways]).T
        given = np.stack([before] * rows), np.full(rows, step)
        state = network.step(*given, [text] * rows, token, age, cache)
        chance = network.advance(state, 0, [text] * rows, token, age)
        cost = network.surprise(state, wanted, grid.cells(step)[0])
        ways = [
            Way(way.cost + nats, way.spent, row)
            for row, (way, nats) in enumerate(zip(ways, cost.tolist(), strict=True))
        ]
        if step % grid.period == grid.period - 1:
            left = frames - 1 - step // grid.period
            ways = _branch(ways, chance.tolist(), count, left)[:beam]
            cache = cache.part([way.row for way in ways])
        before = wanted
    return ways[0].spent[:count]


def sounding(spent: Sequence[int], frames: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Which token sounds in each of these frames [...], and since how many of them.

    Args:
        spent: frames that each token lasts.
        frames: numbers of frames; past the end there is no token, which is written -1, of age 0.
    """
    ends = np.cumsum(spent)
    token = np.searchsorted(ends, frames, side="right")
    past = token == len(ends)
    age = frames - (ends - spent)[np.minimum(token, len(ends) - 1)]
    return np.where(past, -1, token), np.where(past, 0, age)


def _branch(ways: Sequence[Way], chances: Sequence[float], count: int, left: int) -> list[Way]:
    """The best way to each place from which `count` tokens fit in the frames left, best first."""
    best: dict[int, Way] = {}
    for way, chance in zip(ways, chances, strict=True):
        *earlier, last = way.spent
        longer = (*earlier, last + 1)
        stay = Way(way.cost - math.log(max(1e-12, 1 - chance)), longer, way.row)
        move = Way(way.cost - math.log(max(1e-12, chance)), (*longer, 0), way.row)
        for other in (stay, move):
            place, known = other.token, best.get(other.token)
            possible = place == count if left == 0 else count - left <= place < count
            if possible and (known is None or other.cost < known.cost):
                best[place] = other
    return sorted(best.values(), key=lambda way: way.cost)
