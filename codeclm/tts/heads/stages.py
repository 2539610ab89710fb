"""`stages`: stream 0 from the hidden state, each other stream in one pass over the utterance.

VALL-E's second model, for the layout `coarse_first`: pass k sees, at every frame and both ways, the
codes of streams 0 to k - 1 and the hidden state of the step, which carries text and voice. All
passes share one transformer that is told its number. In training each batch learns one pass.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from codeclm.codecs.base import EMPTY, Stream
from codeclm.codecs.embedding import CodeEmbedding
from codeclm.tts.backbone import Sizes
from codeclm.tts.draw import Draw
from codeclm.tts.heads.base import Head
from codeclm.tts.heads.classes import Classes
from codeclm.tts.heads.local import encoder

REACH = 7  # frames a convolution over an utterance sees, so that the passes know near from far


class StagesHead(Head):
    """Hidden states [N, D] of whole utterances to slots [N, K]."""

    joint = True

    def __init__(
        self, streams: tuple[Stream, ...], width: int, levels: bool, points: bool, sizes: Sizes
    ) -> None:
        super().__init__()
        if len(streams) < 2:
            raise ValueError("head `stages` needs at least two streams; use `linear`")
        self.first = Classes(streams[:1], width, levels)
        self.rest = Classes(streams[1:], sizes.width, levels)
        self.read = CodeEmbedding(streams, sizes.width, points)
        self.project = nn.Linear(width, sizes.width)
        self.numbers = nn.Embedding(len(streams), sizes.width)
        self.near = nn.Conv1d(sizes.width, sizes.width, REACH, padding=REACH // 2)
        self.body = encoder(sizes)

    def states(self, hidden: Tensor, slots: Tensor, number: int, real: Tensor) -> Tensor:
        """States [B, T, d] of pass `number`, 1 to K - 1, which sees the slots before that one.

        `hidden` is [B, T, D], `slots` [B, T, K], and `real` [B, T] False for padding.
        """
        place = torch.arange(slots.shape[2], device=slots.device)
        seen = slots.masked_fill(place >= number, EMPTY)
        x = self.read(seen) + self.project(hidden) + self.numbers.weight[number]
        x = x + self.near((x * real[..., None]).transpose(1, 2)).transpose(1, 2)
        states: Tensor = self.body(x, src_key_padding_mask=~real)
        return states

    def loss(self, hidden: Tensor, slots: Tensor, streams: Tensor, begin: Tensor) -> Tensor:
        first = self.first.nats(hidden, slots[:, 0], 0)
        lengths = begin.long().cumsum(0).bincount()[1:]
        sizes = lengths.tolist()
        table = pad_sequence(list(torch.split(hidden, sizes)), batch_first=True)
        codes = pad_sequence(list(torch.split(slots, sizes)), batch_first=True)
        real = torch.arange(codes.shape[1], device=codes.device) < lengths[:, None]
        count = slots.shape[1] - 1
        one = 1 + int(torch.randint(count, ()))
        numbers = [one] if self.training else list(range(1, count + 1))
        rest = first.new_zeros(len(first), count)
        for number in numbers:
            states = self.states(table, codes, number, real)[real]
            nats = self.rest.nats(states, slots[:, number], number - 1)
            rest[:, number - 1] = nats * (count / len(numbers))
        return torch.cat([first[:, None], rest], dim=-1)

    def sample(self, hidden: Tensor, slots: Tensor, streams: Tensor, draw: Draw) -> Tensor:
        later = torch.full_like(slots[:, 1:], EMPTY)
        first = draw.codes(self.first.logits(hidden, 0), self.first.digits, 0)
        return torch.cat([first[:, None], later], dim=1)

    def finish(self, hidden: Tensor, slots: Tensor, draw: Draw) -> Tensor:
        slots = slots.clone()
        everything = torch.ones_like(slots[..., 0], dtype=torch.bool)
        for number in range(1, slots.shape[2]):
            states = self.states(hidden, slots, number, everything)
            scores = self.rest.logits(states, number - 1)
            slots[..., number] = draw.codes(scores, self.rest.digits, number)
        return slots
