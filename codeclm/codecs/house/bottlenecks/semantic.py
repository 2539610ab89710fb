"""Split residual quantization: one codebook learns words from a speech model, the rest sound.

Codebook 0 has its own way in and out beside the residual stack, as in Mimi (Defossez et al. 2024),
and what it says is pulled by cosine towards the features of a frozen speech model (distillation as
in SpeechTokenizer, Zhang et al. 2023). The decoder gets the sum. In Mimi the stack reads the same
latents as codebook 0; here, by default, what codebook 0 left over, for otherwise a small decoder
learns to do without codebook 0 (docs/lab.md). Some training examples keep codebook 0 alone.
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codeclm.codecs.base import Stream, residual_streams
from codeclm.codecs.house.bottlenecks.base import LATENT, Bottleneck, Losses
from codeclm.codecs.house.bottlenecks.rvq import Quantizer, ResidualStack, draw_kept
from codeclm.config import Config


class SemanticConfig(Config):
    """One semantic codebook and `codebooks - 1` acoustic ones.

    Attributes:
        leftover: the acoustic stack codes what codebook 0 left over; False: beside it, as in Mimi.
        dropout: share of training examples that keep only the first acoustic codes.
        alone: share of training examples that keep no acoustic code at all.
        teacher_dims: width of the speech model's features.
    """

    kind: Literal["semantic"] = "semantic"
    codebooks: int = 8
    size: int = 1024
    code_dims: int = 8
    semantic_dims: int = 16
    leftover: bool = True
    dropout: float = 0.1
    alone: float = 0.05
    teacher_dims: int = 512


class SemanticRVQ(Bottleneck):
    """A distilled codebook beside a stack of residual ones."""

    family: ClassVar[str] = "semantic-rvq"

    def __init__(self, config: SemanticConfig) -> None:
        super().__init__()
        self.config = config
        self.semantic = Quantizer(config.size, config.semantic_dims)
        self.acoustic = ResidualStack(config.codebooks - 1, config.size, config.code_dims)
        self.listen = nn.Linear(LATENT, config.teacher_dims)

    @property
    def streams(self) -> tuple[Stream, ...]:
        size, count = self.config.size, self.config.codebooks
        since = 0 if self.config.leftover else 1
        return (Stream(size, role="semantic"), *residual_streams(size, count, 1, since))

    def forward(self, z: Tensor, teacher: Tensor | None = None) -> tuple[Tensor, Losses]:
        words, distance = self.semantic(z)
        sound, commitment = self.acoustic(self.rest(z, words), self.kept(z))
        count = self.config.codebooks
        losses = {"commitment": (commitment * (count - 1) + distance.mean()) / count}
        if teacher is not None:
            losses["semantic"] = 1 - F.cosine_similarity(self.listen(words), teacher, dim=-1).mean()
        return words + sound, losses

    def rest(self, z: Tensor, words: Tensor) -> Tensor:
        """What the acoustic stack reads."""
        return z - words if self.config.leftover else z

    def kept(self, z: Tensor) -> Tensor:
        """How many acoustic stages each example keeps, [B]."""
        count = self.config.codebooks - 1
        if not self.training:
            return draw_kept(len(z), 1, count, 0.0, z)
        alone = torch.rand(len(z), device=z.device) < self.config.alone
        return draw_kept(len(z), 1, count, self.config.dropout, z).masked_fill(alone, 0)

    def tokens(self, z: Tensor) -> Tensor:
        words = self.semantic.encode(z)
        sound = self.acoustic.encode(self.rest(z, self.semantic.decode(words)))
        return torch.cat([words[:, None], sound], dim=1)

    def latent(self, tokens: Tensor) -> Tensor:
        return self.semantic.decode(tokens[:, 0]) + self.acoustic.decode(tokens[:, 1:])
