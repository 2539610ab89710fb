"""Pictures of sound: a spectrogram as a small PNG, written with nothing but numpy and zlib."""

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

HEIGHT, WIDEST = 96, 280  # pixels
RANGE = 80.0  # dB from the loudest to black
LEVELS = 24  # shades; fewer make smaller files

# Dark to bright, evenly bright steps: black, violet, red, orange, pale yellow.
_STOPS = np.array([[8, 6, 20], [74, 20, 110], [176, 44, 92], [238, 120, 44], [252, 246, 190]])


def picture(wav: NDArray[np.floating[Any]], sample_rate: int) -> bytes:
    """The PNG of a sound [N]: time to the right, 0 Hz to half the sample rate upwards."""
    size = 1 << round(sample_rate * 0.021).bit_length()
    wav = np.pad(np.asarray(wav, dtype=np.float64), (size // 2, size))
    columns = max(2, min(WIDEST, len(wav) * 50 // sample_rate))
    starts = np.linspace(0, len(wav) - size, columns).astype(int)
    frames = np.stack([wav[start : start + size] for start in starts]) * np.hanning(size)
    power = np.abs(np.fft.rfft(frames))[:, 1:] ** 2
    bands = np.stack([part.mean(1) for part in np.array_split(power, HEIGHT, axis=1)])  # [96, T]
    level = 10 * np.log10(bands + 1e-12)
    shade = np.clip((level - level.max()) / RANGE + 1, 0, 1)
    return png(np.rint(shade[::-1] * (LEVELS - 1)).astype(np.uint8), palette(LEVELS))


def palette(levels: int) -> NDArray[np.uint8]:
    """Colours [levels, 3] from dark to bright."""
    place = np.linspace(0, len(_STOPS) - 1, levels)
    mixed = [np.interp(place, np.arange(len(_STOPS)), _STOPS[:, c]) for c in range(3)]
    return np.stack(mixed, axis=1).astype(np.uint8)


def png(pixels: NDArray[np.uint8], colours: NDArray[np.uint8]) -> bytes:
    """A PNG of palette numbers [H, W] (ISO/IEC 15948: signature, IHDR, PLTE, IDAT, IEND)."""
    height, width = pixels.shape
    rows = np.pad(pixels, ((0, 0), (1, 0))).tobytes()  # filter 0 before each row
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = [(b"IHDR", head), (b"PLTE", colours.tobytes()), (b"IDAT", zlib.compress(rows, 9))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in [*parts, (b"IEND", b"")])


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
