"""Being led through the truth is the training forward; exchanged streams are what they say."""

import numpy as np
import pytest
import torch

from codeclm.compare.diagnose import exchanged, led
from codeclm.tts.data import Piece, collate
from codeclm.tts.model import SpeechLM
from codeclm.tts.sampling import Sampling
from tests.tts.cells import CELLS, LATENTS, VOCABULARY, bare_tts, cell, make_items

GREEDY = Sampling(temperature=0.0, steps=1)


def build(name, text="stream"):
    spec, config = cell(name, text)
    torch.manual_seed(0)
    model = SpeechLM(config, spec, VOCABULARY).eval()
    return spec, model, bare_tts(model, spec)


@pytest.mark.parametrize("text", ["stream", "prefix"])
@pytest.mark.parametrize("name", ["parallel", "flatten", "delay", "flatten-levels"])
def test_each_greedy_code_is_the_likeliest_after_the_truth(name, text):
    spec, model, tts = build(name, text)
    item = make_items(spec, 1)[0]
    said = led(tts.network, item, tts.how(GREEDY))

    def nats(tokens):
        changed = type(item)("0", "s", "train", item.ids, tokens, item.durations)
        frames = tokens.shape[1]
        with torch.inference_mode():
            losses = model(collate([[Piece(changed, 0, frames, True)]], model.layout, text))
        return losses.tokens.sum().item()

    # Change the last frame of each stream: what it costs there depends on the truth before it.
    for stream in range(spec.rows):
        costs = []
        for code in range(spec.streams[stream].size):
            tokens = item.tokens.clone()
            tokens[stream, -1] = code
            if name.startswith("flatten") and stream != tts.network.grid.streams[-1][0]:
                break  # later steps would feel the change
            costs.append(nats(tokens))
        if costs and (name != "delay" or stream == spec.rows - 1):
            assert said[stream, -1] == int(np.argmin(costs))


@pytest.mark.parametrize("guidance", [1.0, 2.0])
@pytest.mark.parametrize("name", CELLS)
def test_every_cell_can_be_led(name, guidance):
    spec, _, tts = build(name)
    item = make_items(spec, 1)[0]
    tts.sampling = Sampling(guidance=guidance, steps=1)
    found, true = exchanged(tts, item), item.tokens.numpy()
    assert all(matrix.shape == true.shape for matrix in found.values())
    if name in LATENTS:
        assert list(found) == ["led"]
        assert np.isfinite(found["led"]).all()
        return
    assert found["led"].min() >= 0
    assert np.array_equal(found["true first"][0], true[0])
    assert np.array_equal(found["true first"][1:], found["led"][1:])
    assert np.array_equal(found["true rest"][1:], true[1:])
    assert np.array_equal(found["true rest"][0], found["led"][0])
