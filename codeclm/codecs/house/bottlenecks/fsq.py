"""Finite scalar quantization in groups: independent codes, no codebook to learn or to collapse.

Mentzer et al. 2023; NanoCodec uses eight groups of levels [8, 7, 6, 6].
"""

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from codeclm.codecs.base import Stream
from codeclm.codecs.house.bottlenecks.base import LATENT, Bottleneck, Losses
from codeclm.codecs.levels import code_to_levels, level_to_point, levels_to_code
from codeclm.config import Config


class FSQConfig(Config):
    """`groups` codes a frame, each with a dimension for every entry of `levels`."""

    kind: Literal["fsq"] = "fsq"
    groups: int = 8
    levels: tuple[int, ...] = (8, 7, 6, 6)


class FSQ(Bottleneck):
    """Rounds each of `groups * len(levels)` numbers to its levels; one code a group."""

    family: ClassVar[str] = "fsq"

    def __init__(self, config: FSQConfig) -> None:
        super().__init__()
        self.groups, self.levels = config.groups, config.levels
        dims = config.groups * len(config.levels)
        self.enter = nn.Linear(LATENT, dims)
        self.leave = nn.Linear(dims, LATENT)
        middle = (torch.tensor(config.levels) - 1) / 2
        self.register_buffer("middle", middle, persistent=False)
        self.middle: Tensor  # middle of the grid in each dimension of a group

    @property
    def streams(self) -> tuple[Stream, ...]:
        return (Stream(math.prod(self.levels), levels=self.levels),) * self.groups

    def forward(self, z: Tensor, teacher: Tensor | None = None) -> tuple[Tensor, Losses]:
        return self.leave(self.round(z)), {}

    def round(self, z: Tensor) -> Tensor:
        """Grid points in [-1, 1], [B, T, dims]; gradients pass straight through the rounding."""
        middle = self.middle.repeat(self.groups)
        level = torch.tanh(self.enter(z)) * (middle + 0.499) + middle
        return (level + (level.round() - level).detach()) / middle - 1

    def tokens(self, z: Tensor) -> Tensor:
        points = self.round(z).reshape(*z.shape[:2], self.groups, len(self.levels))
        index = ((points + 1) * self.middle).round().long()
        return levels_to_code(index, self.levels).transpose(1, 2)

    def latent(self, tokens: Tensor) -> Tensor:
        index = code_to_levels(tokens.transpose(1, 2), self.levels)
        points: Tensor = self.leave(level_to_point(index, self.levels).flatten(-2))
        return points
