"""What codec and vocoder training want: spectra alike, sound alike, pitch heard, critics fooled."""

import torch
from torch import Tensor
from torch.nn import functional as F

from codeclm.codecs.house.features import HIGHEST, LOWEST
from codeclm.codecs.house.vocoder import PITCHES, pitch_classes

SCALES = (256, 512, 1024, 2048)  # STFT windows of the spectral loss, in samples
QUIET = 0.0  # on the scale of the mel: about 40 dB below loud speech


def spectrum_loss(predicted: Tensor, mel: Tensor) -> Tensor:
    """Mean absolute error of log-mels, [B, M, 100] both; what nobody can hear counts a fifth."""

    def audible(x: Tensor) -> Tensor:
        return torch.where(x > QUIET, x, QUIET + 0.2 * (x - QUIET))

    return F.l1_loss(audible(predicted), audible(mel))


def spectral_loss(predicted: Tensor, wav: Tensor) -> Tensor:
    """Multi-resolution STFT loss (Yamamoto et al. 2020): log magnitude and spectral convergence.

    Sound [B, N] both; no phase enters.
    """
    total = predicted.new_zeros(())
    for window in SCALES:
        shape = torch.hann_window(window, device=wav.device)

        def magnitude(x: Tensor, window: int = window, shape: Tensor = shape) -> Tensor:
            stft = torch.stft(x, window, window // 4, window=shape, return_complex=True)
            return (stft.real.square() + stft.imag.square() + 1e-9).sqrt()

        a, b = magnitude(predicted), magnitude(wav)
        total = total + (a.clamp(min=1e-3).log() - b.clamp(min=1e-3).log()).abs().mean()
        total = total + (a - b).norm() / b.norm().clamp(min=1.0)
    return total / len(SCALES)


def pitch_loss(scores: Tensor, pitch: Tensor) -> Tensor:
    """Cross-entropy against a bump of one class around the tracked pitch, where there is one.

    Scores [B, M, 160], pitch [B, M] in Hz or 0.
    """
    voiced = pitch > 0
    centre = pitch_classes(pitch.clamp(LOWEST, HIGHEST))[..., None]
    bump = (-0.5 * (torch.arange(PITCHES, device=pitch.device) - centre).square()).softmax(-1)
    entropy = -(bump * scores.log_softmax(-1)).sum(-1)
    return (entropy * voiced).sum() / voiced.sum().clamp(min=1)


def fill(pitch: Tensor) -> Tensor:
    """Tracked pitch [B, M] with a calm 120 Hz where there is none."""
    return torch.where(pitch > 0, pitch, 120.0)
