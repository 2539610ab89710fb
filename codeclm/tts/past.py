"""What a sentence has behind it when a step is drawn: its random numbers, and what it drew last."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

REMEMBERED = 8  # steps


class Past:
    """Of one sentence.

    Args:
        seed: of its random numbers; or the numbers themselves, where sentences share them.

    Attributes:
        steps: the last ones drawn, [C] each.
    """

    def __init__(self, seed: int | np.random.Generator = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.steps: list[NDArray[Any]] = []
        self._codes: dict[int, list[int]] = {}

    def remember(self, drawn: NDArray[Any], streams: Sequence[int]) -> None:
        """Notes a step [C], of which these streams [C] are known by now; -1 for the others."""
        self.steps = [*self.steps, drawn][-REMEMBERED:]
        if drawn.dtype.kind == "i":
            for stream, code in zip(streams, drawn.tolist(), strict=True):
                if stream >= 0 and code >= 0:
                    self._codes.setdefault(stream, []).append(code)

    def forget(self) -> None:
        """Begins a sentence: what was drawn before is no longer last."""
        self.steps = []

    def share(self, stream: int, code: int, window: int) -> float:
        """How much of the last `window` codes of a stream this one has."""
        return self._codes.get(stream, [])[-window:].count(code) / window
