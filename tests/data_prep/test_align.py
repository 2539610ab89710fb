"""The aligner finds planted times, and the search is the best of all ways."""

import itertools

import numpy as np
import pytest
import torch

from codeclm.codecs import Stream
from codeclm.data_prep.align import align, durations, train_aligner
from tests.tts.cells import toy

CODEC = toy((Stream(size=16), Stream(size=16)))


@pytest.mark.parametrize(("frames", "tokens"), [(1, 1), (4, 4), (6, 3), (7, 2)])
def test_search_equals_trying_everything(frames, tokens):
    scores = np.random.default_rng(frames).normal(size=(frames, tokens))

    def total(spent):
        path = np.repeat(np.arange(tokens), spent)
        return scores[np.arange(frames), path].sum()

    ways = [
        spent
        for spent in itertools.product(range(1, frames + 1), repeat=tokens)
        if sum(spent) == frames
    ]
    assert durations(scores) == list(max(ways, key=total))


@pytest.mark.parametrize(
    "spec", [CODEC, pytest.param(toy(()), marks=pytest.mark.slow)], ids=["codes", "latents"]
)
def test_planted_times_are_found(spec):
    rng = np.random.default_rng(0)
    codes, ids, true = [], [], []
    for _ in range(40):
        tokens = rng.integers(1, 8, size=6)
        spent = rng.integers(2, 6, size=6)
        tokens[1:] = np.where(tokens[1:] == tokens[:-1], tokens[1:] % 7 + 1, tokens[1:])
        frames = np.repeat(tokens, spent)
        tokens_of_frames = torch.from_numpy(np.stack([frames, (frames * 3) % 16]))
        if spec.latent_dims:
            tokens_of_frames = torch.eye(8)[frames].T[: spec.latent_dims]
        codes.append(tokens_of_frames)
        ids.append(tokens.tolist())
        true.append(spent.tolist())
    model, loss = train_aligner(spec, 9, codes, ids, steps=100, batch=8)
    assert loss < 0.5
    found = [align(model, c, i) for c, i in zip(codes, ids, strict=True)]
    off = [abs(a - b) for f, t in zip(found, true, strict=True) for a, b in zip(f, t, strict=True)]
    assert np.mean(off) < 1.0  # CTC is sure of a token for a frame or two of it, not of its borders


def test_fewer_frames_than_tokens_is_no_alignment():
    model, _ = train_aligner(CODEC, 4, [torch.zeros(2, 9, dtype=torch.long)], [[1, 2]], steps=1)
    assert align(model, torch.zeros(2, 2, dtype=torch.long), [1, 2, 3]) is None
