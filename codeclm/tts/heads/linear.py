"""`linear`: one classifier a stream, straight from the hidden state.

All slots of a step are drawn independently of each other.
"""

import torch
from torch import Tensor

from codeclm.codecs.base import Stream
from codeclm.tts.draw import Draw
from codeclm.tts.heads.base import Head
from codeclm.tts.heads.classes import Classes


class LinearHead(Head):
    """Hidden states [N, D] to slots [N, C] of K streams; C is K, or any stream alone."""

    def __init__(self, streams: tuple[Stream, ...], width: int, levels: bool) -> None:
        super().__init__()
        self.classes = Classes(streams, width, levels)

    def loss(self, hidden: Tensor, slots: Tensor, streams: Tensor, begin: Tensor) -> Tensor:
        if slots.shape[1] == self.classes.streams:
            return self.classes.nats(hidden, slots)
        nats = hidden.new_zeros(slots.shape, dtype=torch.float32)
        for k in range(self.classes.streams):
            mine = streams[:, 0] == k
            nats[mine, 0] = self.classes.nats(hidden[mine], slots[mine, 0], k)
        return nats

    def sample(self, hidden: Tensor, slots: Tensor, streams: Tensor, draw: Draw) -> Tensor:
        stream = None if slots.shape[1] == self.classes.streams else int(streams[0])
        codes = draw.codes(self.classes.logits(hidden, stream), self.classes.digits, stream)
        return torch.where(slots < 0, slots, codes.view_as(slots))
