"""How far the melody of a sound is from that of the original: pitch and voicing by SwiftF0."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codeclm.evaluation import need

SAMPLE_RATE = 16000
LOWEST, HIGHEST = 60.0, 500.0  # Hz, of speech
SURE = 0.5  # confidence above which a frame has a voice
GROSS = 0.2  # share by which a pitch is off that is not out of tune but wrong (an octave)

Pitch = NDArray[np.float64]


@dataclass(frozen=True)
class PitchError:
    """Two melodies compared, in frames of 16 ms.

    Attributes:
        semitones: mean absolute difference where both have a voice; None where they never do.
        voicing: share of the frames in which one has a voice and the other has none (voicing
            decision error, Nakatani et al. 2008).
        gross: share of the frames with a voice in both whose pitch is more than 20 % off.
        cents: root mean square of what the other frames are off, a semitone being 100.
    """

    semitones: float | None
    voicing: float
    gross: float | None = None
    cents: float | None = None


@cache
def _detector() -> Any:
    with need("swift_f0", "train"):
        from swift_f0 import SwiftF0

    return SwiftF0(threads=1, spin=False)


def track(wav: NDArray[np.float32]) -> Pitch:
    """Pitch of `wav` [N], 16 kHz mono, in Hz every 16 ms; 0 where there is no voice."""
    found = _detector().detect(wav, SAMPLE_RATE, fmin=LOWEST, fmax=HIGHEST)
    return np.where(found.confidence > SURE, found.pitch_hz, 0.0).astype(np.float64)


def pitch_error(reference: Pitch, heard: Pitch) -> PitchError:
    """Compares two tracks [frames] that start together; the longer one is cut."""
    length = min(len(reference), len(heard))
    if length == 0:
        raise ValueError("one of the two sounds is too short for a pitch: choose another clip")
    a, b = reference[:length], heard[:length]
    both = (a > 0) & (b > 0)
    voicing = float(((a > 0) != (b > 0)).mean())
    if not both.any():
        return PitchError(None, voicing)
    ratio = b[both] / a[both]
    off = 12 * np.log2(ratio)
    wrong = np.abs(ratio - 1) > GROSS
    fine = float(100 * np.sqrt(np.square(off[~wrong]).mean())) if not wrong.all() else None
    return PitchError(float(np.abs(off).mean()), voicing, float(wrong.mean()), fine)
