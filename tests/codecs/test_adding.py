"""What docs/codecs.md says of adding a codec is all there is to do: one file, one entry."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from codeclm import load_codec
from codeclm.cli.codec import codec_list
from codeclm.codecs import PUBLISHED, CodecSpec, Published, Stream, codec_of

PAGE = Path(__file__).parents[2] / "docs" / "codecs.md"


@pytest.fixture
def mulaw(monkeypatch):
    """The page's file and entry, as if they were in the package."""
    section = PAGE.read_text("utf-8").partition("### Adding a codec")[2].partition("### ")[0]
    module = ModuleType("codeclm.codecs.published.mulaw")
    exec(re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)[0], vars(module))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    entry = re.findall(r'^    "mulaw": (.*),$', section, flags=re.MULTILINE)[0]
    names = {"Published": Published, "CodecSpec": CodecSpec, "Stream": Stream}
    monkeypatch.setitem(PUBLISHED, "mulaw", eval(entry, names))
    return load_codec("mulaw")


def test_an_added_codec_is_loaded_by_name_and_streams(mulaw):
    wav = torch.randn(2, 1, 8005).clamp(-1, 1)
    codes = mulaw.encode(wav)
    assert codes.shape == (2, 8, mulaw.spec.frames(8005))
    decoded = mulaw.decode(codes)
    assert (decoded[..., :8005] - wav).abs().max() < 0.03
    streamed = torch.cat(list(mulaw.stream(codes.split(7, dim=2))), dim=2)
    assert torch.equal(streamed, decoded)


def test_an_added_codec_is_listed_and_found_by_its_spec(mulaw, capsys):
    codec_list()
    assert "mulaw: pcm, 8000 Hz, 1000 frames a second, 8 streams, 64.00 kbit/s" in (
        capsys.readouterr().out
    )
    assert codec_of(mulaw.spec, None, "x was made with").spec == mulaw.spec
