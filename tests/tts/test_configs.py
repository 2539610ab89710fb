"""The shipped training configurations are legal cells of the codec that their data is made with."""

from pathlib import Path

import pytest

from codeclm import load_codec
from codeclm.config import load_config
from codeclm.data_prep.prepare import Preparation
from codeclm.tts.cell import make_head, make_layout
from codeclm.tts.train import TtsTraining

CONFIGS = Path(__file__).parents[2] / "configs"
CODECS = {
    str(data.out): data.codec
    for data in (load_config(Preparation, path) for path in (CONFIGS / "data").glob("*.yaml"))
}


@pytest.mark.parametrize("path", sorted((CONFIGS / "tts").glob("*.yaml")), ids=lambda p: p.stem)
def test_the_cell_is_legal(path):
    if path.stem == "house":
        return  # the base of the others
    config = load_config(TtsTraining, path)
    spec = load_codec(CODECS[str(config.data)]).spec
    assert make_layout(config.model, spec).streams == spec.rows
    make_head(config.model, spec, trains=True)
