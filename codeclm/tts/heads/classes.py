"""The classifier that every discrete head ends in: a vector to one code of each stream.

A code is classified as a whole, or, for FSQ, as the levels of its dimensions: eight groups of 2016
codes are 16,128 scores a frame, their 32 dimensions have 216 levels in all. Dimensions are then
independent of each other given the vector.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codeclm.codecs.base import Stream
from codeclm.codecs.levels import code_to_levels


class Classes(nn.Module):
    """Vectors [..., D] to codes of K streams.

    Args:
        levels: classify the levels of FSQ codes; otherwise codes as wholes.
    """

    def __init__(self, streams: tuple[Stream, ...], width: int, levels: bool) -> None:
        super().__init__()
        self.streams = len(streams)
        if levels:
            if not streams[0].levels or any(s.levels != streams[0].levels for s in streams):
                raise ValueError(
                    "classes `levels` need a codec whose streams are all FSQ of one shape; "
                    "set `classes: codes`"
                )
            self.digits = streams[0].levels
            sizes = torch.tensor(self.digits).expand(self.streams, -1)
        else:
            self.digits = (max(stream.size for stream in streams),)
            sizes = torch.tensor([[stream.size] for stream in streams])
        largest = max(self.digits)
        self.project = nn.Linear(width, self.streams * len(self.digits) * largest)
        missing = torch.arange(largest) >= sizes[..., None]
        self.register_buffer("missing", missing if missing.any() else None, persistent=False)
        self.missing: Tensor | None  # [K, n, L]: classes that there are not

    def logits(self, x: Tensor, stream: int | None = None) -> Tensor:
        """Scores [..., K, n, L] of n digits a code, or [..., n, L] of one stream."""
        shape: tuple[int, ...] = (self.streams, len(self.digits), max(self.digits))
        weight: Tensor = self.project.weight
        bias: Tensor = self.project.bias
        missing = self.missing
        if stream is not None:
            each = math.prod(shape[1:])
            rows = slice(stream * each, (stream + 1) * each)
            weight, bias = weight[rows], bias[rows]
            shape, missing = shape[1:], None if missing is None else missing[stream]
        scores = F.linear(x, weight, bias).float().view(*x.shape[:-1], *shape)
        return scores if missing is None else scores.masked_fill(missing, -math.inf)

    def nats(self, x: Tensor, codes: Tensor, stream: int | None = None) -> Tensor:
        """Negative log-probability of codes: [..., D], [..., K] to [..., K], or of one stream.

        Marks (below 0) cost nothing.
        """
        return self.cost(self.logits(x, stream), codes)

    def cost(self, logits: Tensor, codes: Tensor) -> Tensor:
        """Negative log-probability of codes [...] under scores [..., n, L]; marks cost nothing."""
        index = code_to_levels(codes, self.digits).masked_fill((codes < 0)[..., None], -100)
        nats = F.cross_entropy(logits.flatten(0, -2), index.flatten(), reduction="none")
        return nats.view(index.shape).sum(-1)
