"""Residual vector quantization: each codebook codes what the ones before it left over.

Codebooks are factorized and matched by direction as in DAC (Kumar et al. 2023): a residual is
projected to a few dimensions and the code with the nearest direction is taken. Codes follow a
moving average of what they stand for, and one that nobody uses is moved onto a frame at hand
(van den Oord et al. 2017; Jukebox, Dhariwal et al. 2020). Quantizer dropout as in SoundStream
(Zeghidour et al. 2021): some training examples keep their first codes only.
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codeclm.codecs.base import Stream, residual_streams
from codeclm.codecs.house.bottlenecks.base import LATENT, Bottleneck, Losses
from codeclm.config import Config

DECAY = 0.98  # of the moving averages, a step
DEAD = 0.02  # uses a step, on average, below which a code is moved


class RVQConfig(Config):
    """`codebooks` codes a frame, one of `size` each.

    `dropout` is the share of training examples that keep only their first codes.
    """

    kind: Literal["rvq"] = "rvq"
    codebooks: int = 8
    size: int = 1024
    code_dims: int = 8
    dropout: float = 0.25


class Codebook(nn.Module):
    """`size` vectors of `dims` numbers, kept by moving averages instead of gradients.

    A new codebook is all zeros and unused; its first step of training moves every code onto data.
    """

    def __init__(self, size: int, dims: int) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.zeros(size, dims))
        self.register_buffer("uses", torch.zeros(size))
        self.vectors: Tensor
        self.uses: Tensor

    def nearest(self, x: Tensor) -> Tensor:
        """[..., dims] to the index of the code with the nearest direction, [...]."""
        similarity = F.normalize(x, dim=-1) @ F.normalize(self.vectors, dim=-1).T
        return similarity.argmax(-1)

    def forward(self, index: Tensor) -> Tensor:
        """[...] indices to their vectors [..., dims]."""
        return F.embedding(index, self.vectors)

    @torch.no_grad()
    def follow(self, x: Tensor, index: Tensor) -> None:
        """One step of the moving averages, for vectors [M, dims] that took codes [M]."""
        size = self.vectors.shape[0]
        counts = torch.bincount(index, minlength=size).to(x.dtype)
        sums = torch.zeros_like(self.vectors).index_add_(0, index, x)
        uses = DECAY * self.uses + (1 - DECAY) * counts
        moved = DECAY * self.uses[:, None] * self.vectors + (1 - DECAY) * sums
        self.vectors.copy_(moved / uses.clamp(min=1e-6)[:, None])
        self.uses.copy_(uses)
        dead = (self.uses < DEAD).nonzero()[:, 0]
        self.vectors[dead] = x[torch.randint(len(x), (len(dead),), device=x.device)]
        self.uses[dead] = 5 * DEAD


class Quantizer(nn.Module):
    """One codebook with its way in and out: [B, T, 64] to a code and back."""

    def __init__(self, size: int, dims: int) -> None:
        super().__init__()
        self.enter = nn.Linear(LATENT, dims)
        self.codebook = Codebook(size, dims)
        self.leave = nn.Linear(dims, LATENT)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """What the code stands for, [B, T, 64], and the commitment loss of each frame, [B, T]."""
        x = self.enter(z)
        index = self.codebook.nearest(x)
        code = self.codebook(index)
        if self.training:
            self.codebook.follow(x.detach().flatten(0, 1), index.flatten())
        return self.leave(x + (code - x).detach()), (x - code).square().mean(-1)

    def encode(self, z: Tensor) -> Tensor:
        """[B, T, 64] to codes [B, T]."""
        return self.codebook.nearest(self.enter(z))

    def decode(self, codes: Tensor) -> Tensor:
        """Codes [B, T] to [B, T, 64]."""
        frame: Tensor = self.leave(self.codebook(codes))
        return frame


class ResidualStack(nn.Module):
    """Quantizers in a row, each on what is left over: [B, T, 64] to codes [B, K, T] and back."""

    def __init__(self, codebooks: int, size: int, dims: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList(Quantizer(size, dims) for _ in range(codebooks))

    def forward(self, z: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
        """The sum of the first `kept` [B] stages of each example, and the commitment loss."""
        total, commitment = torch.zeros_like(z), z.new_zeros(())
        for stage, quantizer in enumerate(self.stages):
            step, distance = quantizer(z - total)
            on = (stage < kept).to(z)[:, None]
            total = total + step * on[..., None]
            commitment = commitment + (distance * on).mean()
        return total, commitment / len(self.stages)

    def encode(self, z: Tensor) -> Tensor:
        codes = []
        for quantizer in self.stages:
            assert isinstance(quantizer, Quantizer)
            codes.append(quantizer.encode(z))
            z = z - quantizer.decode(codes[-1])
        return torch.stack(codes, dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes of all stages, or of the first ones alone: a coarser sound."""
        frames = torch.zeros(codes.shape[0], codes.shape[2], LATENT, device=codes.device)
        for row, quantizer in zip(codes.unbind(1), self.stages, strict=False):
            assert isinstance(quantizer, Quantizer)
            frames = frames + quantizer.decode(row)
        return frames


def draw_kept(batch: int, lowest: int, highest: int, dropout: float, like: Tensor) -> Tensor:
    """How many stages each training example keeps, [B]: all, or with `dropout` a random number."""
    few = torch.randint(lowest, highest + 1, (batch,), device=like.device)
    dropped = torch.rand(batch, device=like.device) < dropout
    return torch.where(dropped, few, highest)


class RVQ(Bottleneck):
    """A stack of residual quantizers."""

    family: ClassVar[str] = "rvq"

    def __init__(self, config: RVQConfig) -> None:
        super().__init__()
        self.config = config
        self.stack = ResidualStack(config.codebooks, config.size, config.code_dims)

    @property
    def streams(self) -> tuple[Stream, ...]:
        return residual_streams(self.config.size, self.config.codebooks)

    def forward(self, z: Tensor, teacher: Tensor | None = None) -> tuple[Tensor, Losses]:
        count, dropout = self.config.codebooks, self.config.dropout if self.training else 0.0
        frames, commitment = self.stack(z, draw_kept(len(z), 1, count, dropout, z))
        return frames, {"commitment": commitment}

    def tokens(self, z: Tensor) -> Tensor:
        return self.stack.encode(z)

    def latent(self, tokens: Tensor) -> Tensor:
        return self.stack.decode(tokens)
