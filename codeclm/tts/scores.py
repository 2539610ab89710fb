"""What a model in training is scored in: bits a second, or for latents an error of velocities."""

import math

import torch

from codeclm.codecs import CodecSpec
from codeclm.tts.layouts import Layout
from codeclm.tts.model import Batch, Losses

SECONDS = 8  # of an utterance, for the curve of the score over position


def unit(spec: CodecSpec) -> str:
    """What a model is scored in: for latents there are no bits to count."""
    return "velocity_error" if spec.latent_dims else "bits_per_second"


class Scores:
    """Bits a second of audio: in all, for each stream, and for each second of an utterance.

    Of latents it is the mean squared error of the velocity from noise to data.
    """

    def __init__(self, layout: Layout, spec: CodecSpec) -> None:
        self.layout, self.spec, self.rate = layout, spec, spec.frame_rate
        self.factor = 1 / spec.latent_dims if spec.latent_dims else self.rate / math.log(2)
        self.streams = torch.zeros(layout.streams)
        self.seconds = torch.zeros(SECONDS)
        self.frames_of_second = torch.zeros(SECONDS)
        self.frames, self.advance, self.told = 0, 0.0, 0

    def add(self, losses: Losses, batch: Batch) -> None:
        """Counts a batch in."""
        steps = batch.step >= 0
        stream, frame = self.layout.where(batch.step[steps])
        cost = losses.tokens.detach()[steps].cpu()
        slots = batch.slots[steps].cpu()
        counts = ~slots.isnan() if self.spec.latent_dims else slots >= 0
        stream, frame = stream.cpu(), frame.cpu()
        second = (frame.clamp(min=0) / self.rate).long().clamp(max=SECONDS - 1)
        self.streams.index_add_(0, stream.flatten(), cost.flatten())
        self.seconds.index_add_(0, second.flatten(), cost.flatten())
        first = counts & (stream == 0)
        self.frames_of_second += second[first].bincount(minlength=SECONDS)
        self.frames += int(first.sum())
        self.advance += losses.advance.detach().sum().item()
        self.told += int((batch.advance >= 0).sum())

    def summary(self) -> dict[str, float]:
        """Bits a second or the error, and nats of a decision to advance."""
        return {
            unit(self.spec): self.streams.sum().item() * self.factor / max(1, self.frames),
            "advance": self.advance / max(1, self.told),
        }

    def numbers(self) -> dict[str, float]:
        """The summary, and the same of each stream of codes and of each second of an utterance."""
        streams = self.streams[: len(self.spec.streams)] * self.factor / max(1, self.frames)
        seconds = self.seconds * self.factor / self.frames_of_second.clamp(min=1)
        return {
            **self.summary(),
            **{f"stream_{k}": cost.item() for k, cost in enumerate(streams)},
            **{f"second_{i}": c.item() for i, c in enumerate(seconds) if self.frames_of_second[i]},
        }
