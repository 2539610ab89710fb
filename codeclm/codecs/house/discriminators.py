"""Critics of sound for adversarial training: multi-resolution STFT and multi-period discriminators.

Small versions of those in UnivNet (Jang et al. 2021) and HiFi-GAN (Kong et al. 2020), with the
least-squares losses and feature matching of the latter. On a CPU they cost far more than what they
judge, so each step is shown to one of them only, and only half a second of its sound.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from codeclm.codecs.house.features import HOP
from codeclm.config import Config
from codeclm.training import Run

RESOLUTIONS = (512, 1024, 2048)  # STFT windows in samples; hop is a quarter
PERIODS = (3, 5, 7)


class StftDiscriminator(nn.Module):
    """Judges the complex STFT of sound [B, N]; returns the feature maps, the verdict last."""

    def __init__(self, window: int, channels: int) -> None:
        super().__init__()
        self.size = window
        self.register_buffer("window", torch.hann_window(window), persistent=False)
        self.window: Tensor
        c = channels
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(a, b, kernel, stride, padding))
            for a, b, kernel, stride, padding in (
                (3, c, (3, 8), (1, 2), (1, 3)),
                (c, c, (3, 8), (1, 2), (1, 3)),
                (c, 2 * c, (3, 8), (1, 2), (1, 3)),
                (2 * c, 2 * c, (3, 8), (1, 2), (1, 3)),
                (2 * c, 1, (3, 3), (1, 1), (1, 1)),
            )
        )

    def forward(self, wav: Tensor) -> list[Tensor]:
        stft = torch.stft(wav, self.size, self.size // 4, window=self.window, return_complex=True)
        parts = torch.view_as_real(stft).permute(0, 3, 2, 1)
        level = stft.abs().transpose(1, 2)[:, None].clamp(min=1e-5).log()
        x = torch.cat([parts, level], dim=1)
        return _features(self.layers, x)


class PeriodDiscriminator(nn.Module):
    """Judges sound [B, N] folded to rows of `period` samples."""

    def __init__(self, period: int, channels: int) -> None:
        super().__init__()
        self.period = period
        c = channels
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(a, b, (5, 1), (stride, 1), (2, 0)))
            for a, b, stride in (
                (1, c, 3),
                (c, 2 * c, 3),
                (2 * c, 4 * c, 3),
                (4 * c, 4 * c, 3),
                (4 * c, 1, 1),
            )
        )

    def forward(self, wav: Tensor) -> list[Tensor]:
        usable = wav.shape[1] // self.period * self.period
        return _features(self.layers, wav[:, None, :usable].reshape(len(wav), 1, -1, self.period))


def _features(layers: nn.ModuleList, x: Tensor) -> list[Tensor]:
    maps = []
    for layer in layers[:-1]:
        x = F.leaky_relu(layer(x), 0.1)
        maps.append(x)
    maps.append(layers[-1](x))
    return maps


def discriminators(channels: int) -> nn.ModuleList:
    """One of each kind and size."""
    return nn.ModuleList(
        [StftDiscriminator(window, channels) for window in RESOLUTIONS]
        + [PeriodDiscriminator(period, channels) for period in PERIODS]
    )


def discriminator_loss(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Least squares: 1 for the real, 0 for the fake."""
    return (1 - real[-1].float()).square().mean() + fake[-1].float().square().mean()


def generator_loss(real: list[Tensor], fake: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Adversarial loss, and feature matching relative to the real features' size."""
    adversarial = (1 - fake[-1].float()).square().mean()
    matching = torch.stack(
        [
            (a.float() - b.detach().float()).abs().mean() / b.detach().float().abs().mean()
            for a, b in zip(fake[:-1], real[:-1], strict=True)
        ]
    ).mean()
    return adversarial, matching


class AdversarialConfig(Config):
    """How the critics work.

    Attributes:
        start: step from which they join in; None leaves them out.
        judged: frames of 10 ms of each crop that a critic hears.
    """

    start: int | None = None
    channels: int = 16
    judged: int = 48
    learning_rate: float = 4e-4


class Critics(nn.Module):
    """The discriminators in turn, one a step, with the optimizer that trains them."""

    def __init__(self, config: AdversarialConfig) -> None:
        super().__init__()
        self.config = config
        self.critics = discriminators(config.channels)
        self.optimizer = torch.optim.AdamW(
            self.critics.parameters(), config.learning_rate, (0.5, 0.9)
        )

    def join(self, step: int) -> bool:
        """Whether they judge this step already."""
        return self.config.start is not None and step >= self.config.start

    def judge(
        self, step: int, real: Tensor, fake: Tensor, accelerator: Any, run: Run
    ) -> dict[str, Tensor]:
        """Trains the critic whose turn it is on half a second of [B, N]; what fools it, by name."""
        critic = self.critics[step % len(self.critics)]
        frames = real.shape[1] // HOP
        spare = max(0, frames - self.config.judged)
        first = int(torch.randint(min(24, spare), spare + 1, ()))
        ear = slice(first * HOP, (first + self.config.judged) * HOP)
        real, fake = real[:, ear], fake[:, ear]
        with accelerator.autocast():
            loss = discriminator_loss(critic(real), critic(fake.detach()))
        run.check(loss)
        accelerator.backward(loss)
        self.optimizer.step()
        critic.requires_grad_(False)
        with accelerator.autocast():
            adversarial, matching = generator_loss(critic(real), critic(fake))
        critic.requires_grad_(True)
        self.optimizer.zero_grad()
        return {"adversarial": adversarial, "matching": matching}
