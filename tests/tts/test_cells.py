"""Every cell: an even model costs log V, nothing looks ahead, a cache changes nothing."""

import math
from dataclasses import replace

import pytest
import torch

from codeclm.codecs import Stream
from codeclm.tts.data import Piece, collate
from codeclm.tts.draw import Draw
from codeclm.tts.guard import TextCursor
from codeclm.tts.layouts import CoarseFirst
from codeclm.tts.model import Losses, ModelConfig, SpeechLM
from codeclm.tts.past import Past
from codeclm.tts.sampling import Sampling
from tests.tts.cells import (
    CELLS,
    CODES,
    FSQ,
    LATENTS,
    RVQ,
    SEMANTIC,
    SIZES,
    VOCABULARY,
    bare_tts,
    cell,
    make_items,
    said,
    toy,
)

TEXTS = ["stream", "prefix"]


def build(name, text="stream", **options):
    torch.manual_seed(0)
    spec, config = cell(name, text)
    return spec, SpeechLM(config.model_copy(update=options), spec, VOCABULARY)


def batch_of(model, items, told=True):
    pieces = [[Piece(item, 0, item.tokens.shape[1], told)] for item in items]
    return collate(pieces, model.layout, model.config.text)


def inputs_of(model, batch):
    return model.inputs(batch, model.heard(batch))


@pytest.mark.parametrize("name", CODES)
def test_an_even_model_costs_log_of_the_vocabulary(name):
    spec, model = build(name)
    for module in model.head.modules():
        if type(module).__name__ == "Classes":
            torch.nn.init.zeros_(module.project.weight)
            torch.nn.init.zeros_(module.project.bias)
    items = make_items(spec, 12)
    model.eval()
    nats = torch.stack([model(batch_of(model, items)).tokens.sum() for _ in range(20)]).mean()
    frames = sum(item.tokens.shape[1] for item in items)
    even = sum(math.log(stream.size) for stream in spec.streams)
    exact = "masked" not in name  # a bound, right on average
    assert nats.item() / frames == pytest.approx(even, rel=1e-5 if exact else 0.05)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", CELLS)
def test_no_loss_feels_later_codes(name, text):
    """The gradient of each step's state with respect to what is read later is zero."""
    spec, model = build(name, text)
    model.eval()
    batch = batch_of(model, make_items(spec, 1))
    inputs = inputs_of(model, batch).detach().requires_grad_()
    states = model.backbone(inputs_embeds=inputs, use_cache=False).last_hidden_state
    for position in range(0, states.shape[1], 5):
        (grad,) = torch.autograd.grad(states[0, position].sum(), inputs, retain_graph=True)
        assert (grad[0, position + 1 :] == 0).all()
        assert (grad[0, position] != 0).any()
    # And what is read at a step is what was said before it.
    slots = batch.slots.clone()
    last = slots.shape[1] - 3
    said = slots[0, last:] >= 0 if spec.streams else ~slots[0, last:].isnan()
    slots[0, last:] = torch.where(said, (slots[0, last:] + 1) % 16, slots[0, last:])
    changed = inputs_of(model, replace(batch, slots=slots))
    assert torch.equal(changed[0, : last + 1], inputs[0, : last + 1])
    if not isinstance(model.layout, CoarseFirst):
        assert not torch.allclose(changed[0, last + 1 :], inputs[0, last + 1 :])


@pytest.mark.parametrize("name", ["depth", "delay-depth"])
def test_inside_a_step_no_slot_feels_later_ones(name):
    spec, model = build(name)
    model.eval()
    slots = torch.randint(0, 16, (1, spec.rows))
    hidden = torch.randn(1, 32)
    before = model.head.states(hidden, slots)
    slots[0, 1] = (slots[0, 1] + 1) % 16
    after = model.head.states(hidden, slots)
    assert torch.equal(before[:, 0], after[:, 0])
    assert not torch.allclose(before[:, 1], after[:, 1])


@pytest.mark.parametrize("name", CELLS)
def test_a_batch_of_two_is_two_of_one(name):
    spec, model = build(name)
    model.eval()
    items = make_items(spec, 2)

    if name in LATENTS:  # their losses draw noise: compare the states that these begin from
        model.head.loss = lambda hidden, slots, *_: hidden.mean(-1, keepdim=True).expand_as(slots)

    def losses(some):
        torch.manual_seed(1)
        batch = batch_of(model, some)
        if "masked" not in name:
            return model(batch)
        # Its loss draws what to cover: compare the scores when everything is.
        states = model.backbone(inputs_embeds=inputs_of(model, batch), use_cache=False)[0]
        flat, covered = batch.slots.flatten(0, 1), (batch.slots >= 0).flatten(0, 1)
        logits = model.head.logits(states.flatten(0, 1), flat, covered)
        nats = model.head.classes.cost(logits, flat).view(batch.slots.shape)
        return Losses(nats, torch.zeros_like(batch.advance), torch.zeros(()))

    together = losses(items)
    for row, item in enumerate(items):
        alone = losses([item])
        steps = alone.tokens.shape[1]
        assert torch.allclose(together.tokens[row, :steps], alone.tokens[0], atol=1e-4)
        assert (together.tokens[row, steps:] == 0).all()
        assert torch.allclose(together.advance[row, :steps], alone.advance[0], atol=1e-4)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", LATENTS)
def test_latents_are_drawn_from_the_states_they_were_learnt_from(name, text, monkeypatch):
    """What a head is given step by step, with a cache, is what one forward pass gives it."""
    spec, model = build(name, text)
    model.eval()
    tts = bare_tts(model, spec)
    item = make_items(spec, 1)[0]
    torch.nn.init.constant_(model.advance.bias, -3.0)
    tts.network.model.advance.bias.copy_(model.advance.bias)
    steps = []
    draw = tts.network.model.head.sample
    monkeypatch.setattr(
        tts.network.model.head, "sample", lambda h, *x: (steps.append(h), draw(h, *x))[1]
    )
    how = Sampling(steps=1)
    frames = said(tts, item.ids, how)[None]
    assert frames.shape[2] > 3
    durations = (1,) * frames.shape[2]
    if text == "stream":
        durations = tts_times(tts, item.ids, how)
    spoken = type(item)("0", "s", "train", item.ids, frames[0], durations)
    learnt = []
    monkeypatch.setattr(model.head, "loss", lambda h, s, *x: (learnt.append(h), 0 * s)[1])
    model(batch_of(model, [spoken]))
    assert torch.allclose(torch.cat(steps)[: len(learnt[0])], learnt[0], atol=1e-5)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", CODES)
def test_speaking_step_by_step_is_the_training_forward(name, text):
    """Greedy codes of the cached engine are the likeliest under one uncached forward pass."""
    spec, model = build(name, text)
    model.eval()
    tts = bare_tts(model, spec)
    item = make_items(spec, 1)[0]
    torch.nn.init.constant_(model.advance.bias, -3.0)
    tts.network.model.advance.bias.copy_(model.advance.bias)
    greedy = Sampling(temperature=0.0)
    frames = said(tts, item.ids, greedy)[None]
    assert frames.shape[2] > 3
    # The tokens' times follow from the advances, which are not drawn: rebuild them.
    durations = (1,) * frames.shape[2]
    if text == "stream":
        durations = tts_times(tts, item.ids, greedy)
    spoken = type(item)("0", "s", "train", item.ids, frames[0].to(torch.int16), durations)
    batch = batch_of(model, [spoken])
    if "masked" in name:  # the bound of a draw says nothing about its order
        states = model.backbone(inputs_embeds=inputs_of(model, batch)).last_hidden_state
        steps = batch.step >= 0
        draw = Draw([greedy] * spec.rows, [Past()], torch)
        again = model.head.sample(states[steps], batch.slots[steps].clamp(max=0), None, draw)
        assert torch.equal(again, batch.slots[steps])
        return
    losses = model(batch).tokens
    for k in range(spec.rows):
        for code in range(0, spec.streams[k].size, 5):
            other = frames.clone()
            other[0, k, -1] = code
            changed = type(item)("0", "s", "train", item.ids, other[0].to(torch.int16), durations)
            nats = model(batch_of(model, [changed])).tokens
            stream, frame = model.layout.where(batch.step[0].clamp(min=0))
            here = (stream == k) & (frame == frames.shape[2] - 1) & (batch.step[0] >= 0)[:, None]
            assert losses[0][here].item() <= nats[0][here].item() + 1e-4


def tts_times(tts, ids, sampling):
    """Frames each token lasted, from the same greedy run."""
    spent = [0] * len(ids)
    plain = TextCursor.advance

    def counting(self, chance):
        spent[self.token] += 1
        plain(self, chance)

    TextCursor.advance = counting
    try:
        said(tts, ids, sampling)
    finally:
        TextCursor.advance = plain
    return tuple(spent)


@pytest.mark.parametrize(
    ("streams", "options", "reason"),
    [
        (RVQ, {"layout": "parallel"}, r"streams 0 and 1 at once.*`depth`"),
        (SEMANTIC, {"layout": "delay", "offsets": (0, 1, 1)}, "streams 1 and 2 at once"),
        (RVQ, {"layout": "flatten", "sequence": (1, 0, 2)}, "stream 1 before stream 0"),
        (FSQ, {"layout": "flatten", "head": "depth"}, "each step of this cell draws one code"),
        (FSQ, {"layout": "coarse_first"}, "made for each other alone"),
        (FSQ, {"head": "stages"}, "made for each other alone"),
        (RVQ, {"layout": "frame", "head": "depth", "classes": "levels"}, "all FSQ of one shape"),
        (FSQ, {"offsets": (0, 1, 2)}, "`offsets` belongs to the layout `delay`, not `parallel`"),
        (FSQ, {"layout": "spiral"}, "layout 'spiral' is not known; known are flatten"),
        (FSQ, {"head": "nose"}, "head 'nose' is not known; known are linear"),
        ((), {}, "continuous latents and no codes"),
        ((), {"layout": "patch"}, "made for each other alone"),
        (FSQ, {"head": "flow"}, "made for each other alone"),
        (FSQ, {"layout": "patch", "head": "flow"}, "draws continuous latents, and toy has codes"),
        (FSQ, {"patch": 2}, "`patch` belongs to the layout `patch`, not `parallel`"),
        (FSQ[:1], {"layout": "frame", "head": "depth"}, "draws one code"),
        (tuple(Stream(4) for _ in range(3)), {"read": "points"}, "all streams are FSQ alike"),
    ],
)
def test_illegal_cells_say_why(streams, options, reason):
    with pytest.raises(ValueError, match=reason):
        SpeechLM(ModelConfig(**SIZES, **options), toy(streams), VOCABULARY)
