"""The PNG that is written, read again by its definition."""

import struct
import zlib

import numpy as np

from codeclm.evaluation import spectrogram


def chunks(png: bytes) -> dict[bytes, bytes]:
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    found, place = {}, 8
    while place < len(png):
        (size,) = struct.unpack(">I", png[place : place + 4])
        kind, data = png[place + 4 : place + 8], png[place + 8 : place + 8 + size]
        (check,) = struct.unpack(">I", png[place + 8 + size : place + 12 + size])
        assert check == zlib.crc32(kind + data)
        found[kind] = data
        place += 12 + size
    return found


def test_pixels_come_back() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    found = chunks(spectrogram.png(pixels, spectrogram.palette(12)))
    assert struct.unpack(">IIBBBBB", found[b"IHDR"]) == (4, 3, 8, 3, 0, 0, 0)
    rows = np.frombuffer(zlib.decompress(found[b"IDAT"]), np.uint8).reshape(3, 5)
    assert (rows[:, 0] == 0).all()
    assert (rows[:, 1:] == pixels).all()
    assert len(found[b"PLTE"]) == 36


def test_a_tone_is_a_bright_line_at_its_height() -> None:
    tone = np.sin(2 * np.pi * 3000 * np.arange(24000) / 24000)
    found = chunks(spectrogram.picture(tone, 24000))
    width = struct.unpack(">I", found[b"IHDR"][:4])[0]
    rows = np.frombuffer(zlib.decompress(found[b"IDAT"]), np.uint8).reshape(-1, width + 1)
    brightest = rows[:, 1 + width // 2].argmax()
    assert abs(brightest - 0.75 * spectrogram.HEIGHT) <= 2  # 3 of 12 kHz, counted from below
    assert chunks(spectrogram.picture(np.zeros(10), 24000))[b"IEND"] == b""
