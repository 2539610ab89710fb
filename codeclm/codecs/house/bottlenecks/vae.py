"""Gaussian latents: no codes at all, a language model with a continuous head predicts them.

Kingma and Welling 2014, with free bits (Kingma et al. 2016): a dimension pays for what it says only
beyond `free_nats`. Latents leave and enter with mean 0 and deviation 1, measured while training, so
that a head never has to know their scale (as in DiTAR and CALM).
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from codeclm.codecs.house.bottlenecks.base import LATENT, Bottleneck, Losses
from codeclm.config import Config

MOMENTUM = 0.01  # of the running mean and variance


class VAEConfig(Config):
    """A frame is `dims` numbers; each may say `free_nats` nats for nothing."""

    kind: Literal["vae"] = "vae"
    dims: int = 32
    free_nats: float = 2.0


class VAE(Bottleneck):
    """A mean and a deviation for each dimension; the mean is the token."""

    family: ClassVar[str] = "vae"

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        self.enter = nn.Linear(LATENT, 2 * config.dims)
        self.leave = nn.Linear(config.dims, LATENT)
        self.register_buffer("mean", torch.zeros(config.dims))
        self.register_buffer("variance", torch.ones(config.dims))
        self.mean: Tensor
        self.variance: Tensor

    def forward(self, z: Tensor, teacher: Tensor | None = None) -> tuple[Tensor, Losses]:
        mean, log_variance = self.enter(z).chunk(2, dim=-1)
        log_variance = log_variance.clamp(-12.0, 4.0)
        drawn = mean
        if self.training:
            drawn = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
            self.measure(mean.detach())
        nats = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean(dim=(0, 1))
        return self.leave(drawn), {"kl": nats.clamp(min=self.config.free_nats).mean()}

    @torch.no_grad()
    def measure(self, mean: Tensor) -> None:
        """Moves the running statistics towards those of a batch, [B, T, dims]."""
        self.mean.lerp_(mean.mean(dim=(0, 1)), MOMENTUM)
        self.variance.lerp_((mean - self.mean).square().mean(dim=(0, 1)), MOMENTUM)

    def tokens(self, z: Tensor) -> Tensor:
        mean, _ = self.enter(z).chunk(2, dim=-1)
        latents: Tensor = (mean - self.mean) / self.variance.sqrt()
        return latents

    def latent(self, tokens: Tensor) -> Tensor:
        frame: Tensor = self.leave(tokens * self.variance.sqrt() + self.mean)
        return frame
