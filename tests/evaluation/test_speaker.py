"""Speaker similarity, by Resemblyzer where it is installed."""

import warnings

import numpy as np
import pytest

from codeclm.evaluation import speaker


def test_cosine_of_silence_is_zero() -> None:
    one = np.ones(256, np.float32)
    assert speaker.cosine(one, 2 * one) == pytest.approx(1.0)
    assert speaker.cosine(one, 0 * one) == 0


def test_embedding_is_a_unit_vector_and_repeats(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("resemblyzer", exc_type=ImportError)
    time = np.arange(24000) / 16000
    buzz = sum(np.sin(2 * np.pi * 140 * k * time) / k for k in range(1, 25))
    wav = np.asarray(0.2 * buzz, dtype=np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, second = speaker.embed(wav), speaker.embed(wav)
    assert first.shape == (256,)
    assert np.linalg.norm(first) == pytest.approx(1.0, abs=1e-4)
    np.testing.assert_array_equal(first, second)
    assert not speaker.embed(np.zeros(16000, np.float32)).any()
    assert capsys.readouterr() == ("", "")
