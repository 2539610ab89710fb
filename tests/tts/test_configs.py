"""The shipped training configurations are legal cells of the codec that their data is made with."""

from pathlib import Path

import pytest

from codeclm import load_codec
from codeclm.config import load_config
from codeclm.data_prep.prepare import Preparation
from codeclm.tts.cell import make_head, make_layout
from codeclm.tts.train import TtsTraining

CONFIGS = Path(__file__).parents[2] / "configs"
CODECS: dict[str, list[str]] = {}
for _path in (CONFIGS / "data").glob("*.yaml"):
    _data = load_config(Preparation, _path)
    CODECS.setdefault(str(_data.out), []).extend(_data.codecs or [_data.codec])


@pytest.mark.parametrize("path", sorted((CONFIGS / "tts").glob("*.yaml")), ids=lambda p: p.stem)
def test_the_cell_is_legal(path):
    if path.stem == "house":
        return  # the base of the others
    config = load_config(TtsTraining, path)
    known = CODECS[str(config.data)]
    assert config.tokens in known or len(known) == 1
    spec = load_codec(config.tokens or known[0]).spec
    assert make_layout(config.model, spec).streams == spec.rows
    make_head(config.model, spec, trains=True)
