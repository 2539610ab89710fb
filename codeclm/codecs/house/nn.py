"""Causal bricks. Each takes its past as a value and hands the new past back.

`forward(x, past)` with `past=None` is the beginning of a stream, and training; feeding a signal
in pieces, with the past handed on, gives the same output as feeding it whole.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

KERNEL = 7  # frames a depthwise convolution sees: itself and six before it


class ConvNeXt(nn.Module):
    """ConvNeXt block with a causal depthwise convolution (Liu et al. 2022; Vocos for audio).

    [B, T, D] to [B, T, D]; the past is the last six input frames, [B, 6, D].
    """

    def __init__(self, width: int, expansion: int = 3, scale: float = 0.1) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, KERNEL, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, expansion * width)
        self.down = nn.Linear(expansion * width, width)
        self.scale = nn.Parameter(torch.full((width,), scale))

    def forward(self, x: Tensor, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if past is None:
            past = x.new_zeros(x.shape[0], KERNEL - 1, x.shape[2])
        seen = torch.cat([past.to(x.dtype), x], dim=1)
        y = self.depthwise(seen.transpose(1, 2)).transpose(1, 2)
        y = self.down(F.gelu(self.up(self.norm(y)), approximate="tanh"))
        return x + self.scale * y, seen[:, 1 - KERNEL :]


class Stack(nn.Module):
    """ConvNeXt blocks in a row; the past is one tensor a block."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ConvNeXt(width) for _ in range(depth))

    def forward(
        self, x: Tensor, past: tuple[Tensor, ...] | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        after = []
        for i, block in enumerate(self.blocks):
            x, seen = block(x, None if past is None else past[i])
            after.append(seen)
        return x, tuple(after)


class Down(nn.Module):
    """Joins every `factor` frames into one: [B, T * factor, D] to [B, T, E]. Needs no past."""

    def __init__(self, factor: int, width: int, out: int) -> None:
        super().__init__()
        self.factor = factor
        self.project = nn.Linear(factor * width, out)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(x.reshape(x.shape[0], -1, self.factor * x.shape[2]))
        return y


class Up(nn.Module):
    """Splits every frame into `factor`: [B, T, D] to [B, T * factor, E]. Needs no past."""

    def __init__(self, factor: int, width: int, out: int) -> None:
        super().__init__()
        self.out = out
        self.project = nn.Linear(width, factor * out)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(x)
        return y.reshape(x.shape[0], -1, self.out)
