"""FSQ codes as numbers in a mixed radix: which level each dimension of a group has.

code = level_0 + levels[0] * level_1 + levels[0] * levels[1] * level_2 + ...
"""

import math

import torch
from torch import Tensor


def code_to_levels(codes: Tensor, levels: tuple[int, ...]) -> Tensor:
    """[...] codes to [..., n] levels, each 0 to levels[i] - 1."""
    sizes = torch.tensor(levels, device=codes.device)
    return codes[..., None] // _radix(levels).to(codes.device) % sizes


def levels_to_code(index: Tensor, levels: tuple[int, ...]) -> Tensor:
    """[..., n] levels to [...] codes."""
    return (index * _radix(levels).to(index.device)).sum(-1)


def level_to_point(index: Tensor, levels: tuple[int, ...]) -> Tensor:
    """[..., n] levels to [..., n] numbers evenly spread over -1 to 1."""
    return index / ((torch.tensor(levels, device=index.device) - 1) / 2) - 1


def _radix(levels: tuple[int, ...]) -> Tensor:
    return torch.tensor([math.prod(levels[:i]) for i in range(len(levels))])
