"""scripts/evaluate_hard.py from end to end with a fake model that a fake listener understands."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import codeclm
from codeclm.evaluation import asr
from codeclm.tts.guard import OFF, Guards

RATE = 16000


class Speaker:
    """Says half a second a word; its listener hears every word but those that are unguarded."""

    sample_rate, version = RATE, "fake"

    def __init__(self) -> None:
        self.said: list[str] = []

    def speak(self, text: str, *, voice: None, seed: int, guards: Guards) -> SimpleNamespace:
        self.said.append("" if guards == OFF else text)
        wav = np.zeros(RATE // 2 * len(text.split()), np.float32)
        stepped_in = {} if guards == OFF else {"silence": 1}
        return SimpleNamespace(
            wav=wav, sample_rate=RATE, generation_seconds=0.1, interventions=stepped_in
        )

    def transcribe(self, wav: Any, language: str) -> str:
        return self.said[-1]


def test_failures_are_counted_and_not_measured_twice(
    script: Callable[[str], ModuleType],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("jiwer")
    speaker, evaluate = Speaker(), script("evaluate_hard")
    monkeypatch.setitem(vars(codeclm), "load_tts", lambda name: speaker)
    monkeypatch.setattr(asr, "load_asr", lambda name: speaker)
    command = ["--out", str(tmp_path), "--kinds", "twister", "repeated"]
    evaluate.main(command)
    page = capsys.readouterr().out
    texts = len(speaker.said) // 2
    assert texts == 22
    assert f"| texts | {texts} | {texts} |" in page
    assert f"| without any failure | {texts} | 0 |" in page
    assert f"| guards stepped in | silence {texts} | never |" in page
    assert page == (tmp_path / "summary.md").read_text() + "\n"
    evaluate.main(command)
    assert len(speaker.said) == 2 * texts
    with pytest.raises(SystemExit, match="results of another run"):
        evaluate.main([*command, "--seed", "1"])
    with pytest.raises(SystemExit):
        evaluate.main(["--out", str(tmp_path), "--kinds", "riddle"])
    assert "riddle" in capsys.readouterr().err
