"""From frames to sound, chunk by chunk: small chunks while somebody waits, larger ones later."""

from collections import Counter
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from codeclm.tts.engine import Heard
from codeclm.tts.guard import Guards, Silence

if TYPE_CHECKING:
    from codeclm.codecs import Codec
    from codeclm.tts.voice import Voice

LARGEST_CHUNK = 32  # frames decoded at a time, once the first have been heard

Array = NDArray[Any]


class Sound(Protocol):
    """The codec, as a speaking model needs it.

    Attributes:
        sample_rate: Hz.
        hop: samples a frame.
        codec: to make voices with.
    """

    sample_rate: int
    hop: int

    @property
    def codec(self) -> "Codec": ...

    def check(self, voice: "Voice") -> None:
        """Refuses the voice of another codec."""
        ...

    def enter(self, voice: "Voice") -> Array:
        """The token matrix [K, T] of a voice as the networks read it."""
        ...

    def decode(self, frames: Array, state: Any, last: bool) -> tuple[NDArray[np.float32], Any]:
        """The sound [N] of the next frames [K, n], and where its stream stands."""
        ...


class Mouth:
    """Sounds one talk.

    Chunks of 1, 2, 4 ... frames: each is there before the one before it has been heard, if frames
    are made at twice the speed of speech.
    """

    def __init__(self, sound: Sound, guards: Guards, counts: Counter[str]) -> None:
        self.sound = sound
        self._silence = Silence(sound.hop, sound.sample_rate / sound.hop, guards, counts)
        self._state: Any = None
        self._waiting: list[Array] = []
        self._nothing: Array | None = None  # a chunk without frames
        self._size = 1

    def __call__(self, heard: Heard) -> NDArray[np.float32]:
        """What can be heard [N] after a step, perhaps nothing."""
        if heard.frames.shape[1]:
            self._waiting.append(heard.frames)
        waiting = sum(frames.shape[1] for frames in self._waiting)
        if not waiting or (waiting < self._size and not heard.over):
            return np.zeros(0, np.float32)
        self._size = min(2 * self._size, LARGEST_CHUNK)
        if not heard.pause:
            return self._decode()
        rest = np.zeros(round(heard.pause * self.sound.sample_rate), np.float32)
        return np.concatenate([self.close(), rest])

    def close(self) -> NDArray[np.float32]:
        """What is left [N], when no more will come."""
        wav = self._decode(last=True)
        self._state = None
        return wav

    def _decode(self, last: bool = False) -> NDArray[np.float32]:
        if self._state is None and not self._waiting:
            return np.zeros(0, np.float32)
        if self._waiting:
            frames = np.concatenate(self._waiting, axis=1)
            self._waiting, self._nothing = [], frames[:, :0]
        else:
            assert self._nothing is not None
            frames = self._nothing
        wav, self._state = self.sound.decode(frames, self._state, last)
        return self._silence(wav, last)
