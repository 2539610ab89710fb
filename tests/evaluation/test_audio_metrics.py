"""Sound measures: their known ends, and that they fall as noise grows."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from codeclm.evaluation import audio_metrics


def speech(seconds: float = 2.0, rate: int = 16000) -> NDArray[np.float64]:
    """Syllable-like bursts of a buzz: enough for PESQ and STOI to find speech."""
    time = np.arange(int(seconds * rate)) / rate
    buzz = sum(np.sin(2 * np.pi * 140 * k * time) / k for k in range(1, 25))
    return np.asarray(0.2 * buzz * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * time)), dtype=np.float64)


def noisy(wav: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    return wav + scale * np.random.default_rng(0).standard_normal(len(wav))


def test_pesq() -> None:
    pytest.importorskip("pesq")
    wav = speech()
    assert audio_metrics.pesq_wb(wav, wav) == pytest.approx(4.644, abs=1e-3)
    light, heavy = (audio_metrics.pesq_wb(wav, noisy(wav, s)) for s in (0.005, 0.1))
    assert 4.6 > light > heavy >= 1.0


def test_pesq_of_silence_names_the_remedy() -> None:
    pytest.importorskip("pesq")
    with pytest.raises(ValueError, match="no speech in the reference"):
        audio_metrics.pesq_wb(np.zeros(16000), speech())


def test_stoi() -> None:
    pytest.importorskip("pystoi")
    wav = speech()
    assert audio_metrics.stoi(wav, wav, 16000) == pytest.approx(1.0)
    assert audio_metrics.stoi(wav, wav, 16000, extended=True) == pytest.approx(1.0)
    assert audio_metrics.stoi(wav, noisy(wav, 0.3), 16000) < 0.95


def test_visqol() -> None:
    for library in ("numba", "visqol", "ai_edge_litert"):
        pytest.importorskip(library, exc_type=ImportError)
    wav = speech()
    assert audio_metrics.visqol_speech(wav, wav) > 4.5
    light, heavy = (audio_metrics.visqol_speech(wav, noisy(wav, s)) for s in (0.0005, 0.1))
    assert 4.5 > light > heavy >= 1.0
    assert torch.get_num_threads() == 1  # as before: numba may not change them
    for bad in (0 * wav, wav[:9000]):
        with pytest.raises(ValueError, match="needs a second of sound"):
            audio_metrics.visqol_speech(wav, bad)


def test_mel_distance_of_a_gain_is_the_gain() -> None:
    wav = noisy(speech(rate=24000), 0.01)
    assert audio_metrics.mel_distance(wav, wav, 24000) == 0
    assert audio_metrics.mel_distance(wav, wav / 2, 24000) == pytest.approx(6.02, abs=0.01)
    assert audio_metrics.mel_distance(wav[:100], wav[:100], 24000) == 0


def test_si_sdr_known_value_and_scale_invariance() -> None:
    time = np.arange(16000) / 16000
    wav, orthogonal = np.sin(2 * np.pi * 100 * time), np.sin(2 * np.pi * 300 * time)
    assert audio_metrics.si_sdr(wav, wav + 0.1 * orthogonal) == pytest.approx(20.0, abs=1e-6)
    assert audio_metrics.si_sdr(wav, 5 * (wav + 0.1 * orthogonal)) == pytest.approx(20.0, abs=1e-6)
    with pytest.raises(ValueError, match="silent"):
        audio_metrics.si_sdr(np.zeros(10), np.ones(10))


def test_lengths_are_cut_and_shapes_checked() -> None:
    wav = speech()
    assert audio_metrics.mel_distance(wav, np.append(wav, np.ones(99)), 16000) == 0
    with pytest.raises(ValueError, match="mono"):
        audio_metrics.si_sdr(wav[None], wav)
    with pytest.raises(ValueError, match="empty"):
        audio_metrics.si_sdr(wav, wav[:0])


def test_bandwidth_is_that_of_the_sound_not_of_the_file() -> None:
    noise = np.random.default_rng(0).standard_normal(24000)
    spectrum = np.fft.rfft(noise)
    spectrum[np.fft.rfftfreq(24000, 1 / 24000) > 5000] = 0
    assert audio_metrics.bandwidth(np.fft.irfft(spectrum), 24000) == pytest.approx(5000, abs=350)
    assert audio_metrics.bandwidth(noise, 24000) == pytest.approx(12000, abs=100)
    assert audio_metrics.bandwidth(np.zeros(100), 24000) == 0


def test_dnsmos_falls_with_noise() -> None:
    pytest.importorskip("speechmos")
    wav = speech(9.1)  # shorter ones are repeated, and heard from every second on
    clean, dirty = audio_metrics.dnsmos(wav), audio_metrics.dnsmos(noisy(wav, 0.3))
    assert 1 <= dirty < clean <= 5
    with pytest.raises(ValueError, match="needs sound"):
        audio_metrics.dnsmos(wav[:0])
