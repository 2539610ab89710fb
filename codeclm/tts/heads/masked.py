"""`masked`: the slots of a step are uncovered in a few rounds, the surest first.

A small transformer that sees all slots both ways guesses the covered ones (MaskGIT, Chang et al.
2022, inside one frame as MagpieTTS has it). In training a random number of slots, evenly from one
to all, is covered. The loss of a step is then an upper bound of its negative log-probability under
a random order of uncovering (Hoogeboom et al. 2022), so that its bits can stand beside those of
other heads.
"""

from functools import partial

import torch
from torch import Tensor, nn

from codeclm.codecs.base import Stream
from codeclm.codecs.embedding import CodeEmbedding
from codeclm.tts.backbone import Sizes
from codeclm.tts.draw import Draw, in_rounds
from codeclm.tts.heads.base import Head
from codeclm.tts.heads.classes import Classes
from codeclm.tts.heads.local import encoder


class MaskedHead(Head):
    """Hidden states [N, D] to slots [N, K].

    Args:
        sizes: of the small transformer.
        rounds: of uncovering; K of them draw one slot at a time.
    """

    joint = True

    def __init__(
        self,
        streams: tuple[Stream, ...],
        width: int,
        levels: bool,
        points: bool,
        sizes: Sizes,
        rounds: int = 4,
    ) -> None:
        super().__init__()
        self.rounds = min(rounds, len(streams))
        self.classes = Classes(streams, sizes.width, levels)
        self.project = nn.Linear(width, sizes.width)
        self.read = CodeEmbedding(streams, sizes.width, points)
        self.covered = nn.Parameter(torch.randn(sizes.width) * 0.02)
        self.places = nn.Parameter(torch.randn(len(streams), sizes.width) * 0.02)
        self.body = encoder(sizes)

    def logits(self, hidden: Tensor, slots: Tensor, covered: Tensor) -> Tensor:
        """Scores [N, K, n, L] of every slot, of which those in `covered` [N, K] are not seen."""
        codes = [self.read.each(slots[:, k], k) for k in range(slots.shape[1])]
        x = torch.where(covered[..., None], self.covered, torch.stack(codes, dim=1))
        x = self.body(x + self.places + self.project(hidden)[:, None])
        scores = [self.classes.logits(x[:, k], k) for k in range(slots.shape[1])]
        return torch.stack(scores, dim=1)

    def loss(self, hidden: Tensor, slots: Tensor, streams: Tensor, begin: Tensor) -> Tensor:
        present = slots >= 0
        count = present.sum(1, keepdim=True)
        lot = torch.rand(slots.shape, device=slots.device).masked_fill(~present, 2.0)
        hide = (torch.rand_like(lot[:, :1]) * count).long() + 1  # 1 to count
        covered = (lot.argsort(1).argsort(1) < hide) & present
        nats = self.classes.cost(self.logits(hidden, slots, covered), slots)
        return nats * covered * count / hide

    def sample(self, hidden: Tensor, slots: Tensor, streams: Tensor, draw: Draw) -> Tensor:
        scores = partial(self.logits, hidden)
        return in_rounds(draw, slots, self.rounds, scores, self.classes.cost, self.classes.digits)
