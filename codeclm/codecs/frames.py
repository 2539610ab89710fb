"""How a network reads a frame of codes: one vector for the K codes of a frame."""

import torch
from torch import Tensor, nn

from codeclm.codecs.base import Stream
from codeclm.codecs.levels import code_to_levels, level_to_point


class FrameEmbedding(nn.Module):
    """Codes [B, K, T] to vectors [B, T, D].

    FSQ codes are points in a small space, and one linear layer reads them all; other codes have a
    table a stream, and the vectors of a frame are added.
    """

    def __init__(self, streams: tuple[Stream, ...], width: int) -> None:
        super().__init__()
        self.levels = [stream.levels for stream in streams]
        self.points = all(self.levels)
        if self.points:
            self.read = nn.Linear(sum(map(len, self.levels)), width)
        else:
            self.tables = nn.ModuleList(nn.Embedding(s.size, width) for s in streams)

    def forward(self, codes: Tensor) -> Tensor:
        if not self.points:
            rows = [table(codes[:, k]) for k, table in enumerate(self.tables)]
            return torch.stack(rows).sum(0)
        points = [
            level_to_point(code_to_levels(codes[:, k], levels), levels)
            for k, levels in enumerate(self.levels)
        ]
        frame: Tensor = self.read(torch.cat(points, dim=-1).to(self.read.weight.dtype))
        return frame
