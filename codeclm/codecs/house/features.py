"""The spectrum between the autoencoder and the vocoder: 100 log-mel bands, 100 frames a second.

Frame m looks at samples [240 m, 240 m + 960): it begins where its own hop begins, so the encoder
looks 720 samples (30 ms) past a frame's end and the vocoder, which lays its frames back at the
same places, never waits.
"""

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

SAMPLE_RATE = 24_000
HOP = 240
WINDOW = 960  # four hops: the squared Hann windows add up to exactly 1.5
BINS = WINDOW // 2 + 1
MELS = 100
FLOOR = 1e-5
LOWEST, HIGHEST = 50.0, 600.0  # Hz, the pitch of speech


def frame(wav: Tensor) -> Tensor:
    """Cuts sound [B, N] into overlapping frames [B, M, 960], M = (N - 720) / 240."""
    return wav.unfold(-1, WINDOW, HOP)


def overlap_add(frames: Tensor, tail: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Lays Hann-windowed frames [B, M, 960] back in place.

    Args:
        frames: already multiplied by the Hann window twice (analysis and synthesis).
        tail: [B, 720], what earlier frames left over; None for silence.

    Returns:
        The finished sound [B, 240 M] and the new tail.
    """
    batch, count, _ = frames.shape
    length = (count - 1) * HOP + WINDOW
    sound = F.fold(frames.transpose(1, 2), (1, length), (1, WINDOW), stride=(1, HOP))
    sound = sound.reshape(batch, length) / 1.5
    if tail is not None:
        sound = torch.cat([sound[:, : tail.shape[1]] + tail, sound[:, tail.shape[1] :]], dim=1)
    return sound[:, : count * HOP], sound[:, count * HOP :]


@cache
@torch.inference_mode(False)  # kept, and trained with later: no inference tensor
def hann() -> Tensor:
    """The periodic Hann window, [960]."""
    return torch.hann_window(WINDOW)


@cache
@torch.inference_mode(False)
def mel_filters() -> Tensor:
    """Triangular filters on the HTK mel scale, 0 Hz to 12 kHz, unit area in Hz; [481, 100]."""
    top = 2595 * math.log10(1 + SAMPLE_RATE / 2 / 700)
    edges = 700 * (10 ** (torch.linspace(0, top, MELS + 2, dtype=torch.float64) / 2595) - 1)
    freqs = torch.linspace(0, SAMPLE_RATE / 2, BINS, dtype=torch.float64)[:, None]
    rise = (freqs - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - freqs) / (edges[2:] - edges[1:-1])
    filters = torch.minimum(rise, fall).clamp(min=0)
    # A band narrower than the bin spacing can fall between two bins: give it its nearest one.
    nearest = (freqs - edges[1:-1]).abs().argmin(dim=0)
    empty = filters.sum(dim=0) == 0
    filters[nearest[empty], empty.nonzero()[:, 0]] = 1.0
    return (filters / filters.sum(dim=0)).float()


def log_mel(wav: Tensor) -> Tensor:
    """Log-mel spectrum of sound [B, N], N a multiple of 240; [B, N / 240, 100], about unit scale.

    What lies past the end is silence.
    """
    return framed_log_mel(F.pad(wav, (0, WINDOW - HOP)))


def framed_log_mel(wav: Tensor) -> Tensor:
    """Log-mel spectrum of sound [B, N] that holds the look-ahead; [B, (N - 720) / 240, 100].

    Natural log of the mel-averaged magnitude, shifted and scaled so that speech at usual level
    lies near mean 0 and deviation 1.
    """
    spectrum = torch.fft.rfft(frame(wav) * hann().to(wav))
    magnitude = (spectrum.real.square() + spectrum.imag.square() + 1e-14).sqrt()
    return normalize((magnitude @ mel_filters().to(wav)).clamp(min=FLOOR).log())


def normalize(log_magnitude: Tensor) -> Tensor:
    """Natural-log magnitudes to the scale the networks see."""
    return (log_magnitude + 2.0) / 2.5
