"""How a step is drawn: temperature, truncation, repetition, guidance; the noise of latents."""

import math
from typing import Literal

from pydantic import Field

from codeclm.config import Config


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
