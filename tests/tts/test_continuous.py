"""Heads for latents: they find known distributions, guide, repeat, and know what few steps cost."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from codeclm.codecs.latents import Scale
from codeclm.tts.backbone import Sizes
from codeclm.tts.draw import Draw
from codeclm.tts.heads import ConsistencyHead, FlowHead
from codeclm.tts.latents import PatchReader
from codeclm.tts.past import Past
from codeclm.tts.sampling import Sampling
from tests.tts.cells import (
    LATENT,
    LATENTS,
    SIZES,
    VOCABULARY,
    bare_tts,
    cell,
    frames_of,
    make_items,
)

SMALL = Sizes(width=48, depth=2, heads=2, inner=96)
CENTERS = torch.tensor([[1.5, 0.0], [-1.0, 1.2], [-0.5, -1.3]])
SHARES = torch.tensor([0.5, 0.3, 0.2])


def mixture(hidden):
    """Three narrow bells of unequal weight, whatever the state."""
    kind = torch.multinomial(SHARES, len(hidden), replacement=True)
    return CENTERS[kind] + 0.15 * torch.randn(len(hidden), 2)


def bell(hidden):
    """A bell that lies where the state says, twice as long as wide."""
    return hidden[:, :2] + torch.randn(len(hidden), 2) * torch.tensor([0.4, 0.2])


def train(head, data, steps, width=4, rows=256):
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW(head.parameters(), 4e-3, weight_decay=0.0)
    begin = torch.ones(rows, dtype=torch.bool)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 4e-3 * (1 - step / steps)
        hidden = torch.rand(rows, width) * 2 - 1
        loss = head.loss(hidden, data(hidden), None, begin).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimizer.step()
    return head.eval().requires_grad_(False)


def sample(head, hidden, seed=0, **how):
    slots = hidden.new_zeros(len(hidden), 2)
    draw = Draw([Sampling(**{"temperature": 1.0, **how})] * 2, [Past(seed)], torch)
    return head.sample(hidden, slots, None, draw)


def shares(points):
    return torch.cdist(points, CENTERS).argmin(1).bincount(minlength=3) / len(points)


@pytest.fixture(scope="module")
def flow():
    torch.manual_seed(0)
    return train(FlowHead(2, 1, 4, SMALL, history=0), mixture, 500)


@pytest.fixture(scope="module")
def flow_bell():
    torch.manual_seed(0)
    return train(FlowHead(2, 1, 4, SMALL, history=0), bell, 300)


@pytest.fixture(scope="module")
def consistency():
    torch.manual_seed(0)
    return train(ConsistencyHead(2, 4, SMALL, draws=2), bell, 300)


def test_flow_finds_a_mixture(flow):
    points = sample(flow, torch.rand(4000, 4) * 2 - 1, steps=20)
    assert shares(points) == pytest.approx(SHARES, abs=0.06)
    near = torch.cdist(points, CENTERS).argmin(1)
    for kind, center in enumerate(CENTERS):
        assert points[near == kind].mean(0) == pytest.approx(center, abs=0.1)
        assert points[near == kind].std(0) == pytest.approx(torch.tensor([0.15] * 2), abs=0.1)


def test_flow_needs_more_than_one_step_for_a_mixture(flow):
    hidden = torch.rand(4000, 4) * 2 - 1
    off = {n: (shares(sample(flow, hidden, steps=n)) - SHARES).abs().max() for n in (1, 20)}
    assert off[1] > 0.15 > off[20]


@pytest.mark.parametrize(
    ("name", "steps"), [("flow_bell", 10), pytest.param("consistency", 1, marks=pytest.mark.slow)]
)
def test_a_conditional_bell_is_found(name, steps, request):
    head = request.getfixturevalue(name)
    for place in ([0.5, -0.5], [-0.8, 0.3]):
        hidden = torch.tensor([[*place, 0.0, 0.0]]).expand(4000, -1)
        points = sample(head, hidden, steps=steps)
        assert points.mean(0) == pytest.approx(torch.tensor(place), abs=0.08)
        covariance = torch.tensor([[0.16, 0.0], [0.0, 0.04]])
        assert points.T.cov().flatten() == pytest.approx(covariance.flatten(), abs=0.05)


@pytest.mark.slow
def test_one_step_of_consistency_is_near_many_and_nearer_than_one_of_flow(flow_bell, consistency):
    """The distance that each sample moves when 32 steps are taken instead, from the same noise."""
    hidden = torch.rand(2000, 4) * 2 - 1

    def moved(head):
        return (sample(head, hidden, steps=1) - sample(head, hidden, steps=32)).norm(dim=1).mean()

    assert moved(consistency) < 0.1
    assert moved(consistency) < 0.5 * moved(flow_bell)


@pytest.mark.parametrize("name", ["flow", "consistency"])
def test_the_same_seed_draws_the_same_and_temperature_0_needs_none(name, request):
    head = request.getfixturevalue(name)
    hidden = torch.rand(5, 4)
    assert torch.equal(sample(head, hidden, seed=3), sample(head, hidden, seed=3))
    assert not torch.equal(sample(head, hidden, seed=3), sample(head, hidden, seed=4))
    cold = [sample(head, hidden, seed=seed, temperature=0.0) for seed in (3, 4)]
    assert torch.equal(*cold)
    still = [sample(head, hidden, seed=seed, noise=0.0) for seed in (3, 4)]
    assert torch.equal(*still)


def test_temperature_of_a_flow_is_when_the_noise_enters(flow_bell):
    hidden = torch.zeros(2000, 4)
    drawn = [sample(flow_bell, hidden, temperature=t) for t in (0.0, 0.3, 0.7, 1.0)]
    still, late, early, first = (points.std(0).mean().item() for points in drawn)
    assert still < 1e-6
    assert 0.1 < late < min(early, first)
    assert early == pytest.approx(first, rel=0.2)


def test_steps_are_even_or_short_first():
    assert Sampling().times(4) == Sampling(steps=4).times(10) == [0.0, 0.25, 0.5, 0.75, 1.0]
    swaying = Sampling(schedule="sway").times(4)
    lengths = [b - a for a, b in pairwise(swaying)]
    assert lengths == sorted(lengths)
    assert (swaying[0], swaying[-1]) == (0.0, pytest.approx(1.0))


def test_guidance_1_is_none_and_more_leads_away_from_what_would_be_said_anyway(flow_bell):
    hidden = torch.tensor([[0.5, -0.5, 0.0, 0.0]]).expand(1000, -1)
    plain, guided = (sample(flow_bell, hidden, guidance=g) for g in (1.0, 2.0))
    none = sample(flow_bell, hidden, guidance=1.0 + 1e-6)
    assert torch.allclose(plain, none, atol=1e-4)
    anyway = sample(flow_bell, hidden, guidance=0.0).mean(0)  # the bell of no state
    assert anyway == pytest.approx(torch.zeros(2), abs=0.2)
    assert (guided.mean(0) - anyway).norm() > 1.3 * (plain.mean(0) - anyway).norm()


def test_guidance_of_consistency_acts_on_the_states(consistency):
    spoken, silent = torch.tensor([[0.4, 0.2, 0.0, 0.0]]), torch.tensor([[0.1, 0.3, 0.0, 0.0]])
    both = sample(consistency, torch.cat([spoken, silent]), guidance=2.0)
    beyond = sample(consistency, silent + 2.0 * (spoken - silent))
    assert torch.allclose(both, beyond.repeat(2, 1), atol=1e-6)


def test_a_flow_sees_its_history_and_not_beyond_an_utterance():
    torch.manual_seed(0)
    head = FlowHead(2, 3, 4, SMALL, history=2)
    data = torch.randn(6, 3, 2)
    begin = torch.tensor([1, 0, 0, 1, 0, 0]).bool()
    past = head.past(data, begin).view(6, 2, 3, -1)
    read = head.clean(data)
    for patch, (older, newer) in enumerate([(0, 0), (0, 1), (1, 2), (0, 0), (0, 4), (4, 5)]):
        for which, number in enumerate((older, newer)):
            expected = read[number - 1] if number else torch.zeros_like(read[0])
            assert torch.equal(past[patch, which], expected)


@pytest.mark.parametrize("name", LATENTS)
def test_a_frame_past_the_end_costs_nothing(name):
    torch.manual_seed(0)
    _, config = cell(name)
    wide = LATENT * config.patch
    for training in (True, False):
        head = make_head_of(name).train(training)
        slots = torch.randn(4, wide)
        slots[2, LATENT:] = float("nan")
        cost = head.loss(
            torch.randn(4, 32 * config.patch, requires_grad=True), slots, None, torch.ones(4).bool()
        )
        assert torch.equal(cost == 0, slots.isnan())
        cost.sum().backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in head.parameters())


def make_head_of(name):
    from codeclm.tts.cell import make_head

    spec, config = cell(name)
    head = make_head(config, spec, trains=True)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return head


def test_a_patch_reader_reads_one_patch_alone():
    torch.manual_seed(0)
    reader = PatchReader(LATENT, 3, 32, SIZES["local"])
    slots = torch.randn(2, 5, 3 * LATENT)
    read = reader(slots)
    assert read.shape == (2, 5, 32)
    changed = slots.clone()
    changed[1, 3, -1] += 1
    moved = (reader(changed) - read).abs().amax(-1) > 0
    assert moved.nonzero().tolist() == [[1, 3]]


@pytest.mark.parametrize("text", ["stream", "prefix"])
def test_patches_end_on_the_frame_that_the_text_says(text):
    from codeclm.tts.model import SpeechLM

    spec, config = cell("flow-patches", text)
    torch.manual_seed(0)
    model = SpeechLM(config, spec, VOCABULARY)
    counts = set()
    for bias in (-4.0, -2.0, -1.0, 0.0, 4.0):
        torch.nn.init.constant_(model.advance.bias, bias)
        tts = bare_tts(model, spec)
        ids = make_items(spec, 1)[0].ids
        frames = list(frames_of(tts, list(ids), sampling=Sampling(steps=1)))
        assert all(frame.shape == (LATENT,) and np.isfinite(frame).all() for frame in frames)
        counts.add(len(frames))
        if text == "stream":
            assert len(frames) >= len(ids)
    assert len(counts) > 2
    assert any(count % config.patch for count in counts)


def test_input_noise_is_for_training_alone():
    from codeclm.tts.model import SpeechLM

    spec, config = cell("consistency")
    model = SpeechLM(config.model_copy(update={"input_noise": 0.5}), spec, VOCABULARY)
    slots, step = torch.randn(1, 4, LATENT), torch.tensor([[1, 2, 3, 4]])
    assert not torch.equal(model.said(slots, step), model.said(slots, step))
    model.eval()
    assert torch.equal(model.said(slots, step), model.said(slots, step))


def test_the_scale_of_latents_is_left_and_entered():
    torch.manual_seed(0)
    far = torch.randn(4, 50) * torch.tensor([[3.0], [0.1], [1.0], [0.0]]) + 5
    scale = Scale.measure([far[:, :20], far[:, 20:]])
    near = scale.enter(far)
    assert near[:3].mean(1) == pytest.approx(torch.zeros(3), abs=1e-4)
    assert near[:3].std(1) == pytest.approx(torch.ones(3), abs=0.02)
    assert near.isfinite().all()
    assert torch.allclose(scale.leave(near), far, atol=1e-5)
    assert Scale(**scale.to_dict()).to_dict() == scale.to_dict()
