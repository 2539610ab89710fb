"""What heads that fill in rather than go on are made of: attention both ways, and a clock."""

import torch
from torch import Tensor, nn

from codeclm.tts.backbone import Sizes

WAVES, FASTEST = 32, 32.0  # of a clock; radians


def encoder(sizes: Sizes) -> nn.TransformerEncoder:
    """A pre-norm transformer encoder over [B, S, D] of the given sizes, without positions."""
    layer = nn.TransformerEncoderLayer(
        sizes.width,
        sizes.heads,
        sizes.inner,
        dropout=0.0,
        activation="gelu",
        batch_first=True,
        norm_first=True,
    )
    return nn.TransformerEncoder(
        layer, sizes.depth, nn.LayerNorm(sizes.width), enable_nested_tensor=False
    )


class Time(nn.Module):
    """Times [N] from 0 to 1 to vectors [N, D]; smooth, so that it may be differentiated by time."""

    def __init__(self, width: int) -> None:
        super().__init__()
        turns = torch.logspace(0, 1, WAVES, base=FASTEST)
        self.register_buffer("turns", turns, persistent=False)
        self.turns: Tensor
        self.mix = nn.Sequential(nn.Linear(2 * WAVES, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Tensor) -> Tensor:
        angle = t[:, None] * self.turns
        vectors: Tensor = self.mix(torch.cat([angle.cos(), angle.sin()], dim=-1))
        return vectors
