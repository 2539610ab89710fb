"""From frames to sound, chunk by chunk: small chunks while somebody waits, larger ones later."""

from collections import Counter
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from codeclm.tts.engine import StepOutput
from codeclm.tts.guard import Guards, Silence

if TYPE_CHECKING:
    from codeclm.codecs import Codec
    from codeclm.tts.voice import Voice

LARGEST_CHUNK = 32  # frames decoded at a time, once the first have been heard

Array = NDArray[Any]
Wav = NDArray[np.float32]
Chunk = tuple[Array, float]  # frames [K, n], and the seconds of silence after them


class Sound(Protocol):
    """The codec, as a speaking model needs it."""

    sample_rate: int  # Hz
    hop: int  # samples a frame

    @property
    def codec(self) -> "Codec":
        """The codec itself, to make voices with."""

    def check(self, voice: "Voice") -> None:
        """Refuses the voice of another codec."""

    def enter(self, voice: "Voice") -> Array:
        """The token matrix [K, T] of a voice as the networks read it."""

    def decode(self, frames: Array, state: Any, last: bool) -> tuple[Wav, Any]:
        """The sound [N] of the next frames [K, n], and where its stream stands."""


class SoundStream:
    """Sounds one talk. What it says may be said beside the drawing of the next frames.

    Chunks of 1, 2, 4 ... frames: each is there before the one before it has been heard, if frames
    are made at twice the speed of speech.
    """

    def __init__(self, sound: Sound, guards: Guards, counts: Counter[str]) -> None:
        self.sound = sound
        self._silence = Silence(sound.hop, sound.sample_rate / sound.hop, guards, counts)
        self._waiting: list[Array] = []
        self._size = 1
        self._state: Any = None
        self._nothing: Array | None = None  # a chunk without frames

    def take(self, output: StepOutput) -> Chunk | None:
        """What is to be sounded after a step, if anything is yet."""
        self._waiting.append(output.frames)
        waiting = sum(frames.shape[1] for frames in self._waiting)
        if waiting < self._size and not (output.over and (waiting or output.pause)):
            return None
        self._size = min(2 * self._size, LARGEST_CHUNK)
        frames, self._waiting = np.concatenate(self._waiting, axis=1), []
        return frames, output.pause

    def say(self, chunk: Chunk) -> Wav:
        """The sound [N] of a chunk, and of the silence after it."""
        frames, pause = chunk
        self._nothing = frames[:, :0]
        wav = self._decode(frames, last=False)
        if not pause:
            return wav
        rest = np.zeros(round(pause * self.sound.sample_rate), np.float32)
        return np.concatenate([wav, self.close(), rest])

    def close(self) -> Wav:
        """What is left [N], when no more will come."""
        if self._nothing is None:
            return np.zeros(0, np.float32)
        wav = self._decode(self._nothing, last=True)
        self._state = self._nothing = None
        return wav

    def _decode(self, frames: Array, last: bool) -> Wav:
        wav, self._state = self.sound.decode(frames, self._state, last)
        return self._silence(wav, last)
