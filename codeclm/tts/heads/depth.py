"""`depth`: a small transformer that goes through the slots of a step, each seeing those before.

The arrangement of CSM (Moshi's is alike): the first slot is drawn from the hidden state itself; the
small transformer then reads [state, code 0, code 1, ...] and draws code 1, code 2, ... Its memory
begins anew with every step. In training it looks at a random part of the steps, which is enough to
learn from (compute amortization, CSM).
"""

import torch
from torch import Tensor, nn

from codeclm.codecs.base import Stream
from codeclm.codecs.embedding import CodeEmbedding
from codeclm.tts.backbone import Decoder, Sizes, llama
from codeclm.tts.draw import Draw, in_order
from codeclm.tts.heads.base import Head
from codeclm.tts.heads.classes import Classes


class DepthHead(Head):
    """Hidden states [N, D] to slots [N, K], slot after slot.

    Args:
        sizes: of the small transformer.
        share: of the steps that it looks at in training.
        body: build the transformer for training; generation gives a `decoder` instead.
    """

    joint = True

    def __init__(
        self,
        streams: tuple[Stream, ...],
        width: int,
        levels: bool,
        points: bool,
        sizes: Sizes,
        share: float = 1.0,
        body: bool = True,
    ) -> None:
        super().__init__()
        if len(streams) < 2:
            raise ValueError("head `depth` needs at least two streams; use `linear`")
        self.share = share
        self.first = Classes(streams[:1], width, levels)
        self.rest = Classes(streams[1:], sizes.width, levels)
        self.project = nn.Linear(width, sizes.width, bias=False)
        self.read = CodeEmbedding(streams[:-1], sizes.width, points)
        self.body = llama(sizes) if body else None
        self.decoder: Decoder | None = None

    def loss(self, hidden: Tensor, slots: Tensor, streams: Tensor, begin: Tensor) -> Tensor:
        first = self.first.nats(hidden, slots[:, 0], 0)
        count = max(1, round(self.share * len(hidden))) if self.training else len(hidden)
        some = torch.randperm(len(hidden), device=hidden.device)[:count].sort().values
        states = self.states(hidden[some], slots[some])
        nats = [self.rest.nats(x, slots[some, k + 1], k) for k, x in enumerate(states.unbind(1))]
        rest = first.new_zeros(len(hidden), len(nats))
        rest[some] = torch.stack(nats, dim=-1) * (len(hidden) / count)
        return torch.cat([first[:, None], rest], dim=-1)

    def states(self, hidden: Tensor, slots: Tensor) -> Tensor:
        """States [N, K - 1, d] that slots 1 to K - 1 are classified from."""
        codes = [self.read.each(slots[:, k], k) for k in range(slots.shape[1] - 1)]
        x = torch.stack([self.project(hidden), *codes], dim=1)
        if self.body is None:
            assert self.decoder is not None
            return self.decoder(x, self.decoder.start(len(x)))[:, 1:]
        states: Tensor = self.body(inputs_embeds=x, use_cache=False).last_hidden_state
        return states[:, 1:]

    def sample(self, hidden: Tensor, slots: Tensor, streams: Tensor, draw: Draw) -> Tensor:
        assert self.decoder is not None
        decoder, cache = self.decoder, self.decoder.start(len(hidden))

        def scores(k: int, code: Tensor) -> Tensor:
            if k == 0:
                return self.first.logits(hidden, 0)
            x = self.read.each(code, k - 1)[:, None]
            if k == 1:
                x = torch.cat([self.project(hidden)[:, None], x], dim=1)
            return self.rest.logits(decoder(x, cache)[:, -1], k - 1)

        return in_order(draw, slots, scores, self.first.digits)
