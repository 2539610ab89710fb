"""Sound as bytes that can be sent while more of it is made.

What libsndfile writes is sent on as it appends; what it would go back for, to write lengths into a
header, is left as it was. So a streamed wav says that its length is 0xFFFFFFFF, as OpenAI's does. A
flac without its length cannot be read by libsndfile itself, so it is made by `whole` alone.
"""

import io
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codeclm.audio import BLOCK, OPUS_RATES
from codeclm.tts.sound_stream import Wav

TYPES = {
    "pcm": "audio/pcm",
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "flac": "audio/flac",
}
STREAMED = ("pcm", "wav", "mp3", "opus")
# A constant rate (112 kb/s at 24 kHz): without a table at the beginning, the length of a variable
# one cannot be told.
_CONSTANT = {"bitrate_mode": "CONSTANT", "compression_level": 0.3}
CODINGS: dict[str, dict[str, Any]] = {
    "mp3": {"format": "MP3", "subtype": "MPEG_LAYER_III", **_CONSTANT},
    "opus": {"format": "OGG", "subtype": "OPUS"},
    "flac": {"format": "FLAC", "subtype": "PCM_16"},
}
UNKNOWN = 0xFFFFFFFF


def pcm(wav: Wav) -> bytes:
    """16 bit little-endian samples of a sound [N]."""
    samples: NDArray[np.int16] = np.rint(wav.clip(-1, 1) * 32767).astype("<i2")
    return samples.tobytes()


def wav_header(rate: int, samples: int | None = None) -> bytes:
    """Of a mono 16 bit wav; None: of unknown length."""
    size = UNKNOWN if samples is None else 2 * samples
    riff = UNKNOWN if samples is None else 36 + size
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", riff, b"WAVE", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16, b"data", size),
    )


def whole(kind: str, rate: int, wav: Wav) -> bytes:
    """A sound [N] as one file, which knows its length."""
    if kind not in CODINGS:
        return (wav_header(rate, len(wav)) if kind == "wav" else b"") + pcm(wav)
    out = io.BytesIO()
    _Coded(out, kind, rate).write(wav, last=True)
    return out.getvalue()


class Encoder:
    """Turns chunks of sound at a rate into bytes of one kind of `STREAMED`."""

    def __init__(self, kind: str, rate: int) -> None:
        self._out = _Appended()
        self._coded = _Coded(self._out, kind, rate) if kind in CODINGS else None
        if kind == "wav":
            self._out.write(wav_header(rate))

    def add(self, wav: Wav, last: bool = False) -> bytes:
        """The bytes that the next samples [N] make known, perhaps none."""
        if self._coded is None:
            return self._out.take() + pcm(wav)
        self._coded.write(wav, last)
        return self._out.take()

    def end(self) -> bytes:
        """The rest."""
        return self.add(np.zeros(0, np.float32), last=True)


class _Coded:
    """A sound file, resampled where its format does not know the rate."""

    def __init__(self, out: Any, kind: str, rate: int) -> None:
        import soundfile
        import soxr

        self._resample = None
        if kind == "opus" and rate not in OPUS_RATES:
            self._resample = soxr.ResampleStream(rate, 48_000, 1, dtype="float32")
            rate = 48_000
        self._file = soundfile.SoundFile(out, "w", rate, 1, **CODINGS[kind])
        self._file.comment = "synthetic speech"

    def write(self, wav: Wav, last: bool) -> None:
        if self._resample is not None:
            wav = self._resample.resample_chunk(wav, last)
        for start in range(0, len(wav), BLOCK):
            self._file.write(wav[start : start + BLOCK])
        if last:
            self._file.close()


class _Appended(io.RawIOBase):
    """A file that keeps what is appended until it is taken, and lets go of what is rewritten."""

    def __init__(self) -> None:
        self._fresh, self._place, self._size = bytearray(), 0, 0

    def write(self, data: Any) -> int:
        if self._place == self._size:
            self._fresh += data
            self._size += len(data)
        self._place += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._place = offset + (0, self._place, self._size)[whence]
        return self._place

    def tell(self) -> int:
        return self._place

    def take(self) -> bytes:
        """What was appended since the last time."""
        found, self._fresh = bytes(self._fresh), bytearray()
        return found
