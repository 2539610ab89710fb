"""`flow`: a small diffusion transformer draws a patch of latents from noise, in a few Euler steps.

The local DiT of DiTAR (Jia et al. 2025, arXiv:2502.03930). It sees both ways over one patch: the
noisy latents, each with the state of its frame, and before them the patches that went before. It
learns the velocity from noise to data (conditional flow matching, Lipman et al. 2023) along
x_t = (1 - t) noise + t data. In training a state is dropped now and then, so that the velocity with
text and voice can be held against that without (LM guidance), and the backbone runs once for both.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from codeclm.tts.backbone import Sizes
from codeclm.tts.draw import Draw, along_flow
from codeclm.tts.heads.base import Head
from codeclm.tts.heads.local import Time, encoder

DROPPED = 0.1  # share of states hidden in training


class FlowHead(Head):
    """States of P frames [N, P * D] to their latents [N, P * dims].

    Args:
        dims: of a latent.
        patch: P.
        width: D, of the state of a frame.
        sizes: of the small transformer.
        history: patches before this one that it sees.
    """

    joint = True
    guides: ClassVar[bool] = True
    steps: ClassVar[int] = 10  # of Euler, when nobody says otherwise

    def __init__(self, dims: int, patch: int, width: int, sizes: Sizes, history: int = 1) -> None:
        super().__init__()
        self.shape, self.history = (patch, dims), history
        self.state = nn.Linear(width, sizes.width)
        self.unknown = nn.Parameter(torch.zeros(sizes.width))  # in place of a dropped state
        self.noisy = nn.Linear(dims, sizes.width)
        self.clean = nn.Linear(dims, sizes.width)
        self.time = Time(sizes.width)
        self.places = nn.Parameter(torch.randn((history + 1) * patch, sizes.width) * 0.02)
        self.body = encoder(sizes)
        self.leave = nn.Linear(sizes.width, dims)
        nn.init.zeros_(self.leave.weight)

    def velocity(self, x: Tensor, t: Tensor, states: Tensor, past: Tensor) -> Tensor:
        """Where noisy latents x should go, [N, P, dims] both, at times [N] from 0 (noise) to 1.

        They see states [N, P, d] and the past [N, history * P, d].
        """
        now = self.noisy(x) + states + self.time(t)[:, None]
        seen = self.body(torch.cat([past, now], dim=1) + self.places)
        v: Tensor = self.leave(seen[:, past.shape[1] :])
        return v

    def loss(self, hidden: Tensor, slots: Tensor, streams: Tensor, begin: Tensor) -> Tensor:
        known = ~slots.isnan()
        data = slots.nan_to_num(0.0).view(-1, *self.shape)
        states = self.state(hidden.view(len(hidden), self.shape[0], -1))
        t = torch.rand(len(data), device=data.device)
        if self.training:
            t = torch.randn_like(t).sigmoid()  # more often in the middle (Esser et al. 2024)
            drop = torch.rand_like(t) < DROPPED
            states = torch.where(drop[:, None, None], self.unknown.to(states.dtype), states)
        noise = torch.randn_like(data)
        x = torch.lerp(noise, data, t[:, None, None])
        error: Tensor = self.velocity(x, t, states, self.past(data, begin)) - (data - noise)
        return error.float().square().flatten(1) * known

    def past(self, data: Tensor, begin: Tensor) -> Tensor:
        """What went before each of N patches in a row, [N, history * P, d]; nothing at a begin."""
        inside = begin.long().cumsum(0)  # the number of each patch's utterance
        read = self.clean(data)
        before = []
        for back in range(self.history, 0, -1):
            same = torch.zeros_like(begin)
            same[back:] = inside[back:] == inside[:-back]
            before.append(read.roll(back, 0) * same[:, None, None])
        return torch.cat(before, dim=1) if before else read[:, :0]

    def sample(self, hidden: Tensor, slots: Tensor, streams: Tensor, draw: Draw) -> Tensor:
        states = self.state(hidden.view(len(hidden), self.shape[0], -1))
        before = [self.clean(slots.view(-1, *self.shape)) for slots in draw.last(self.history)]
        missing = (self.history - len(before)) * self.shape[0]
        past = torch.cat([states.new_zeros(len(states), missing, states.shape[-1]), *before], 1)
        past = draw.twice(past)
        if draw.guided:
            states = torch.cat([states, self.unknown.expand_as(states)])

        def velocity(x: Tensor, t: float) -> Tensor:
            return self.velocity(x, x.new_full((len(x),), t), states, past)

        return along_flow(draw, (len(hidden), *self.shape), self.steps, velocity)
