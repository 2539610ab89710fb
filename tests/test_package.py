"""The surface of the package: its public names and its weight."""

import os
import re
import subprocess
import sys

import pytest

import codeclm


def test_public_names():
    assert sorted(codeclm.__all__) == ["Voice", "__version__", "load_codec", "load_tts"]
    assert dir(codeclm) == sorted(codeclm.__all__)
    assert re.fullmatch(r"\d+\.\d+\.\d+", codeclm.__version__)


def test_public_names_load():
    assert callable(codeclm.load_tts)
    assert callable(codeclm.load_codec)
    assert codeclm.Voice.__name__ == "Voice"


def test_unknown_name():
    with pytest.raises(AttributeError, match="module 'codeclm' has no attribute 'load_tss'"):
        _ = codeclm.load_tss


def test_import_is_light():
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    code = "import codeclm, sys; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], env=env, text=True).split()
    assert not {"torch", "numpy", "transformers", "pydantic", "typer"} & set(loaded)
