"""A transcript is followed through a recording as the model finds likeliest."""

from itertools import combinations

import numpy as np
import pytest
import torch

from codeclm.tts.data import Piece, collate
from codeclm.tts.follow import follow
from codeclm.tts.model import SpeechLM
from tests.tts.cells import VOCABULARY, bare_tts, cell, make_items

FRAMES, TOKENS = 7, 3


@pytest.mark.parametrize("name", ["parallel-levels", "flatten", "delay", "depth"])
def test_the_best_way_is_found_among_all(name):
    spec, config = cell(name)
    torch.manual_seed(1)
    model = SpeechLM(config, spec, VOCABULARY).eval()
    torch.nn.init.normal_(model.advance.weight, std=1.0)
    item = make_items(spec, 1)[0]
    tokens = item.tokens[:, :FRAMES]

    def cost(durations):
        said = type(item)("0", "s", "train", item.ids[:TOKENS], tokens, durations)
        with torch.inference_mode():
            losses = model(collate([[Piece(said, 0, FRAMES, True)]], model.layout, "stream"))
        streams_that_lag = losses.tokens[0, FRAMES * model.layout.period :].sum()
        return float(losses.tokens.sum() - streams_that_lag + losses.advance.sum())

    ways = {}
    for cuts in combinations(range(1, FRAMES), TOKENS - 1):
        durations = tuple(np.diff([0, *cuts, FRAMES]).tolist())
        ways[durations] = cost(durations)
    tts = bare_tts(model, spec)
    found = follow(tts.network, item.ids[:TOKENS], tokens.long().numpy(), beam=50)
    assert sum(found) == FRAMES
    assert ways[found] <= min(ways.values()) + 0.35  # of two ways to one place only one goes on
    assert ways[found] < sorted(ways.values())[3]


def test_a_transcript_that_is_too_long_is_refused():
    spec, config = cell("parallel")
    tts = bare_tts(SpeechLM(config, spec, VOCABULARY), spec)
    with pytest.raises(ValueError, match="3 sounds, and the recording only 2 frames"):
        follow(tts.network, [1, 2, 3], np.zeros((3, 2), np.int64))
