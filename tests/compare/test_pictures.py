"""Token grids and the blind page."""

import base64
import io
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from codeclm.compare import ab, token_grid
from codeclm.corpus import Utterance
from codeclm.evaluation.speech import Items
from tests.tts.cells import cell, make_items


def drawn(name):
    spec, config = cell(name)
    training = SimpleNamespace(load=lambda: SimpleNamespace(model=config), spec=spec)
    item = make_items(spec, 1)[0]
    picture, steps = token_grid.picture(training, item)
    squares = {
        kind: sum(len(re.findall("M", path)) for path in re.findall(f'class="{kind}.*?/>', picture))
        for kind in ("c", "open")
    }
    frames = min(token_grid.FRAMES, item.tokens.shape[1] - item.tokens.shape[1] // 2)
    return frames, steps, squares


@pytest.mark.parametrize(
    ("name", "steps", "cells", "marks"),
    [
        ("parallel", 1, 3, 0),
        ("flatten", 3, 3, 0),
        ("coarse_first", 1, 3, 0),
        ("consistency", 1, 1, 0),
    ],
)
def test_a_grid_shows_every_token_once(name, steps, cells, marks):
    frames, found, squares = drawn(name)
    assert found == steps * frames
    assert squares == {"c": cells * frames, "open": marks}


def test_what_lags_has_outlines():
    frames, steps, squares = drawn("delay")
    assert steps == frames + 2
    assert squares == {"c": 3 * frames, "open": 6}


def test_the_blind_page_has_all_pairs_equally_loud(tmp_path):
    target = Utterance("u1", "Hello </script>.", "ann", "test", "en", 1.0, tmp_path / "u1.wav")
    items = Items([(target, target)], [], [])
    folders = {}
    for level, name in enumerate(("one", "two", "three"), 1):
        folders[name] = tmp_path / name
        folders[name].mkdir()
        wav = np.random.default_rng(level).normal(0, 0.02 * level, 24_000)
        soundfile.write(folders[name] / "u1.wav", wav, 24_000)
    folders["silent about it"] = tmp_path / "none"
    page = ab.page(folders, items)
    test = json.loads(re.search(r'type="application/json">(.*?)</script>', page, re.DOTALL)[1])
    pairs = {(p["a"]["system"], p["b"]["system"]) for p in test["ab"]}
    assert pairs == {("one", "two"), ("one", "three"), ("two", "three")}
    heard = [soundfile.read(io.BytesIO(base64.b64decode(s)))[0] for s in test["sounds"].values()]
    loud = [10 * np.log10(np.square(wav).mean()) for wav in heard]
    assert max(loud) - min(loud) < 1
    assert ab.page({"one": folders["one"]}, items) is None
