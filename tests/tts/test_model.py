"""The model: nothing looks ahead, padding is nothing, four utterances can be learnt."""

import itertools

import numpy as np
import pytest
import torch

from codeclm.codecs import Stream
from codeclm.data_prep.shards import Item
from codeclm.tts.backbone import llama
from codeclm.tts.data import Piece, Sequences, collate
from codeclm.tts.model import ModelConfig, SpeechLM

FSQ = (Stream(size=36, levels=(6, 6)),) * 2
SMALL = ModelConfig(
    width=32, depth=2, heads=2, inner=64, text_width=16, text_depth=1, frame_dropout=0.0
)


def make_items(count=6, speakers=2):
    rng = np.random.default_rng(0)
    items = []
    for i in range(count):
        durations = rng.integers(1, 4, size=8)
        codes = torch.from_numpy(rng.integers(0, 36, (2, durations.sum()))).to(torch.int16)
        ids = tuple(rng.integers(1, 20, size=8).tolist())
        spent = tuple(durations.tolist())
        items.append(Item(str(i), f"s{i % speakers}", "train", ids, codes, spent))
    return items


@pytest.fixture
def model():
    torch.manual_seed(0)
    return SpeechLM(SMALL, FSQ, 20, llama(SMALL))


def test_a_packed_batch_says_what_sounds_when():
    item = make_items(1)[0]
    frames = item.codes.shape[1]
    batch = collate([[Piece(item, 2, 6, told=False), Piece(item, 0, frames, told=True)]])
    assert batch.begin[0].nonzero()[:, 0].tolist() == [0, 4]
    assert (batch.token[0, :4] == -1).all()
    token = batch.token[0, 4 : 4 + frames]
    assert torch.equal(torch.bincount(token), torch.tensor(item.durations))
    assert batch.texts[0].tolist() == list(item.ids)
    moves = batch.advance[0, 4 : 4 + frames].nonzero()[:, 0] + 1
    assert moves.tolist() == list(itertools.accumulate(item.durations))
    assert torch.equal(batch.codes[0, :, :4], item.codes[:, 2:6].long())


def test_every_epoch_shows_every_utterance_once_and_speakers_never_mix():
    sequences = Sequences(make_items(20, 3), frames=60, batch=2, seed=0)
    for number in (0, 1):
        epoch = sequences.epoch(number)
        shown = sorted(piece.item.id for sequence in epoch for piece in sequence)
        assert shown == sorted(item.id for item in sequences.items)
        for sequence in epoch:
            assert len({piece.item.speaker for piece in sequence}) == 1
            assert sum(piece.last - piece.first for piece in sequence) <= 60
    first, again = sequences.batch(3), sequences.batch(3)
    assert torch.equal(first.codes, again.codes)


def test_no_loss_depends_on_later_audio(model):
    item = make_items(1)[0]
    batch = collate([[Piece(item, 0, item.codes.shape[1], told=True)]])
    before, _ = model(batch)
    batch.codes[0, :, 9] = (batch.codes[0, :, 9] + 7) % 36
    after, _ = model(batch)
    assert torch.equal(before[0, :9], after[0, :9])
    assert not torch.allclose(before[0, 10:], after[0, 10:])


def test_padding_costs_nothing_and_changes_nothing(model):
    items = make_items(2)
    pieces = [[Piece(item, 0, item.codes.shape[1], told=True)] for item in items]
    together, _ = model(collate(pieces))
    for row, piece in enumerate(pieces):
        alone, _ = model(collate([piece]))
        assert torch.allclose(together[row, : alone.shape[1]], alone[0], atol=1e-5)
        assert (together[row, alone.shape[1] :] == 0).all()


def test_four_utterances_can_be_learnt_by_heart(model):
    items = make_items(4, speakers=4)
    batch = collate([[Piece(item, 0, item.codes.shape[1], told=True)] for item in items])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(250):
        codes, advance = model(batch)
        loss = codes.sum() / batch.real.sum() + advance.sum() / batch.real.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1


def test_unknown_names_are_told_with_the_known_ones():
    with pytest.raises(ValueError, match="layout 'spiral' is not known; known are parallel"):
        SpeechLM(ModelConfig(layout="spiral"), FSQ, 20)
    with pytest.raises(ValueError, match="head 'nose' is not known; known are levels"):
        SpeechLM(ModelConfig(head="nose"), FSQ, 20)
