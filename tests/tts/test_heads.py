"""Heads: losses are log-probabilities, draws follow them, no code is special."""

import math

import pytest
import torch

from codeclm.codecs import Stream
from codeclm.tts.heads.levels import LevelHead

FSQ = (Stream(size=2016, levels=(8, 7, 6, 6)),) * 3


def test_an_even_head_costs_log_of_the_vocabulary():
    head = LevelHead(FSQ, 16)
    torch.nn.init.zeros_(head.project.weight)
    torch.nn.init.zeros_(head.project.bias)
    codes = torch.tensor([[[0, 1, 2015]]])
    loss = head.loss(torch.randn(1, 1, 16), codes)
    assert torch.allclose(loss, torch.full((1, 1, 3), math.log(2016)))


def test_probabilities_of_all_codes_sum_to_one():
    head = LevelHead(FSQ[:1], 16)
    hidden = torch.randn(1, 16).expand(2016, 16)
    total = (-head.loss(hidden, torch.arange(2016)[:, None])).exp().sum()
    assert total.item() == pytest.approx(1.0, abs=1e-4)


def test_draws_follow_the_probabilities():
    torch.manual_seed(0)
    head = LevelHead(FSQ[:1], 4)
    torch.nn.init.normal_(head.project.weight)
    hidden = torch.randn(4)
    many = hidden.expand(40_000, 4)
    drawn = head.sample(many, 1.0, torch.Generator().manual_seed(0))[:, 0]
    counts = torch.bincount(drawn, minlength=2016) / len(drawn)
    true = (-head.loss(hidden.expand(2016, 4), torch.arange(2016)[:, None])).exp()[:, 0]
    assert (counts - true).abs().sum() < 0.25


def test_temperature_zero_takes_the_likeliest_code_even_if_it_is_zero():
    head = LevelHead(FSQ, 4)
    torch.nn.init.zeros_(head.project.weight)
    bias = torch.zeros(3, 4, 8)
    bias[:, :, 0] = 5.0
    head.project.bias.data = bias.flatten()
    assert head.sample(torch.randn(2, 4), 0.0, torch.Generator()).tolist() == [[0, 0, 0]] * 2


def test_a_codec_without_levels_is_refused():
    with pytest.raises(ValueError, match="streams are all FSQ"):
        LevelHead((Stream(size=1024),), 4)
