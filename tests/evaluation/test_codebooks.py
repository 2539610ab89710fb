"""Codebook use against closed forms."""

import numpy as np
import pytest

from codeclm.evaluation import codebooks


def test_perplexity_of_even_codes_is_their_number() -> None:
    found = codebooks.use(np.arange(64).repeat(3), 64)
    assert found == codebooks.Use(64, 192, 1.0, pytest.approx(64))
    half = codebooks.use(np.arange(32), 64)
    assert (half.used, half.perplexity) == (0.5, pytest.approx(32))


def test_perplexity_of_uneven_codes() -> None:
    assert codebooks.use(np.zeros(9, np.int64), 64).perplexity == 1
    bits = 0.75 * np.log2(4 / 3) + 0.25 * np.log2(4)
    found = codebooks.use(np.array([0, 0, 0, 1]), 2)
    assert found.perplexity == pytest.approx(2**bits)


def test_codes_that_cannot_be_counted() -> None:
    with pytest.raises(ValueError, match="no codes"):
        codebooks.use(np.zeros(0, np.int64), 4)
    with pytest.raises(AssertionError, match="code 4 in a codebook of 4"):
        codebooks.use(np.array([4]), 4)


def test_active_dimensions() -> None:
    noise = np.random.default_rng(0).standard_normal((1000, 4))
    assert codebooks.active_dimensions(noise * [1, 0.5, 0.05, 0] + 3) == 0.5
