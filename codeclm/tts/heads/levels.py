"""`levels`: for FSQ streams, one small classifier for the level of every dimension.

Eight groups of 2016 codes would take 16,128 logits a frame; their 32 dimensions have 216 levels in
all. Dimensions are independent given the hidden state.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codeclm.codecs.base import Stream
from codeclm.codecs.levels import code_to_levels, levels_to_code


class LevelHead(nn.Module):
    """Hidden states [..., D] to codes [..., C] of FSQ streams that share their levels."""

    def __init__(self, streams: tuple[Stream, ...], width: int) -> None:
        super().__init__()
        self.levels = streams[0].levels
        if not self.levels or any(stream.levels != self.levels for stream in streams):
            raise ValueError("head `levels` needs a codec whose streams are all FSQ of one shape")
        self.slots = len(streams)
        self.project = nn.Linear(width, self.slots * len(self.levels) * max(self.levels))
        steps = torch.arange(max(self.levels))
        missing = steps >= torch.tensor(self.levels)[:, None]
        self.register_buffer("missing", missing, persistent=False)
        self.missing: Tensor  # [n, L]: levels that a dimension does not have

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., D] to [..., C, n, L]; levels that do not exist have minus infinity."""
        logits: Tensor = self.project(hidden).float()
        logits = logits.view(*logits.shape[:-1], self.slots, len(self.levels), max(self.levels))
        return logits.masked_fill(self.missing, -math.inf)

    def loss(self, hidden: Tensor, codes: Tensor) -> Tensor:
        """Negative log-probability in nats of each code: [..., D] and [..., C] to [..., C]."""
        logits = self.logits(hidden)
        index = code_to_levels(codes, self.levels)
        nats = F.cross_entropy(logits.flatten(0, -2), index.flatten(), reduction="none")
        return nats.view(index.shape).sum(-1)

    def sample(self, hidden: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
        """Draws codes [..., C] for hidden states [..., D]; temperature 0 takes the likeliest."""
        logits = self.logits(hidden)
        if temperature > 0:
            # Gumbel's trick: the largest of logits plus Gumbel noise is a sample.
            noise = torch.rand(logits.shape, generator=generator).clamp(min=1e-20)
            logits = logits / temperature - (-noise.log()).log().to(logits.device)
        return levels_to_code(logits.argmax(-1), self.levels)
