"""How a network reads codes: one vector for each, or one for all slots of a step."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codeclm.codecs.base import END, Stream
from codeclm.codecs.levels import code_to_levels, level_to_point


class CodeEmbedding(nn.Module):
    """Slots [..., C] to vectors [..., D]. A slot holds a code, `EMPTY` or `END`.

    FSQ codes are points in a small space, and one linear layer can read them all (`points`);
    otherwise each stream has a table. The vectors of the slots of a step are added, or averaged.

    Args:
        streams: the K streams whose codes are read.
        points: read FSQ codes as points; without levels this is not possible.
        mean: average the slots of a step instead of adding them.
    """

    def __init__(
        self, streams: tuple[Stream, ...], width: int, points: bool, mean: bool = False
    ) -> None:
        super().__init__()
        self.streams, self.points, self.mean = len(streams), points, mean
        self.levels = streams[0].levels
        if points:
            if not self.levels or any(stream.levels != self.levels for stream in streams):
                raise ValueError("codes can be read as points only where all streams are FSQ alike")
            self.read = nn.Linear(self.streams * len(self.levels), width)
            self.register_buffer("known", _known(self.levels), persistent=False)
            self.known: Tensor  # [2 + V, n + 2], what END, EMPTY and each code are read as
        else:
            sizes = torch.tensor([0, *(stream.size for stream in streams)])
            self.register_buffer("first", sizes.cumsum(0)[:-1], persistent=False)
            self.first: Tensor  # [K], where the table of each stream begins
            self.table = nn.Embedding(int(sizes.sum()), width)
            nn.init.normal_(self.table.weight, std=1 / math.sqrt(self.streams * width))
        self.marks = nn.Parameter(torch.zeros(2 * self.streams, width))

    def each(self, slots: Tensor, stream: Tensor | int) -> Tensor:
        """[...] slots of the streams given, [...] too, to [..., D]."""
        if isinstance(stream, int):
            stream = torch.tensor(stream, device=slots.device)
        codes = slots.clamp(min=0)
        if self.points:
            kernel = self.read.weight.view(-1, self.streams, len(self.levels))  # [D, K, n]
            points = level_to_point(code_to_levels(codes, self.levels), self.levels).to(kernel)
            if stream.ndim == 0:
                read = F.linear(points, kernel[:, stream], self.read.bias)
            else:
                wide = F.one_hot(stream, self.streams)[..., None] * points[..., None, :]
                read = self.read(wide.flatten(-2))
        else:
            read = self.table(codes + self.first[stream])
        mark = self.marks[2 * stream + (slots == END)]
        return torch.where((slots < 0)[..., None], mark.to(read.dtype), read)

    def forward(self, slots: Tensor, streams: Tensor | None = None) -> Tensor:
        """Reads steps; `streams` [..., C] says whose codes they hold, None: slot k stream k."""
        if streams is None and self.points:  # one matrix product for all
            known = self.known[slots + 2].to(self.read.weight.dtype)
            points, marks = known[..., :-2].flatten(-2), known[..., -2:].flatten(-2)
            step: Tensor = self.read(points) + marks @ self.marks
        else:
            if streams is None:
                streams = torch.arange(self.streams, device=slots.device).expand_as(slots)
            step = self.each(slots, streams).sum(-2)
        return step / slots.shape[-1] if self.mean else step


def _known(levels: tuple[int, ...]) -> Tensor:
    """The point of each code and which mark it is, one or none; first END, then EMPTY."""
    codes = torch.arange(math.prod(levels))
    points = F.pad(level_to_point(code_to_levels(codes, levels), levels), (0, 0, 2, 0))
    marks = torch.zeros(len(points), 2)
    marks[0, 1] = marks[1, 0] = 1
    return torch.cat([points, marks], dim=1)
