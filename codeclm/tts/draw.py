"""Drawing a step: what `Sampling` says, done to scores and noise.

Every sentence has a `Past` of its own, its random numbers and what it drew last, so that it sounds
the same alone and beside others.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codeclm.tts.past import Past
from codeclm.tts.sampling import Sampling


class Draw:
    """Draws one step of some sentences.

    With guidance the rows come twice: first all with text and voice, then all without. Both halves
    get the same draw.

    Args:
        each: one sampling for each stream.
        pasts: of the sentences; each has as many rows as the others.
    """

    def __init__(self, each: Sequence[Sampling], pasts: Sequence[Past]) -> None:
        self.each, self.pasts = each, pasts
        self.alike = len(set(self.each)) == 1 and self.each[0].window == 0
        self.guided = self.each[0].guidance != 1.0

    def classes(self, logits: Tensor, stream: int = 0) -> Tensor:
        """Draws from scores [B, ..., V]; the indices [B, ...]."""
        how = self.each[stream]
        if self.guided:
            half, without = logits.chunk(2)
            logits = without + how.guidance * (half - without)
            # A class that does not exist has minus infinity on both sides.
            logits = logits.masked_fill(half == -math.inf, -math.inf)
            if how.guide_top_k:
                logits = half.masked_fill(_below_top(logits, how.guide_top_k), -math.inf)
        drawn = self._pick(truncate(logits, how))
        return drawn.repeat(2, *[1] * (drawn.ndim - 1)) if self.guided else drawn

    def anew(self, logits: Tensor) -> Tensor:
        """Draws from the whole distribution [B, ..., V], guidance and truncation aside."""
        if self.guided:
            half = self._pick(logits.chunk(2)[0])
            return half.repeat(2, *[1] * (half.ndim - 1))
        return self._pick(logits)

    def repeated(self, codes: Tensor, stream: int) -> Tensor:
        """Which of the codes have been said too often lately; only a step's [B] can have been."""
        how = self.each[stream]
        if not how.window or codes.ndim > 1:
            return torch.zeros_like(codes, dtype=torch.bool)
        often = [
            past.share(stream, int(code), how.window) > how.repeats
            for past, code in zip(self.pasts, codes.tolist(), strict=False)  # half of them, guided
        ]
        return torch.tensor(often * (len(codes) // len(often)), device=codes.device)

    def last(self, count: int) -> list[Tensor]:
        """The last steps [B, C], so many of them if there were."""
        steps = [past.steps[len(past.steps) - min(count, len(past.steps)) :] for past in self.pasts]
        return [torch.from_numpy(np.stack(step)) for step in zip(*steps, strict=True)]

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        """Normal noise [rows, ...]; with guidance the two halves of the rows are to share it."""
        return self._noise("standard_normal", shape)

    def _pick(self, logits: Tensor) -> Tensor:
        """One index by lot for every row of scores [..., V]."""
        within = logits.softmax(-1).cumsum(-1)
        lot = self._noise("random", tuple(logits.shape[:-1])).to(logits.device)[..., None]
        return (within <= lot * within[..., -1:]).sum(-1).clamp(max=logits.shape[-1] - 1)

    def _noise(self, kind: str, shape: tuple[int, ...]) -> Tensor:
        each = (shape[0] // len(self.pasts), *shape[1:])
        noise: list[NDArray[Any]] = [
            getattr(past.rng, kind)(each, dtype=np.float32) for past in self.pasts
        ]
        return torch.from_numpy(noise[0] if len(noise) == 1 else np.concatenate(noise))


def truncate(logits: Tensor, how: Sampling) -> Tensor:
    """Scores [..., V] at a temperature, minus infinity for what must not be drawn."""
    if how.temperature == 0:
        best = logits.argmax(-1, keepdim=True)
        return torch.full_like(logits, -math.inf).scatter(-1, best, 0.0)
    logits = logits / how.temperature
    if how.top_k:
        logits = logits.masked_fill(_below_top(logits, how.top_k), -math.inf)
    if how.min_p:
        least = logits.amax(-1, keepdim=True) + math.log(how.min_p)
        logits = logits.masked_fill(logits < least, -math.inf)
    if how.top_p < 1:
        ordered, index = logits.sort(-1, descending=True)
        shares = ordered.softmax(-1)
        beyond = shares.cumsum(-1) - shares >= how.top_p  # the first that crosses it stays
        logits = logits.masked_fill(beyond.scatter(-1, index, beyond), -math.inf)
    return logits


def _below_top(logits: Tensor, k: int) -> Tensor:
    least = logits.topk(min(k, logits.shape[-1])).values[..., -1:]
    return logits < least
