"""How close a sound is to its original: PESQ, STOI, ViSQOL, mel distance, SI-SDR.

All of these take two mono signals [N] of one rate that start together; the longer one is cut.
`dnsmos` and `bandwidth` judge a sound alone.
"""

import warnings
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codeclm.evaluation import need

SHORTEST_VISQOL = 16000  # samples

Wav = NDArray[np.floating[Any]]


def pesq_wb(reference: Wav, degraded: Wav) -> float:
    """PESQ wide band (P.862.2, 1.0 to 4.64) of two signals at 16 kHz."""
    with need("pesq", "eval"):
        from pesq import NoUtterancesError, pesq

    reference, degraded = _pair(reference, degraded)
    try:
        return float(pesq(16000, reference, degraded, "wb"))
    except NoUtterancesError:
        raise ValueError("PESQ finds no speech in the reference: choose another clip") from None


def stoi(reference: Wav, degraded: Wav, sample_rate: int, *, extended: bool = False) -> float:
    """Short-time objective intelligibility (0 to 1); `extended` gives ESTOI."""
    with need("pystoi", "eval"):
        import pystoi

    reference, degraded = _pair(reference, degraded)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(pystoi.stoi(reference, degraded, sample_rate, extended=extended))


def visqol_speech(reference: Wav, degraded: Wav) -> float:
    """ViSQOL in speech mode with the lattice mapping (1.0 to about 4.7), both signals at 16 kHz."""
    reference, degraded = _pair(reference, degraded)
    if len(reference) < SHORTEST_VISQOL or not reference.any() or not degraded.any():
        raise ValueError("ViSQOL needs a second of sound that is not silent: choose another clip")
    return float(_visqol().measure_from_arrays(reference, degraded, 16000).moslqo)


@cache
def _visqol() -> Any:
    with suppress(ImportError):  # numba's layer for OpenMP would change the threads of torch
        import numba

        settings: Any = numba.config
        settings.THREADING_LAYER = "workqueue"
    with need("visqol", "eval"):
        import visqol
    with need("ai_edge_litert", "eval"):
        import ai_edge_litert  # noqa: F401  # without it ViSQOL would use a mapping that flatters

    api = visqol.VisqolApi()
    api.create(mode="speech", use_lattice_model=True)
    return api


def mel_distance(reference: Wav, degraded: Wav, sample_rate: int) -> float:
    """Mean absolute difference of 80-band mel spectra in dB (43 ms windows, 11 ms steps)."""
    reference, degraded = _pair(reference, degraded)
    return float(np.abs(_mel_db(reference, sample_rate) - _mel_db(degraded, sample_rate)).mean())


def si_sdr(reference: Wav, degraded: Wav) -> float:
    """Scale-invariant signal to distortion ratio in dB."""
    reference, degraded = _pair(reference, degraded)
    reference, degraded = reference - reference.mean(), degraded - degraded.mean()
    energy = float(reference @ reference)
    if energy == 0:
        raise ValueError("the reference is silent: choose another clip")
    target = float(degraded @ reference) / energy * reference
    noise = degraded - target
    return 10 * float(np.log10((target @ target + 1e-20) / (noise @ noise + 1e-20)))


def dnsmos(wav: Wav) -> float:
    """DNSMOS P.835, overall quality without a reference (1 to 5), of [N] at 16 kHz.

    Shorter sound is repeated until it is nine seconds long, by the library.
    """
    with need("speechmos", "eval"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from speechmos import dnsmos as library

    if not len(wav):
        raise ValueError("DNSMOS needs sound: choose another clip")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(library.run(np.clip(wav, -1, 1).astype(np.float32), 16000)["ovrl_mos"])


def bandwidth(wav: Wav, sample_rate: int, below: float = 60.0) -> float:
    """Up to which frequency a sound reaches, in Hz, whatever its sample rate allows.

    The highest frequency whose mean power over the clip is at most `below` dB under the strongest
    one (21 ms windows, the spectrum smoothed over 200 Hz). 0 for silence.
    """
    size = 1 << round(sample_rate * 0.021).bit_length()
    wav = np.pad(np.asarray(wav, dtype=np.float64), (0, max(0, size - len(wav))))
    frames = np.lib.stride_tricks.sliding_window_view(wav, size)[:: size // 2]
    power = (np.abs(np.fft.rfft(frames * np.hanning(size))) ** 2).mean(0)
    width = max(1, round(200 * size / sample_rate))
    smooth = np.convolve(power, np.ones(width) / width, mode="same")
    if smooth.max() <= 0:
        return 0.0
    high = np.flatnonzero(smooth >= smooth.max() * 10 ** (-below / 10))[-1]
    return float(min(high * sample_rate / size, sample_rate / 2))


def _pair(reference: Wav, degraded: Wav) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if reference.ndim != 1 or degraded.ndim != 1:
        raise ValueError(f"mono signals [N] are needed, not {reference.shape}, {degraded.shape}")
    length = min(len(reference), len(degraded))
    if length == 0:
        raise ValueError("one of the two signals is empty")
    return reference[:length].astype(np.float64), degraded[:length].astype(np.float64)


def _mel_db(wav: NDArray[np.float64], sample_rate: int) -> NDArray[np.float64]:
    """Mel spectrum [80, frames] in dB, no lower than -100."""
    from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

    length = 1024 * sample_rate // 24000
    fft = 1 << (length - 1).bit_length()
    filters = mel_filter_bank(
        1 + fft // 2, 80, 0.0, sample_rate / 2, sample_rate, norm=None, mel_scale="htk"
    )
    mel: NDArray[np.float64] = spectrogram(
        np.pad(wav, (0, max(0, length - len(wav)))),
        window_function(length, "hann"),
        frame_length=length,
        hop_length=length // 4,
        fft_length=fft,
        power=2.0,
        mel_filters=filters,
        mel_floor=1e-10,
    )
    return np.asarray(10 * np.log10(mel), dtype=np.float64)
