"""Pitch errors against closed forms, and the tracker on a known tone."""

import numpy as np
import pytest

from codeclm.evaluation import pitch


def test_a_semitone_is_a_hundred_cents() -> None:
    melody = np.array([0, 100, 150, 200, 0, 120.0])
    higher = melody * 2 ** (1 / 12)
    found = pitch.pitch_error(melody, higher)
    assert found.semitones == pytest.approx(1)
    assert found.cents == pytest.approx(100)
    assert (found.voicing, found.gross) == (0, 0)


def test_octaves_are_gross_and_leave_the_rest_alone() -> None:
    melody = np.full(10, 100.0)
    heard = melody.copy()
    heard[0] = 200  # an octave
    heard[1:3] = 0  # lost its voice
    found = pitch.pitch_error(melody, np.append(heard, 80))
    assert found.voicing == pytest.approx(0.2)
    assert found.gross == pytest.approx(1 / 8)
    assert found.cents == 0
    assert found.semitones == pytest.approx(12 / 8)


def test_without_a_voice_there_is_no_pitch() -> None:
    assert pitch.pitch_error(np.zeros(4), np.ones(4)) == pitch.PitchError(None, 1.0)
    with pytest.raises(ValueError, match="too short"):
        pitch.pitch_error(np.zeros(0), np.ones(4))


def test_the_pitch_of_a_buzz() -> None:
    pytest.importorskip("swift_f0")
    time = np.arange(16000) / 16000
    buzz = sum(np.sin(2 * np.pi * 150 * k * time) / k for k in range(1, 20))
    found = pitch.track(np.asarray(0.2 * buzz, dtype=np.float32))
    voiced = found[found > 0]
    assert len(voiced) > 0.8 * len(found)
    assert np.median(voiced) == pytest.approx(150, rel=0.01)
