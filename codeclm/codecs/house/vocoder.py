"""Spectrum to wave: a source, a filter, an inverse STFT; causal and without look-ahead.

A purely convolutional vocoder has to invent a running phase for every voiced sound, which takes
it days of training. Here the phase is given: the network reads the pitch off the spectrum, a pulse
train runs at that pitch, and the network only shapes, frame by frame, the spectra of the pulses and
of a fixed noise (source-filter synthesis as in neural source-filter and DDSP vocoders, Wang et al.
2019, Engel et al. 2020; inverse-STFT output as in Vocos, Siuzdak 2023). It speaks after minutes.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from codeclm.checkpoint import Checkpoint
from codeclm.codecs.house.features import (
    BINS,
    HIGHEST,
    HOP,
    LOWEST,
    MELS,
    SAMPLE_RATE,
    WINDOW,
    hann,
    overlap_add,
)
from codeclm.codecs.house.nn import Stack
from codeclm.config import Config

PITCHES = 160  # classes of the pitch, evenly spaced in octaves
NOISE_FRAMES = 997  # ten seconds of noise, then it repeats


class VocoderConfig(Config):
    """Sizes of the vocoder."""

    width: int = 288
    depth: int = 6


class VocoderState(NamedTuple):
    """All that a stream needs to go on.

    Attributes:
        past: of the convolutions.
        phase: [B], float64, turns of the pulse train at the centre of the last frame, 0 to 1.
        pitch: [B], Hz, in the last frame.
        frames: how many frames went before.
        tail: [B, 720], sound that later frames will add to.
    """

    past: tuple[Tensor, ...]
    phase: Tensor
    pitch: Tensor
    frames: int
    tail: Tensor


class Vocoder(nn.Module):
    """Log-mel [B, M, 100] to sound [B, 240 M]."""

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.config = config
        self.enter = nn.Linear(MELS, config.width)
        self.stack = Stack(config.width, config.depth)
        self.norm = nn.LayerNorm(config.width)
        self.pitch = nn.Linear(config.width, PITCHES)
        self.filters = nn.Linear(config.width, 3 * BINS)
        nn.init.normal_(self.filters.weight, std=0.01)
        nn.init.constant_(self.filters.bias, -4.0)
        noise = torch.randn((NOISE_FRAMES + 3) * HOP, generator=torch.Generator().manual_seed(0))
        self.register_buffer("noise", noise, persistent=False)
        self.noise: Tensor

    @classmethod
    def load(cls, saved: Checkpoint) -> "Vocoder":
        """The frozen network of a checkpoint."""
        model = cls(VocoderConfig(**saved.config))
        model.load_state_dict(saved.weights())
        return model.eval().requires_grad_(False)

    def forward(
        self, mel: Tensor, state: VocoderState | None = None, pitch: Tensor | None = None
    ) -> tuple[Tensor, Tensor, VocoderState]:
        """Sound for the next frames of a stream.

        Args:
            mel: [B, M, 100].
            state: of the frames before; None begins a stream.
            pitch: [B, M] Hz, to run the source at a known pitch instead (training).

        Returns:
            Sound [B, 240 M], scores of the pitch classes [B, M, 160], and the new state.
        """
        x, past = self.stack(self.enter(mel), state.past if state else None)
        x = self.norm(x)
        scores = self.pitch(x).float()
        hertz = likely_pitch(scores) if pitch is None else pitch
        phase, last = run_phase(hertz, state)
        done = state.frames if state else 0
        voiced, noisy, turn = self.filters(x).float().chunk(3, dim=-1)
        window = hann().to(mel.device)
        pulses = torch.fft.rfft(pulse_frames(hertz, phase) * window)
        hiss = torch.fft.rfft(self.noise_frames(done, mel.shape[1]) * window)
        spectrum = torch.polar(voiced.clamp(max=6.0).exp(), turn) * pulses
        spectrum = spectrum + noisy.clamp(max=6.0).exp() * hiss
        frames = torch.fft.irfft(spectrum, n=WINDOW) * window
        wav, tail = overlap_add(frames, state.tail if state else None)
        return wav, scores, VocoderState(past, last, hertz[:, -1], done + mel.shape[1], tail)

    def noise_frames(self, start: int, count: int) -> Tensor:
        """White noise for frames start to start + count, [count, 960]; the same every time."""
        index = torch.arange(start, start + count, device=self.noise.device) % NOISE_FRAMES
        frames: Tensor = self.noise.unfold(0, WINDOW, HOP)[index]
        return frames


def pitch_classes(hertz: Tensor) -> Tensor:
    """Where a pitch of 50 to 600 Hz lies on the scale of classes, 0 to 159, with fraction."""
    return torch.log2(hertz / LOWEST) * ((PITCHES - 1) / math.log2(HIGHEST / LOWEST))


def likely_pitch(scores: Tensor) -> Tensor:
    """Pitch in Hz, [B, M], for scores [B, M, 160]: the mean over the classes around the best one.

    Rounded to half a hertz: the phase adds up what it is given, and without the rounding the last
    bits, which differ with the number of frames in a call, would grow into another phase. Double
    precision adds no bits of its own, so that a pitch comes to lie on either side of a step ten
    times less often.
    """
    scores = scores.detach().double()
    best = scores.argmax(-1, keepdim=True)
    place = torch.arange(PITCHES, device=scores.device)
    near = scores.masked_fill((place - best).abs() > 4, -math.inf).softmax(-1)
    octaves = (near * place).sum(-1) * (math.log2(HIGHEST / LOWEST) / (PITCHES - 1))
    return ((2 * LOWEST * torch.exp2(octaves)).round() / 2).float()


def run_phase(hertz: Tensor, state: VocoderState | None) -> tuple[Tensor, Tensor]:
    """Turns of the source at the centre of each frame, [B, M] in 0 to 1, and the last of them.

    Between two centres the pitch goes straight from one to the other. Double precision keeps a
    long stream in step with itself however it is cut.
    """
    hertz = hertz.double()
    before = state.pitch.double() if state else hertz[:, 0]
    begin = state.phase if state else torch.zeros_like(before)
    path = torch.cat([before[:, None], hertz], dim=1)
    turns = begin[:, None] + ((path[:, 1:] + path[:, :-1]) / 2 * HOP / SAMPLE_RATE).cumsum(1)
    turns = turns % 1.0
    return turns.float(), turns[:, -1]


def pulse_frames(hertz: Tensor, phase: Tensor) -> Tensor:
    """A band-limited pulse train around the centre of each frame, [B, M] each to [B, M, 960].

    The sum of all harmonics below 12 kHz at equal strength, in closed form (Dirichlet kernel), with
    unit power.
    """
    hertz, phase = hertz[..., None], phase[..., None]
    time = (torch.arange(WINDOW, device=hertz.device) - WINDOW // 2) / SAMPLE_RATE
    half_angle = math.pi * ((phase + hertz * time) % 1.0)
    harmonics = (SAMPLE_RATE / 2 / hertz).floor()
    below = half_angle.sin()
    near = below.abs() < 1e-4
    kernel = ((2 * harmonics + 1) * half_angle).sin() / (2 * below.where(~near, below.new_ones(())))
    kernel = kernel.where(~near, harmonics + 0.5) - 0.5
    return kernel * (2 / harmonics).sqrt()
