"""How a step is drawn: temperature, truncation, repetition, guidance; the noise of latents."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from codeclm.config import Config

REMEMBERED = 8  # steps


class Sampling(Config):
    """How to draw.

    Attributes:
        temperature: of the scores; 0 takes the likeliest. Of the head `flow` the time, back from
            the data, at which noise enters (DiTAR; 1: at the beginning, 0: not at all), of
            `consistency` the variance of the noise (Pocket TTS).
        top_k: only the k likeliest; 0: all.
        top_p: only the likeliest that together have this probability (Holtzman et al. 2020).
        min_p: only what has this share of the likeliest's probability (Nguyen et al. 2024).
        window: frames in which repetitions are counted; 0: none are.
        repeats: share of the window which, once one code has it, makes that code be drawn again
            from the whole distribution (repetition-aware sampling, VALL-E 2).
        guidance: how far to go from what would be said without text and voice, at 1, to what is
            said with them and beyond (classifier-free guidance, Ho and Salimans 2022).
        guide_top_k: guidance only picks the k likeliest, the draw is from unguided scores (Dia);
            0: the draw is from guided ones.
        steps: from noise to latents; 0: as many as the head is made for.
        schedule: of these steps: all alike, or short ones first.
        noise: what the noise of latents is multiplied by.
    """

    temperature: float = Field(default=0.7, ge=0)
    top_k: int = Field(default=0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    min_p: float = Field(default=0.0, ge=0, lt=1)
    window: int = Field(default=0, ge=0)
    repeats: float = Field(default=0.1, gt=0, le=1)
    guidance: float = Field(default=1.0, ge=0)
    guide_top_k: int = Field(default=0, ge=0)
    steps: int = Field(default=0, ge=0)
    schedule: Literal["uniform", "sway"] = "uniform"
    noise: float = Field(default=1.0, ge=0)

    def times(self, steps: int) -> list[float]:
        """Times from 0 to 1 between which the steps are taken, `steps` if none are asked for.

        `sway` takes short steps first, while the noise is sorted out, and long ones later (F5-TTS,
        Chen et al. 2024).
        """
        count = self.steps or steps
        times = [i / count for i in range(count + 1)]
        if self.schedule == "sway":
            times = [1 - math.cos(math.pi / 2 * time) for time in times]
        return times


class Draw:
    """Draws the tokens of one generation; remembers the last ones of every stream.

    With guidance the rows come twice: first all with text and voice, then all without. Both halves
    get the same draw.

    Args:
        sampling: one for all streams, or one for each.
    """

    def __init__(
        self, sampling: Sampling | Sequence[Sampling], streams: int, generator: torch.Generator
    ) -> None:
        each = [sampling] * streams if isinstance(sampling, Sampling) else list(sampling)
        if len(each) != streams:
            raise ValueError(f"{len(each)} samplings for {streams} streams: give one, or {streams}")
        if len({(one.guidance, one.guide_top_k) for one in each}) > 1:
            raise ValueError("guidance must be the same for all streams")
        self.each, self.generator = each, generator
        self.alike = len(set(each)) == 1 and each[0].window == 0
        self.guided = each[0].guidance != 1.0
        self.windowed = any(one.window for one in each)
        self.recent: list[list[Tensor]] = [[] for _ in each]
        self.steps: list[Tensor] = []  # the last ones drawn

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
        how, recent = self.each[stream], self.recent[stream]
        if not recent or codes.ndim > 1:
            return torch.zeros_like(codes, dtype=torch.bool)
        share = torch.stack([codes == before for before in recent]).sum(0) / how.window
        return share > how.repeats

    def remember(self, drawn: Tensor, streams: Tensor) -> None:
        """Notes a step [B, C], of which these streams [C] are known by now; -1 for the others."""
        self.steps = [*self.steps, drawn][-REMEMBERED:]
        for slot, stream in enumerate(streams.tolist() if self.windowed else ()):
            if stream >= 0 and (window := self.each[stream].window):
                self.recent[stream] = [*self.recent[stream], drawn[:, slot]][-window:]

    def last(self, count: int) -> list[Tensor]:
        """The last steps [B, C], so many of them if there were."""
        return self.steps[len(self.steps) - min(count, len(self.steps)) :]

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        """Normal noise [rows, ...]; with guidance the two halves of the rows are to share it."""
        return torch.randn(shape, generator=self.generator)

    def _pick(self, logits: Tensor) -> Tensor:
        """One index by lot for every row of scores [..., V]."""
        # Gumbel's trick: the largest of scores plus Gumbel noise is a sample.
        noise = torch.rand(logits.shape, generator=self.generator).clamp(min=1e-20)
        return (logits - (-noise.log()).log().to(logits)).argmax(-1)


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
