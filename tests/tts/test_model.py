"""Packing and the model around its cell: padding is nothing, four utterances can be learnt."""

import itertools

import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from codeclm.tts.data import Piece, Sequences, collate
from codeclm.tts.layouts import END, Delay, Frame
from codeclm.tts.model import SpeechLM
from codeclm.tts.sampling import Sampling
from tests.tts.cells import CELLS, FSQ, RVQ, VOCABULARY, bare_tts, cell, make_items, said, toy


def sequences(items, **options):
    return Sequences(items, Frame(FSQ), "stream", frames=60, batch=2, **options)


def test_a_packed_batch_says_what_sounds_when():
    item = make_items(toy(FSQ), 1)[0]
    frames = item.tokens.shape[1]
    pieces = [Piece(item, 2, 6, told=False), Piece(item, 0, frames, told=True)]
    batch = collate([pieces], Frame(FSQ), "stream")
    assert (batch.step[0] == 0).nonzero()[:, 0].tolist() == [0, 4]
    assert batch.told[0].unique().tolist() == [-1, 0]
    assert (batch.advance[0, :4] == -1).all()
    assert (batch.token[0, :4] == -1).all()
    token = batch.token[0, 4 : 4 + frames, 0]
    assert torch.equal(torch.bincount(token), torch.tensor(item.durations))
    assert batch.texts[0].tolist() == list(item.ids)
    moves = (batch.advance[0, 4 : 4 + frames, 0] == 1).nonzero()[:, 0] + 1
    assert moves.tolist() == list(itertools.accumulate(item.durations))
    assert torch.equal(batch.slots[0, :4].T, item.tokens[:, 2:6].long())


def test_a_prefix_stands_before_its_audio_and_says_where_it_ends():
    item = make_items(toy(RVQ), 1)[0]
    frames, count = item.tokens.shape[1], len(item.ids)
    batch = collate([[Piece(item, 0, frames, told=True)]], Delay(RVQ), "prefix")
    assert batch.token[0, :count, 0].tolist() == list(range(count))
    assert (batch.token[0, count:] == -1).all()
    assert batch.step[0].tolist() == [-1] * count + list(range(frames + 2))
    ends = batch.advance[0, :, 0]
    assert (ends == 1).nonzero()[:, 0].tolist() == [count + frames - 1]
    assert (ends[:count] == -1).all()
    assert (ends[count + frames :] == -1).all()  # the other streams' last codes
    assert batch.slots[0, -2:].tolist() == [
        [END, int(item.tokens[1, -1]), int(item.tokens[2, -2])],
        [END, END, int(item.tokens[2, -1])],
    ]


def test_every_epoch_shows_every_utterance_once_and_speakers_never_mix():
    rows = sequences(make_items(toy(FSQ), 20, 3))
    for number in (0, 1):
        epoch = rows.epoch(number)
        shown = sorted(piece.item.id for sequence in epoch for piece in sequence)
        assert shown == sorted(item.id for item in rows.items)
        for sequence in epoch:
            assert len({piece.item.speaker for piece in sequence}) == 1
            assert sum(piece.last - piece.first for piece in sequence) <= 60
    first, again = rows.batch(3), rows.batch(3)
    assert torch.equal(first.slots, again.slots)


def test_dropouts_hide_texts_and_part_voices():
    items = make_items(toy(FSQ), 60, 2)
    plain = sequences(items).epoch(0)
    assert all(piece.told for sequence in plain for piece in sequence[1:])
    mute = sequences(items, text_dropout=1.0).epoch(0)
    assert not any(piece.told for sequence in mute for piece in sequence[1:])
    assert all(len(sequence) == 1 for sequence in sequences(items, voice_dropout=1.0).epoch(0))


def test_unaligned_utterances_serve_a_prefix_only():
    items = [
        type(i)(i.id, i.speaker, i.split, i.ids, i.tokens, (0,) * 8) for i in make_items(toy(FSQ))
    ]
    with pytest.raises(ValueError, match="no aligned utterance"):
        sequences(items)
    assert Sequences(items, Frame(FSQ), "prefix", frames=60, batch=2).batch(0).step.max() > 0


QUICK = ("parallel-levels", "delay-depth")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param(name, text, marks=[] if quick else [pytest.mark.slow])
        for name in CELLS
        for text in ("stream", "prefix")
        for quick in [name in QUICK and text == "stream"]
    ],
)
def test_four_utterances_can_be_learnt_by_heart_and_spoken_back(name, text):
    torch.manual_seed(0)
    spec, config = cell(name, text)
    model = SpeechLM(config, spec, VOCABULARY)
    items = make_items(spec, 4, speakers=4)
    pieces = [[Piece(item, 0, item.tokens.shape[1], told=True)] for item in items]
    batch = collate(pieces, model.layout, text)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(300 if spec.streams else 800):
        losses = model(batch)
        each = losses.tokens.sum() / (batch.step >= 0).sum()
        loss = each / (model.layout.slots if spec.latent_dims else 1) + losses.advance.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    speaker = bare_tts(model.eval(), spec)
    greedy = Sampling(temperature=0.0)
    for item in items:
        tokens = said(speaker, item.ids, greedy)
        if spec.streams:
            assert torch.equal(tokens, item.tokens.long())
        else:  # numbers of deviation 1
            assert tokens.shape == item.tokens.shape
            assert (tokens - item.tokens).square().mean() < 0.3
    assert loss.item() < 0.1 or spec.latent_dims


def test_spelling_pulls_the_text_into_the_states():
    torch.manual_seed(0)
    spec, config = cell("parallel", "prefix")
    model = SpeechLM(config.model_copy(update={"spell": True}), spec, VOCABULARY)
    items = make_items(spec, 3)
    batch = collate(
        [[Piece(i, 0, i.tokens.shape[1], told=True)] for i in items], model.layout, "prefix"
    )
    states = torch.randn(*batch.step.shape, config.width)
    rows = [states[r][batch.told[r] >= 0] for r in range(3)]
    scores = pad_sequence([model.spell(row).log_softmax(-1) for row in rows])
    expected = torch.nn.functional.ctc_loss(
        scores,
        torch.tensor([i.ids for i in items]),
        torch.tensor([len(row) for row in rows]),
        torch.tensor([8, 8, 8]),
    )
    assert torch.allclose(model._spelling(states, batch), expected)
    assert model(batch).spelling > 0
