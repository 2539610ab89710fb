"""Finite scalar quantization in groups: independent codes, no codebook to learn or to collapse.

Mentzer et al. 2023; NanoCodec uses eight groups of levels [8, 7, 6, 6].
"""

import torch
from torch import Tensor, nn

from codeclm.codecs.levels import code_to_levels, level_to_point, levels_to_code


class FSQ(nn.Module):
    """Rounds each of `groups * len(levels)` numbers to its levels; one code a group."""

    def __init__(self, groups: int, levels: tuple[int, ...]) -> None:
        super().__init__()
        self.groups, self.levels = groups, levels
        self.dims = groups * len(levels)
        middle = (torch.tensor(levels) - 1) / 2
        self.register_buffer("middle", middle, persistent=False)
        self.middle: Tensor  # middle of the grid in each dimension of a group

    def forward(self, z: Tensor) -> Tensor:
        """[B, T, dims] to grid points in [-1, 1]; gradients pass straight through the rounding."""
        middle = self.middle.repeat(self.groups)
        level = torch.tanh(z) * (middle + 0.499) + middle
        return (level + (level.round() - level).detach()) / middle - 1

    def codes(self, z: Tensor) -> Tensor:
        """[B, T, dims] to codes [B, groups, T]."""
        index = ((self(z).unflatten(-1, (self.groups, -1)) + 1) * self.middle).round().long()
        return levels_to_code(index, self.levels).transpose(1, 2)

    def points(self, codes: Tensor) -> Tensor:
        """Codes [B, groups, T] to their grid points [B, T, dims]: what `forward` gave."""
        index = code_to_levels(codes.transpose(1, 2), self.levels)
        return level_to_point(index, self.levels).flatten(-2)
