"""The scale of continuous latents: a language model reads and writes them with mean 0, deviation 1.

A head that has to learn the scale of each dimension learns little else at first (as DiTAR and CALM
have it). The mean and the deviation are measured on the frames trained on, and travel with the
prepared data and the model.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

LEAST = 1e-4  # deviation, so that a dimension that never moves does not explode


@dataclass(frozen=True)
class Scale:
    """Mean and deviation of each of D numbers."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @classmethod
    def measure(cls, latents: Iterable[Tensor]) -> "Scale":
        """The scale of latent matrices [D, T], each seen once."""
        count, total, squares = 0, torch.zeros(()), torch.zeros(())
        for matrix in latents:
            exact = matrix.double()
            count += exact.shape[1]
            total = total + exact.sum(1)
            squares = squares + exact.square().sum(1)
        mean = total / count
        deviation = (squares / count - mean.square()).clamp(min=0).sqrt().clamp(min=LEAST)
        return cls(tuple(mean.tolist()), tuple(deviation.tolist()))

    def enter(self, latents: Tensor) -> Tensor:
        """Latents [..., D, T] of the codec to those that a model reads."""
        return (latents - _column(self.mean, latents)) / _column(self.deviation, latents)

    def leave(self, latents: Tensor) -> Tensor:
        """The inverse of `enter`."""
        return latents * _column(self.deviation, latents) + _column(self.mean, latents)

    def to_dict(self) -> dict[str, Any]:
        """A JSON object; `Scale(**it)` reads it back."""
        return {"mean": list(self.mean), "deviation": list(self.deviation)}


def _column(row: tuple[float, ...], like: Tensor) -> Tensor:
    return torch.tensor(row, dtype=like.dtype, device=like.device)[:, None]
