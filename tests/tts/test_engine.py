"""The engine: talks beside others are what they are alone, whenever they join or leave."""

from collections import Counter

import numpy as np
import pytest
import torch

from codeclm.tts import engine
from codeclm.tts.engine import Engine, TokenizedSentence
from codeclm.tts.guard import OFF
from codeclm.tts.model import SpeechLM
from codeclm.tts.sampling import Sampling
from tests.tts.cells import CELLS, LATENTS, VOCABULARY, bare_tts, cell, make_items


def build(name, text, bias=-1.5):
    spec, config = cell(name, text)
    torch.manual_seed(0)
    model = SpeechLM(config, spec, VOCABULARY)
    torch.nn.init.constant_(model.advance.bias, bias)
    return bare_tts(model.eval(), spec), make_items(spec, 6)


def talk(tts, sentences, seed, how):
    said = iter([TokenizedSentence(ids) for ids in sentences])
    return tts.talk(said, None, how, seed, OFF, Counter())


def run(tts, talks, joins):
    """Frames of each talk; talk i joins at step joins[i]."""
    running, found, step = Engine(tts.network), {id(t): [] for t in talks}, 0
    while step <= max(joins) or running.talks:
        for one, join in zip(talks, joins, strict=True):
            if join == step:
                running.add(one)
        if running.talks:
            for heard in running.step():
                found[id(heard.talk)].append(heard.frames)
        step += 1
    return [np.concatenate(found[id(t)], axis=1) for t in talks]


WAYS = [(name, *how) for name in CELLS for how in (("stream", 1.0), ("prefix", 2.0))]
WAYS += [(name, *how) for name in ("delay", "flow") for how in (("stream", 2.0), ("prefix", 1.0))]


@pytest.mark.parametrize(("name", "text", "guidance"), WAYS)
def test_talks_that_join_and_leave_sound_as_they_do_alone(name, text, guidance):
    tts, items = build(name, text, -0.5 if text == "stream" else -1.5)
    hows = [Sampling(guidance=guidance, steps=2), Sampling(temperature=0.3, steps=2)]
    given = [
        ([items[0].ids], 1, hows[0]),
        ([items[1].ids[:3], items[2].ids[:2]], 2, hows[0]),
        ([items[3].ids[:2]], 3, hows[1]),
    ]
    alone = [run(tts, [talk(tts, *one)], [0])[0] for one in given]
    beside = run(tts, [talk(tts, *one) for one in given], [0, 4, 2])
    for one, other in zip(alone, beside, strict=True):
        assert one.shape == other.shape
        if name in LATENTS:
            assert np.abs(one - other).max() < 1e-3
        else:
            assert np.array_equal(one, other)


def test_a_sentence_goes_on_in_the_memory_of_the_one_before(monkeypatch):
    tts, items = build("parallel", "stream")
    one = talk(tts, [items[0].ids, items[1].ids, items[2].ids], 0, None)
    running, lengths = Engine(tts.network), []
    running.add(one)
    monkeypatch.setattr(engine, "MEMORY", 2.5 * engine.TOKEN * 8)
    monkeypatch.setattr(engine, "CARRIED", 2 / 25)
    while running.talks:
        (heard,) = running.step()
        lengths.append(running._cache.length if running._cache else 0)
        if heard.over and heard.talk in running.talks:
            lengths.append("next")
    first, second, third = " ".join(map(str, lengths)).split("next")
    assert int(second.split()[0]) == int(first.split()[-1]) + 1
    # The third begins a memory, with the two last frames of the second.
    assert int(third.split()[0]) == 3


def test_a_talk_that_is_taken_out_leaves_the_others_alone():
    tts, items = build("delay", "stream")
    alone = run(tts, [talk(tts, [items[0].ids], 1, None)], [0])[0]
    stays, goes = talk(tts, [items[0].ids], 1, None), talk(tts, [items[1].ids], 2, None)
    running, frames = Engine(tts.network), []
    running.add(goes)
    running.add(stays)
    for number in range(10_000):
        if number == 3:
            running.remove(goes)
        if not running.talks:
            break
        frames += [heard.frames for heard in running.step() if heard.talk is stays]
    assert np.array_equal(np.concatenate(frames, axis=1), alone)


def test_what_the_text_adds_is_looked_up_as_the_model_does():
    tts, items = build("parallel", "stream")
    texts = [tts.network.text(item.ids) for item in items[:4]]
    token, age = np.array([0, 7, -1, 3]), np.array([0, 63, 5, 999])
    found = tts.network._heard(texts, token, age)
    for row in range(4):
        one = torch.tensor(token[row]), torch.tensor(age[row])
        assert torch.equal(found[row], tts.network.model.text_at(texts[row], *one))


def test_samplings_must_fit_the_streams():
    tts, items = build("parallel", "stream")
    with pytest.raises(ValueError, match="2 samplings for 3 streams"):
        talk(tts, [items[0].ids], 0, [Sampling()] * 2)
    with pytest.raises(ValueError, match="guidance must be the same"):
        talk(tts, [items[0].ids], 0, [Sampling(guidance=g) for g in (1.0, 2.0, 2.0)])
