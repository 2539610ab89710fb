"""How a language model reads latents, and what a step that takes several of them is made of."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codeclm.tts.backbone import Sizes
from codeclm.tts.heads.local import encoder


class PatchReader(nn.Module):
    """Patches of P latents [..., P * dims] to vectors [..., D]; NaN is read as 0.

    One latent goes through one matrix. Several are gathered by a transformer layer that sees both
    ways, at a place of its own (the patch encoder of DiTAR).
    """

    def __init__(self, dims: int, patch: int, width: int, sizes: Sizes) -> None:
        super().__init__()
        self.shape = (patch, dims)
        self.gather: nn.Module | None = None
        if patch == 1:
            self.enter = nn.Linear(dims, width)
        else:
            self.enter = nn.Linear(dims, sizes.width)
            self.places = nn.Parameter(torch.randn(patch + 1, sizes.width) * 0.02)
            self.gather = encoder(sizes.model_copy(update={"depth": 1}))
            self.leave = nn.Linear(sizes.width, width)

    def forward(self, slots: Tensor) -> Tensor:
        latents = slots.nan_to_num(0.0).view(*slots.shape[:-1], *self.shape)
        x: Tensor = self.enter(latents)  # [..., P, d]
        if self.gather is None:
            return x.squeeze(-2)
        x = F.pad(x, (0, 0, 1, 0)) + self.places
        gathered = self.gather(x.flatten(0, -3))[:, 0]
        out: Tensor = self.leave(gathered).view(*slots.shape[:-1], -1)
        return out


class FrameStates(nn.Module):
    """The state of each of the P frames of a step, from that of the step and the frame's text."""

    def __init__(self, patch: int, width: int) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.randn(patch, width) * 0.02)
        self.step, self.text = nn.Linear(width, width), nn.Linear(width, width)
        self.leave = nn.Linear(width, width)

    def forward(self, states: Tensor, text: Tensor, inside: int) -> Tensor:
        """[..., D] and [..., D] to [..., D], for frame number `inside` of the step."""
        mixed = F.gelu(self.step(states) + self.text(text) + self.place[inside])
        frame: Tensor = states + self.leave(mixed)
        return frame
