"""scripts/evaluate.py from end to end with a fake model and fake judges."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor

import codeclm
from codeclm.corpus import read_manifest
from codeclm.evaluation import asr, audio_metrics, speaker, speech

RATE = 24000


@pytest.fixture
def evaluate(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("evaluate")


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Two seen and three unseen speakers; the loudness of a clip is its speaker."""
    rows = []
    for s, name in enumerate(["ann", "bob", "unseen1", "unseen2", "unseen3"]):
        for n, seconds in enumerate([3.0, 2.6, 1.0]):
            split = "unseen" if name.startswith("unseen") else ("test" if n == 2 else "train")
            file = tmp_path / f"{name}-{n}.wav"
            soundfile.write(file, np.full(int(seconds * RATE), 0.1 * (s + 1)), RATE)
            rows.append(
                {"audio": file.name, "text": f"Clip of {name}.", "speaker": name, "split": split,
                 "duration": seconds}
            )  # fmt: skip
    path = tmp_path / "manifest.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


class FakeCodec:
    spec = SimpleNamespace(sample_rate=RATE, name="fake", fingerprint="f00d")

    def encode(self, wav: Tensor) -> Tensor:
        return torch.nn.functional.pad(wav, (0, 7))

    def decode(self, codes: Tensor) -> Tensor:
        return codes


class FakeTTS:
    codec = FakeCodec()
    sample_rate = RATE
    spoken = 0

    def speak(
        self, text: str, *, voice: Tensor | None = None, language: str = "en", seed: int = 0,
        sampling: None = None,
    ) -> SimpleNamespace:  # fmt: skip
        FakeTTS.spoken += 1
        return SimpleNamespace(
            wav=np.zeros(RATE, np.float32) if voice is None else voice[0, :RATE].numpy(),
            sample_rate=RATE, generation_seconds=0.25, first_audio_ms=50.0,
            interventions={"retries": 0},
        )  # fmt: skip


class FakeASR:
    version = "fake"

    def transcribe(self, wav: NDArray[np.float32], language: str) -> str:
        return "clip of ann" if len(wav) == 16000 else "clip of"


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    def embed(wav: NDArray[np.float32]) -> NDArray[np.float32]:
        angle = 2 * float(wav[2000:-2000].mean())
        return np.array([np.cos(angle), np.sin(angle)], dtype=np.float32)

    monkeypatch.setattr(FakeTTS, "spoken", 0)
    public = vars(codeclm)  # set past the lazy `__getattr__`
    monkeypatch.setitem(public, "load_tts", lambda name: FakeTTS())
    monkeypatch.setitem(public, "load_codec", lambda name: FakeCodec())
    monkeypatch.setattr(speech, "Voice", SimpleNamespace(from_wav=lambda wav, codec: wav))
    monkeypatch.setattr(asr, "load_asr", lambda name: FakeASR())
    monkeypatch.setattr(speaker, "embed", embed)
    monkeypatch.setattr(audio_metrics, "pesq_wb", lambda a, b: 4.0)
    monkeypatch.setattr(audio_metrics, "stoi", lambda a, b, rate: 0.9)
    monkeypatch.setattr(audio_metrics, "dnsmos", lambda wav: 3.0)


def figures(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "summary.json").read_text())["figures"]
    return found


def test_a_model_resumed_and_summed(
    evaluate: ModuleType, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("jiwer")
    monkeypatch.setattr(evaluate, "fingerprint", lambda name: "beef")
    out = tmp_path / "out"
    command = ["--corpus", str(manifest), "--out", str(out), "--clones", "6", "--save-audio"]
    evaluate.main(command)
    assert FakeTTS.spoken == 1 + 2 + 6
    first = (out / "items.csv").read_text()
    assert len(first.splitlines()) == 1 + 2 * 3 + 6 * 4
    assert len(list((out / "audio").iterdir())) == 8

    # An interrupted run leaves a torn line: only that item is measured again.
    (out / "items.csv").write_text(first[:-9])
    evaluate.main(command)
    assert FakeTTS.spoken == 9 + 1 + 1
    assert (out / "items.csv").read_text() == first
    evaluate.main(command)
    assert FakeTTS.spoken == 11

    found = figures(out)
    assert found["clones: scaled similarity, clone"]["value"] == pytest.approx(1.0)
    assert found["clones: similarity to the voice, two different speakers"]["value"] < 0.99
    assert found["sentences: WER, spoken"]["value"] == pytest.approx(1 / 6)
    assert found["sentences: WER, spoken"]["items"] == 2
    assert found["speed: median x real time"]["value"] == 4.0
    assert found["codec: PESQ-WB"]["value"] == 4.0
    assert found["clones: DNSMOS, spoken"]["value"] == 3.0
    page = (out / "summary.md").read_text()
    assert "beef" in page
    assert "| sentences: WER, spoken | 16.7 % | 0 to 33.3 | 2 |" in page

    with pytest.raises(SystemExit, match=r"results of another run \(seed differ\)"):
        evaluate.main([*command, "--seed", "1"])


def test_selection_is_fixed_by_the_seed(manifest: Path) -> None:
    utterances = read_manifest(manifest)
    for target, voice in speech.pick_sentences(utterances, "test", 9, 0):
        assert voice.speaker == target.speaker
        assert voice.split == "train"
    clones = speech.pick_clones(utterances, 5, 0)
    assert clones == speech.pick_clones(utterances[::-1], 5, 0)
    assert [target.speaker[-1] for target, _, _ in clones] == ["1", "2", "3", "1", "2"]
    for target, reference, other in clones:
        assert reference.speaker == target.speaker != other.speaker
        assert reference.id != target.id
    with pytest.raises(ValueError, match="no utterance of split 'none'"):
        speech.pick_sentences(utterances, "none", 9, 0)
