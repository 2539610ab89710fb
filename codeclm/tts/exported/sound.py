"""A house codec that sounds tokens without torch: the networks as a graph, the rest in numpy.

What `codecs.house.vocoder` does between its networks and the sound, over arrays: the pitch, the
running phase, the pulses, the noise, the inverse FFT.
"""

import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from codeclm.codecs.base import CodecSpec
from codeclm.tts.exported.memory import Session

if TYPE_CHECKING:
    from codeclm.codecs import Codec
    from codeclm.tts.voice import Voice

Array = NDArray[Any]


class VocoderState(NamedTuple):
    """Where a stream stands; see `codecs.house.vocoder.VocoderState`."""

    pasts: dict[str, Array]
    phase: float
    pitch: float
    frames: int
    tail: Array


class OnnxSound:
    """`sound_stream.Sound` over a graph.

    Args:
        facts: of the graph.
        run: the graph.
        noise: [N], the fixed noise.
        scale: mean and deviation of latents, as the model has them.
        folder: of the codec, to make voices with.
    """

    def __init__(
        self,
        spec: CodecSpec,
        facts: Mapping[str, Any],
        run: Session,
        noise: Array,
        scale: Mapping[str, list[float]] | None,
        folder: Path,
    ) -> None:
        self.spec, self.run, self.folder = spec, run, folder
        self.sample_rate, self.hop = spec.sample_rate, spec.hop
        self.widths, self.before = facts["pasts"], facts["kernel"] - 1
        self.step = spec.hop // facts["stride"]  # samples a mel frame
        self.window = facts["window"]
        self.lowest, self.highest = facts["pitches"]
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.window) / self.window)
        self.hann = hann.astype(np.float32)
        # [mel frames, window]; they are used in turn.
        self.hiss = np.lib.stride_tricks.sliding_window_view(noise, self.window)[:: self.step]
        self.scale = None
        if scale:
            self.scale = [np.array(scale[k], np.float32)[:, None] for k in ("mean", "deviation")]

    @cached_property
    def codec(self) -> "Codec":
        """The codec itself, in torch."""
        from codeclm.codecs import load_codec

        return load_codec(self.folder)

    def check(self, voice: "Voice") -> None:
        voice.check(self.spec, f"voice {voice.name}")

    def enter(self, voice: "Voice") -> Array:
        tokens = np.asarray(voice.tokens)
        return (tokens - self.scale[0]) / self.scale[1] if self.scale else tokens

    def decode(self, frames: Array, state: Any, last: bool) -> tuple[NDArray[np.float32], Any]:
        if frames.shape[1] == 0:
            return np.zeros(0, np.float32), state
        tokens = frames * self.scale[1] + self.scale[0] if self.scale else frames
        if state is None:
            each = [np.zeros((self.before, width), np.float32) for width in self.widths]
            pasts = {f"past.{i}": past for i, past in enumerate(each)}
            state = VocoderState(pasts, 0.0, 0.0, 0, np.zeros(self.window - self.step, np.float32))
        found = self.run(tokens=tokens, **state.pasts)
        pasts = {name: found[f"{name}.after"] for name in state.pasts}
        hertz = self._pitch(found["scores"])
        turns = self._turns(hertz, state)
        frames = self._frames(found["filters"], hertz, turns, state.frames)
        sound, count = self._overlap(frames, state.tail), len(hertz)
        cut = count * self.step
        state = VocoderState(
            pasts, float(turns[-1]), float(hertz[-1]), state.frames + count, sound[cut:]
        )
        return sound[:cut], state

    def _pitch(self, scores: Array) -> Array:
        """`likely_pitch`: Hz [M] for scores [M, classes]."""
        scores, place = scores.astype(np.float64), np.arange(scores.shape[1])
        near = np.abs(place - scores.argmax(-1)[:, None]) <= 4
        powers = np.where(near, np.exp(scores - scores.max(-1, keepdims=True)), 0)
        octaves = (powers / powers.sum(-1, keepdims=True) * place).sum(-1)
        octaves *= math.log2(self.highest / self.lowest) / (scores.shape[1] - 1)
        found: Array = np.round(2 * self.lowest * np.exp2(octaves)) / 2
        return found.astype(np.float32)

    def _turns(self, hertz: Array, state: VocoderState) -> Array:
        """`run_phase`: turns [M] of the source at the centre of each frame, in double precision."""
        exact = hertz.astype(np.float64)
        before = state.pitch if state.frames else exact[0]
        path = np.concatenate([[before], exact])
        steps = (path[1:] + path[:-1]) / 2 * self.step / self.sample_rate
        found: Array = (state.phase + np.cumsum(steps)) % 1.0
        return found

    def _frames(self, filters: Array, hertz: Array, turns: Array, done: int) -> Array:
        """Windowed sound [M, window] of filters [M, 3 * bins] on pulses and noise."""
        voiced, noisy, turn = np.split(filters, 3, axis=1)
        pulses = np.fft.rfft(self._pulses(hertz, turns.astype(np.float32)) * self.hann)
        hiss = self.hiss[np.arange(done, done + len(hertz)) % len(self.hiss)]
        strength = np.exp(np.minimum(voiced, 6.0)) * (np.cos(turn) + 1j * np.sin(turn))
        noise = np.exp(np.minimum(noisy, 6.0)) * np.fft.rfft(hiss * self.hann)
        spectrum = strength * pulses + noise
        found: Array = np.fft.irfft(spectrum, self.window).astype(np.float32) * self.hann
        return found

    def _pulses(self, hertz: Array, phase: Array) -> Array:
        """`pulse_frames`: [M] each to [M, window]."""
        hertz, phase = hertz[:, None], phase[:, None]
        time = np.arange(self.window, dtype=np.float32) - self.window // 2
        time /= np.float32(self.sample_rate)
        half = np.float32(np.pi) * ((phase + hertz * time) % 1.0)
        harmonics = np.floor(self.sample_rate / 2 / hertz)
        below = np.sin(half)
        near = np.abs(below) < 1e-4
        kernel = np.sin((2 * harmonics + 1) * half) / (2 * np.where(near, np.float32(1), below))
        kernel = np.where(near, harmonics + np.float32(0.5), kernel) - np.float32(0.5)
        found: Array = kernel * np.sqrt(2 / harmonics)
        return found

    def _overlap(self, frames: Array, tail: Array) -> Array:
        """`overlap_add`: the finished sound and, behind it, what later frames add to."""
        parts = self.window // self.step
        sound = np.zeros((len(frames) + parts - 1, self.step), np.float32)
        for part in range(parts):
            sound[part : part + len(frames)] += frames[:, part * self.step : (part + 1) * self.step]
        joined: Array = sound.reshape(-1) / np.float32(1.5)
        joined[: len(tail)] += tail
        return joined
