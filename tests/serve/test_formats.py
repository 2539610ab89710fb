"""Every format, streamed and whole, is the sound that went in."""

import io

import numpy as np
import pytest
import soundfile

from codeclm.serve.formats import Encoder, pcm, whole


def tone(rate, seconds=2.0):
    time = np.arange(round(rate * seconds)) / rate
    return (0.3 * np.sin(2 * np.pi * 220 * time)).astype(np.float32)


def heard(data):
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        return file.read(dtype="float32"), file.samplerate


@pytest.mark.parametrize("rate", [24_000, 22_050])
@pytest.mark.parametrize("kind", ["wav", "mp3", "opus"])
def test_streamed_is_whole_is_what_went_in(kind, rate):
    wav, encoder = tone(rate), Encoder(kind, rate)
    pieces = [encoder.add(wav[i : i + 960]) for i in range(0, len(wav), 960)]
    data = b"".join([*pieces, encoder.end()])
    first = next(i for i, piece in enumerate(pieces) if len(piece) > 100)
    assert first * 960 / rate < (1.1 if kind == "opus" else 0.3)  # an ogg page is a second
    for found, found_rate in (heard(data), heard(whole(kind, rate, wav))):
        assert found_rate == (48_000 if kind == "opus" and rate == 22_050 else rate)
        assert len(found) / found_rate == pytest.approx(2.0, abs=0.12)
        at = np.fft.rfft(found[:found_rate]).__abs__().argmax()
        assert at == pytest.approx(220, abs=2)
    if kind == "wav":
        assert np.abs(heard(data)[0] - wav).max() < 1e-4


def test_a_flac_is_made_whole():
    assert np.abs(heard(whole("flac", 24_000, tone(24_000)))[0] - tone(24_000)).max() < 1e-4


def test_pcm_is_16_bit_and_never_wraps():
    assert pcm(np.array([0, 1, -1, 2, -2], np.float32)) == b"\0\0\xff\x7f\x01\x80\xff\x7f\x01\x80"


@pytest.mark.parametrize("kind", ["mp3", "opus", "flac"])
def test_files_say_that_they_are_synthetic(kind):
    made = whole(kind, 24_000, np.zeros(2400, np.float32))
    with soundfile.SoundFile(io.BytesIO(made)) as file:
        assert file.comment == "synthetic speech"
