"""Sampling: each truncation keeps what it should, repetitions are broken, guidance guides."""

import math

import numpy as np
import pytest
import torch

from codeclm.tts.draw import Draw
from codeclm.tts.past import Past
from codeclm.tts.sampling import Sampling

LOGITS = torch.log(torch.tensor([[0.5, 0.25, 0.15, 0.07, 0.03]]))


def kept(**options):
    how = Sampling(temperature=1.0, **options)
    scores = Draw([how], [Past(0)], torch).truncate(LOGITS, how)
    return scores[0].isfinite().nonzero()[:, 0].tolist()


def drawer(**options):
    return Draw([Sampling(**options)], [Past(0)], torch)


def test_truncations_keep_the_likeliest():
    assert kept() == [0, 1, 2, 3, 4]
    assert kept(top_k=2) == [0, 1]
    assert kept(top_k=99) == [0, 1, 2, 3, 4]
    assert kept(top_p=0.5) == [0]
    assert kept(top_p=0.51) == [0, 1]
    assert kept(min_p=0.2) == [0, 1, 2]


def test_temperature_zero_is_greedy_and_others_scale():
    assert drawer(temperature=0.0).classes(LOGITS).item() == 0
    many = LOGITS.expand(20_000, 5)
    counts = drawer(temperature=2.0).classes(many).bincount(minlength=5) / 20_000
    assert torch.allclose(counts, (LOGITS[0] / 2).softmax(-1), atol=0.02)


def test_the_same_seed_draws_the_same():
    many = LOGITS.expand(50, 5)
    assert torch.equal(drawer().classes(many), drawer().classes(many))


def test_what_is_said_too_often_is_noticed_in_a_window():
    draw = drawer(window=4, repeats=0.5)
    for code in (3, 3, 3):
        draw.pasts[0].remember(np.array([code]), [0])
    assert draw.repeated(torch.tensor([3]), 0) == [True]
    assert draw.repeated(torch.tensor([2]), 0) == [False]
    for code in (1, 2, 4):
        draw.pasts[0].remember(np.array([code]), [0])
    assert draw.repeated(torch.tensor([3]), 0) == [False]


def test_guidance_moves_away_from_what_is_said_without_text():
    with_text = torch.tensor([[0.0, 1.0, -math.inf]])
    without = torch.tensor([[0.0, 0.0, -math.inf]])
    rows = torch.cat([with_text, without]).repeat_interleave(20_000, 0)
    drawn = drawer(temperature=1.0, guidance=3.0).classes(rows)
    assert torch.equal(drawn[:20_000], drawn[20_000:])
    share = (drawn[:20_000] == 1).float().mean().item()
    assert share == pytest.approx(torch.tensor(3.0).sigmoid().item(), abs=0.01)


def test_dias_guidance_only_picks_the_candidates():
    with_text = torch.tensor([[2.0, 1.0, 0.0]])
    without = torch.tensor([[3.0, 0.0, -2.0]])  # guided at 2: 1, 2, 2
    rows = torch.cat([with_text, without]).repeat_interleave(20_000, 0)
    drawn = drawer(temperature=1.0, guidance=2.0, guide_top_k=2).classes(rows)[:20_000]
    counts = drawn.bincount(minlength=3) / 20_000
    assert counts[0] == 0
    assert counts[1].item() == pytest.approx(torch.tensor(1.0).sigmoid().item(), abs=0.01)


def test_every_stream_can_have_its_own():
    each = [Sampling(temperature=0.0), Sampling(temperature=5.0)]
    draw = Draw(each, [Past(0)], torch)
    many = LOGITS.expand(500, 5)
    assert draw.classes(many, 0).unique().tolist() == [0]
    assert len(draw.classes(many, 1).unique()) == 5


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.0},
        {"top_k": 4, "min_p": 0.1},
        {"top_p": 0.7, "guidance": 2.0},
        {"guidance": 2.0, "guide_top_k": 3},
        {"window": 2, "repeats": 0.5},
    ],
)
def test_torch_and_numpy_draw_the_same(options):
    logits = np.random.default_rng(0).standard_normal((4, 3, 2, 6), np.float32)
    drawn = []
    for xp in (torch, np):
        pasts = [Past(seed) for seed in range(2)]
        for past in pasts:
            past.remember(np.array([1, 7, 30]), range(3))
        drawn.append(Draw([Sampling(**options)] * 3, pasts, xp).codes(xp.asarray(logits), (6, 6)))
    assert np.array_equal(drawn[0].numpy(), drawn[1])
