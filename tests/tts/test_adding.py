"""A layout and a head are one class and one line each; what they are made of comes by name."""

import pytest
import torch
from torch import nn

from codeclm.tts import flops
from codeclm.tts.cell import CellConfig, make_layout
from codeclm.tts.data import Piece, collate
from codeclm.tts.grid import Grid
from codeclm.tts.heads import HEADS, LinearHead
from codeclm.tts.layouts import LAYOUTS, Layout
from codeclm.tts.model import ModelConfig, SpeechLM
from tests.tts.cells import FSQ, SIZES, VOCABULARY, bare_tts, make_items, said, toy


class Backwards(Layout):
    """The last stream leads."""

    def __init__(self, streams):
        numbers = tuple(range(len(streams)))
        super().__init__(Grid(len(streams), (numbers,), (tuple(k - numbers[-1] for k in numbers),)))


class Two(Layout):
    """Two streams at a step."""

    def __init__(self, streams):
        super().__init__(Grid(len(streams), ((0, 1), (2, 3)), ((0, 0),) * 2))


class Perceptron(LinearHead):
    def __init__(self, streams, width, levels, sizes):
        super().__init__(streams, sizes.inner, levels)
        self.bend = nn.Sequential(nn.Linear(width, sizes.inner), nn.GELU())

    def loss(self, hidden, *rest):
        return super().loss(self.bend(hidden), *rest)

    def sample(self, hidden, *rest):
        return super().sample(self.bend(hidden), *rest)


def test_a_layout_and_a_head_of_ones_own_learn_and_speak_and_are_counted(monkeypatch):
    monkeypatch.setitem(LAYOUTS, "backwards", Backwards)
    monkeypatch.setitem(HEADS, "perceptron", Perceptron)
    spec = toy(FSQ)
    torch.manual_seed(0)
    model = SpeechLM(ModelConfig(**SIZES, layout="backwards", head="perceptron"), spec, VOCABULARY)
    assert isinstance(model.layout, Backwards)
    items = make_items(spec, 2)
    pieces = [[Piece(item, 0, item.tokens.shape[1], True)] for item in items]
    model(collate(pieces, model.layout, "stream")).tokens.sum().backward()
    assert all(weight.grad.abs().sum() > 0 for weight in model.head.parameters())
    codes = said(bare_tts(model.eval(), spec), items[0].ids)
    assert codes.shape[0] == len(FSQ)
    assert 0 <= codes.min() <= codes.max() < FSQ[0].size
    assert flops.speaking(model, 10, 8) > 0


def test_a_step_of_some_streams_is_refused(monkeypatch):
    """The heads would count the first of them alone."""
    monkeypatch.setitem(LAYOUTS, "two", Two)
    with pytest.raises(ValueError, match="`two` draws 2 of 4 codes at a step"):
        make_layout(CellConfig(layout="two"), toy(FSQ[:1] * 4))
