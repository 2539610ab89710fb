"""Opus as a yardstick: the same samples at the same place, and a bitrate that was counted."""

import pytest
import torch

from codeclm import audio, load_codec
from codeclm.codecs import YARDSTICKS
from codeclm.codecs.published.opus import Opus, bits


def named(name):
    return Opus(name, YARDSTICKS[name])


@pytest.fixture(params=YARDSTICKS)
def opus(request):
    return named(request.param)


@pytest.fixture(scope="module")
def speech(clips):
    wavs = [audio.read(path, 24_000) for path in sorted(clips.parent.glob("*.opus"))[:2]]
    return torch.cat(wavs, dim=1)[None]


def test_as_many_samples_come_out_as_went_in(opus):
    for samples in (1, 479, 480, 24_001):
        wav = torch.randn(2, 1, samples) / 9
        assert opus.roundtrip(wav).shape == wav.shape
    assert opus.roundtrip(torch.zeros(1, 1, 0)).shape == (1, 1, 0)


def test_sound_stays_where_it_was(opus, speech):
    made = opus.roundtrip(speech)
    size = 2 * speech.shape[2]
    spectra = torch.fft.rfft(made[0, 0], size) * torch.fft.rfft(speech[0, 0], size).conj()
    likeness = torch.fft.irfft(spectra, size)
    lag = int(likeness.argmax())
    assert min(lag, size - lag) <= 2  # samples, of 42 microseconds
    assert likeness.max() > 0.5 * speech.square().sum()


def test_the_bitrate_is_near_the_one_aimed_at(opus, speech):
    assert opus.measured_bitrate(speech) == pytest.approx(opus.bitrate, rel=0.15)
    silence = torch.zeros(1, 1, 48_000)
    assert opus.measured_bitrate(silence) < opus.measured_bitrate(speech)


def test_more_bits_sound_better(speech):
    def snr(name):
        noise = named(name).roundtrip(speech) - speech
        return float(10 * (speech.square().sum() / noise.square().sum()).log10())

    assert snr("opus-6k") < snr("opus-12k") < snr("opus-24k")


def test_packets_are_counted_without_the_container(speech):
    (file,) = named("opus-12k").encode(speech)
    assert 0.5 * 8 * len(file) < bits(file) < 8 * len(file) - 8 * 100
    packet = bytes([255, 45])  # one packet of 300 bytes, in two segments
    page = b"OggS" + bytes(22)
    headers = page + bytes([2, 19, 40]) + bytes(59)
    assert bits(headers + page + bytes([2]) + packet + bytes(300)) == 2400


def test_a_batch_is_coded_one_by_one(opus, speech):
    wav = speech[..., :48_000].view(2, 1, 24_000)
    alone = torch.cat([opus.roundtrip(row[None]) for row in wav])
    assert torch.equal(opus.roundtrip(wav), alone)


def test_it_is_no_codec():
    assert named("opus-6k").latency_ms == 26.5
    for name in ("opus-6k", "opus-12k:2", "opus-24k@folder"):
        with pytest.raises(ValueError, match=r"no tokens to learn: .* roundtrip"):
            load_codec(name)
