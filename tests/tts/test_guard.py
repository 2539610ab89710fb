"""Guards: each steps in at its own fault only, and is counted."""

from collections import Counter

import numpy as np
import pytest

from codeclm.tts.guard import OFF, Guards, Silence, TextCursor, stuck


def spoken(chances, tokens=4, streamed=True, rate=25.0, guards=None):
    counts: Counter[str] = Counter()
    place = TextCursor(tokens, streamed, rate, guards or Guards(), counts)
    for chance in chances:
        if place.frames is None:
            place.advance(chance)
    return place.frames, dict(counts)


def test_a_token_that_would_not_end_is_moved_on():
    assert spoken([0.0] * 1000) == (4 * 30, {"runaway": 4})
    assert spoken([0.2] * 1000) == (4 * 4, {})  # the median of a chance of 0.2 is 4 frames
    assert spoken([0.0] * 3000, guards=OFF) == (4 * 250, {"runaway": 4})


def test_a_speech_that_would_not_end_is_cut_off():
    assert spoken([0.0] * 1000, streamed=False) == (round((0.4 * 4 + 1) * 25), {"runaway": 1})


def test_the_end_is_held_back_until_the_text_can_have_been_said():
    frames, counts = spoken([1.0] * 1000, tokens=48, streamed=False, rate=75.0)
    assert frames == pytest.approx(48 / 24 * 75, abs=1)
    assert counts == {"early stop": 1}
    assert spoken([1.0] * 10, tokens=48, streamed=False, rate=75.0, guards=OFF) == (1, {})


def test_text_that_goes_by_too_fast_is_held():
    frames, counts = spoken([1.0] * 1000, tokens=48, rate=75.0)
    assert frames == pytest.approx(48 / 24 * 75, rel=0.1)
    assert counts["wrong speed"] > 10
    assert spoken([1.0] * 100, tokens=48, rate=75.0, guards=OFF) == (48, {})
    # A model of 25 frames a second cannot speak faster than a token a frame.
    assert spoken([0.3] * 1000, tokens=48)[1] == {}


def test_a_frame_that_comes_again_and_again_is_noticed():
    frames = np.ones((3, 30), np.int64)
    assert stuck(frames, 25.0, Guards())
    assert not stuck(frames[:, :19], 25.0, Guards())
    assert not stuck(frames, 25.0, OFF)
    frames[1, -3] = 2
    assert not stuck(frames, 25.0, Guards())


@pytest.mark.parametrize("size", [1, 7, 40, 1000])
def test_long_silences_are_shortened_however_the_sound_is_cut(size):
    rng = np.random.default_rng(0)
    loud, still = rng.normal(0, 0.1, (2, 1000)).astype(np.float32), np.zeros(4000, np.float32)
    wav = np.concatenate([loud[0], still, loud[1], still[:1003]])
    counts: Counter[str] = Counter()
    guard = Silence(10, 100.0, Guards(silence=1.5), counts)  # 1500 samples
    pieces = [wav[i : i + size] for i in range(0, len(wav), size)]
    joined = np.concatenate([*[guard(piece) for piece in pieces], guard(wav[:0], last=True)])
    expected = np.concatenate([loud[0], still[:1500], loud[1], still[:1003]])
    assert np.array_equal(joined, expected)
    assert counts["silence"] == 1
    assert np.array_equal(Silence(10, 100.0, OFF, counts)(wav, last=True), wav)
