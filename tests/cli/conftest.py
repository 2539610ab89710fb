"""Runs the command line; models are stand-ins that record how they were called."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import codeclm
from codeclm import checkpoint, cli
from codeclm.config import Config
from codeclm.tts.generate import Speech
from codeclm.tts.sampling import Sampling

RATE = 24_000


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs `codeclm ...` in an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["codeclm", *args])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capsys.readouterr()
        code = stop.value.code or 0
        assert isinstance(code, int)
        return code, out, err

    return run


def mistake(result, *parts):
    code, out, err = result
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    for part in parts:
        assert part in err


@dataclass
class FakeVoice:
    source: str
    doubts: tuple[str, ...] = ("it hums",)

    @staticmethod
    def from_audio(path, codec, *said):
        return FakeVoice(" ".join([f"{path} by {codec}", *filter(None, said)]))

    @staticmethod
    def load(path):
        return FakeVoice(f"loaded {path}")

    def save(self, path):
        Path(path).write_text(self.source)


@dataclass
class FakeTTS:
    codec: str = "the codec"
    meta: dict[str, str] = field(default_factory=lambda: {"name": "test"})
    sampling: Sampling = field(default_factory=Sampling)
    voices: dict[str, FakeVoice] = field(
        default_factory=lambda: {name: FakeVoice(name) for name in ("anna", "bo")}
    )
    loaded: list[str] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    error: BaseException | None = None

    def load(self, model, codec=None):
        self.loaded.append(model)
        return self

    def timed(self, voice):
        return FakeVoice(f"{voice.source}, timed", voice.doubts)

    def speak(self, text, **options):
        print("a library talks")
        self.asked.append({"text": text, **options})
        if self.error:
            raise self.error
        wav, seed = np.zeros(RATE, np.float32), options["seed"] or 0
        return Speech(wav, RATE, 0.25, 120.0, seed, {"retries": 1})


@pytest.fixture
def tts(tmp_path, monkeypatch):
    starter = tmp_path / "package"
    checkpoint.save(starter / "tts", {"w": torch.ones(1)}, Config(), {})
    monkeypatch.setattr(checkpoint, "_STARTER", starter)
    fake = FakeTTS()
    monkeypatch.setitem(vars(codeclm), "load_tts", fake.load)
    monkeypatch.setitem(vars(codeclm), "Voice", FakeVoice)
    return fake
