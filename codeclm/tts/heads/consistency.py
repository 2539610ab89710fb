"""`consistency`: a small network that goes from noise to a latent in one step.

The head of Continuous Audio Language Models (Rouard et al. 2025, arXiv:2509.06926) and Pocket TTS.
It learns the flow map: where a noisy latent at time s will be at time t,

    X(x, s, t) = x + (t - s) v(x, s, t)        0 is noise, 1 is data.

For t = s this is flow matching. For t > s the map must move with t as the flow itself does,
d X / d t = v(X, t, t), and that is what it is told (Lagrangian self-distillation, Boffi et al.
2025, arXiv:2505.18825). The network is a perceptron whose layers are modulated by state and times
(AdaLN, as in MAR, Li et al. 2024); how much each pair of times counts is learnt too (Karras et al.
2024).
"""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codeclm.tts.backbone import Sizes
from codeclm.tts.draw import Draw, along_map
from codeclm.tts.heads.base import Head
from codeclm.tts.heads.local import Time

DISTILLED = 0.25  # share of the noise draws that learn the map; the rest learns the flow
WHOLE = 0.25  # share of those maps that begin at noise itself, and of those that end at data
SUREST = -1.0  # log of the least error believed; a map all but learnt must not outweigh the flow
ANYWHERE = 0.5  # share of times drawn evenly, so that the two ends are seen too


class ConsistencyHead(Head):
    """States [N, D] to latents [N, C]; of P frames at once, D and C are P times as wide.

    Args:
        dims: of a latent; a step has C = `patch` times as many.
        width: of a state; a step has D = `patch` times as many.
        sizes: `width`, `depth` and `inner` of the network.
        draws: noises that every step is trained with at once.
        patch: latents a step.
    """

    joint = True
    steps: ClassVar[int] = 1  # when nobody says otherwise

    def __init__(self, dims: int, width: int, sizes: Sizes, draws: int = 4, patch: int = 1) -> None:
        super().__init__()
        self.draws = draws
        self.velocity = Velocity(patch * dims, patch * width, sizes)
        last = nn.Linear(32, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.doubt = nn.Sequential(nn.Linear(2, 32), nn.SiLU(), last)

    def loss(self, hidden: Tensor, slots: Tensor, streams: Tensor, begin: Tensor) -> Tensor:
        known = ~slots.isnan()
        data = slots.nan_to_num(0.0)
        if not self.training:
            return self._flow_error(hidden, data, torch.rand_like(data[:, 0])) * known
        rows = torch.randperm(self.draws * len(data), device=data.device) % len(data)
        count = round(DISTILLED * len(rows))
        far, near = rows[:count], rows[count:]
        t = _times(near)
        cost = self._weighed(self._flow_error(hidden[near], data[near], t), t, t)
        total = torch.zeros_like(data).index_add(0, near, cost)
        one, other = _times(far), _times(far)
        s, t = torch.minimum(one, other), torch.maximum(one, other)
        s = torch.where(torch.rand_like(s) < WHOLE, 0.0, s)
        t = torch.where(torch.rand_like(t) < WHOLE, 1.0, t)
        cost = self._weighed(self._map_error(hidden[far], data[far], s, t), s, t)
        return total.index_add(0, far, cost) / self.draws * known

    def _flow_error(self, hidden: Tensor, data: Tensor, t: Tensor) -> Tensor:
        """Squared error [n, C] of the velocity at the time t itself."""
        noise = torch.randn_like(data)
        x = torch.lerp(noise, data, t[:, None])
        v: Tensor = self.velocity(x, t, t, hidden)
        return (v - (data - noise)).float().square()

    def _map_error(self, hidden: Tensor, data: Tensor, s: Tensor, t: Tensor) -> Tensor:
        """Squared difference [n, C] of how the map moves with t, and how the flow does there."""
        x = torch.lerp(torch.randn_like(data), data, s[:, None])

        def moved(t: Tensor) -> Tensor:
            v: Tensor = self.velocity(x, s, t, hidden)
            return x + (t - s)[:, None] * v

        there, motion = torch.func.jvp(moved, (t,), (torch.ones_like(t),))  # type: ignore[misc]
        with torch.no_grad():
            flow = self.velocity(there.detach(), t, t, hidden)
        error: Tensor = motion - flow
        return error.float().square()

    def _weighed(self, error: Tensor, s: Tensor, t: Tensor) -> Tensor:
        """Errors [n, C] against how large they are known to be between these times."""
        doubt: Tensor = self.doubt(torch.stack([s, t], dim=-1)).float().clamp(min=SUREST)
        weighed: Tensor = error * (-doubt).exp() + doubt
        return weighed

    def sample(self, hidden: Tensor, slots: Tensor, streams: Tensor, draw: Draw) -> Tensor:
        def velocity(x: Tensor, s: float, t: float, hidden: Tensor) -> Tensor:
            since, until = (x.new_full((len(x),), time) for time in (s, t))
            v: Tensor = self.velocity(x, since, until, hidden)
            return v

        return along_map(draw, hidden, slots.shape[1], self.steps, velocity)


class Velocity(nn.Module):
    """Mean velocity [N, C] of latents x [N, C] on their way from time s to t, given a state."""

    def __init__(self, dims: int, width: int, sizes: Sizes) -> None:
        super().__init__()
        self.x = nn.Linear(dims, sizes.width)
        self.state = nn.Linear(width, sizes.width)
        self.since, self.until = Time(sizes.width), Time(sizes.width)
        self.layers = nn.ModuleList(Layer(sizes) for _ in range(sizes.depth))
        self.leave = nn.Linear(sizes.width, dims)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor, s: Tensor, t: Tensor, hidden: Tensor) -> Tensor:
        known = F.silu(self.state(hidden) + self.since(s) + self.until(t))
        x = self.x(x)
        for layer in self.layers:
            x = layer(x, known)
        v: Tensor = self.leave(F.layer_norm(x, x.shape[-1:]))
        return v


class Layer(nn.Module):
    """Two matrices beside the way straight through, modulated by what is known [N, d]."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.enter = nn.Linear(sizes.width, sizes.inner)
        self.leave = nn.Linear(sizes.inner, sizes.width)
        self.shift, self.scale, self.gate = (nn.Linear(sizes.width, sizes.width) for _ in range(3))
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        y = F.layer_norm(x, x.shape[-1:]) * (1 + self.scale(known)) + self.shift(known)
        gated: Tensor = self.gate(known) * self.leave(F.silu(self.enter(y)))
        return x + gated


def _times(like: Tensor) -> Tensor:
    """Times [n] between 0 and 1, most of them beyond the middle (Pocket TTS), a few anywhere."""
    often = (0.4 + torch.randn(len(like), device=like.device)).sigmoid()
    return torch.where(torch.rand_like(often) < ANYWHERE, torch.rand_like(often), often)
