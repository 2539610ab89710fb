"""Comparisons: cells are trained, scored and told; what is illegal or fails is told too."""

import json
import sys

import numpy as np
import pytest
import soundfile

from codeclm.compare import run as comparing
from codeclm.compare import table
from codeclm.compare.cells import Comparison, trainings
from codeclm.config import load_config
from codeclm.evaluation import asr, audio_metrics, speaker

RATE = 24_000


class FakeASR:
    version = "fake"

    def transcribe(self, wav, language):
        return "the cat sat"


@pytest.fixture
def judges(monkeypatch):
    monkeypatch.setattr(asr, "load_asr", lambda name: FakeASR())
    monkeypatch.setattr(speaker, "embed", lambda wav: np.array([1.0, wav.std()]))
    monkeypatch.setattr(speaker, "cosine", lambda a, b: float(1 - abs(a[1] - b[1])))
    for name in ("pesq_wb", "stoi", "mel_distance"):
        monkeypatch.setattr(audio_metrics, name, lambda *_: 1.0)


@pytest.fixture
def corpus(tmp_path):
    """Two seen and two unseen speakers; the loudness of a clip is its speaker."""
    rows = []
    for s, name in enumerate(["ann", "bob", "new1", "new2"]):
        for n in range(3):
            split = "unseen" if name.startswith("new") else "test" if n == 2 else "train"
            wav = np.random.default_rng(n).normal(0, 0.02 * (s + 1), 3 * RATE)
            soundfile.write(tmp_path / f"{name}-{n}.wav", wav, RATE)
            row = {"audio": f"{name}-{n}.wav", "text": "The cat sat.", "speaker": name}
            rows.append({**row, "split": split, "duration": 3.0})
    path = tmp_path / "manifest.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.fixture
def config(runs, tiny, tmp_path, corpus):
    """Three cells: one that is legal, one that is not, and one with a setting that is wrong."""
    settings = dict(option.partition("=")[::2] for option in tiny["tts"])
    (tmp_path / "tiny.yaml").write_text(
        "\n".join(f"{key}: {value}" for key, value in settings.items() if "." not in key)
        + f"\nname: tiny\ndata: {runs / 'data'}\nout: out\ncodec: {runs / 'codec' / 'final'}\n"
        + "model: {width: 32, depth: 2, heads: 2, inner: 64, text_width: 16, text_depth: 1}\n"
    )
    cells = {
        "good": {"config": "tiny.yaml"},
        "refused": {"config": "tiny.yaml", "settings": {"model.head": "stages"}},
        "wrong": {"config": "tiny.yaml", "settings": {"model.hat": "blue"}},
    }
    comparison = {
        "name": "toys", "data": str(runs / "data"), "corpus": str(corpus), "cells": cells,
        "training": {"steps": 2}, "sentences": 2, "clones": 2, "hard": False,
        "diagnosed": 1,
    }  # fmt: skip
    path = tmp_path / "compare.yaml"
    path.write_text(json.dumps(comparison))
    return path


def test_cells_are_trained_scored_and_told(config, judges, tmp_path):
    pytest.importorskip("jiwer", reason="needs the extra `eval`")
    out = tmp_path / "out"
    page = comparing.run(config, out).read_text()
    weights = out / "cells" / "good" / "final" / "weights.safetensors"
    trained = weights.stat().st_mtime_ns
    assert "- refused: layout `coarse_first` and head `stages` are made for each other" in page
    assert "- wrong: " in page
    assert "codeclm train tts" in page
    for row in ("recordings", "tiny, resynthesis", "good"):
        assert f"\n| {row} | " in page
    rows = (out / "scores" / "good" / "items.csv").read_text().splitlines()
    assert len(rows) == 1 + 2 + 2

    # Whatever is done is not done again.
    assert comparing.run(config, out, only=["good"]).read_text().count("| good |") == 1
    assert weights.stat().st_mtime_ns == trained
    with pytest.raises(ValueError, match=r"no cell bad in .*; there are good, refused, wrong"):
        comparing.run(config, out, only=["bad"])


def test_a_cell_that_fails_is_told_and_the_others_go_on(config, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    page = comparing.run(config, tmp_path / "out", score=False).read_text()
    assert "## Failed\n\n- good: exit code 1: it printed nothing" in page


def test_every_cell_is_one_command_and_seeds_are_told_apart(config, tmp_path):
    comparison = load_config(Comparison, config, ["seeds=[0, 1]", "cells.wrong.seeds=[5]"])
    found = list(trainings(comparison, config, tmp_path / "out"))
    names = ["good-0", "good-1", "refused-0", "refused-1", "wrong"]
    assert [training.name for training in found] == names
    one = found[1].load()
    assert (one.name, one.seed, one.steps) == ("good-1", 1, 2)
    assert found[1].command.startswith(f"codeclm train tts {tmp_path / 'tiny.yaml'} steps=2 ")


def row(part, kind, name, **cells):
    return {"part": part, "kind": kind, "id": name, "failures": "", **cells}


def test_sentences_said_freely_stand_beside_the_same_ones_led():
    own = [row("sentences", "spoken", name, errors="1", words="4") for name in "ab"]
    own += [row("diagnosis", kind, "b", errors="0", words="4") for kind in ("led", "true rest")]
    assert table.diagnosis(own) == {
        "WER, free": "25.0 % [25.0, 25.0]",
        "WER, led by the truth": "0.0 % [0.0, 0.0]",
        "WER, stream 0 predicted, others true": "0.0 % [0.0, 0.0]",
    }


def test_the_figures_of_the_table():
    recordings = [
        row("clones", "recording", "a", errors="0", words="10", similarity="0.9"),
        row("clones", "impostor", "a", errors="", words="", similarity="0.5"),
    ]
    ceiling = [row("clones", "codec", "a", errors="1", words="10", similarity="0.8")]
    own = [row("clones", "spoken", "a", errors="3", words="10", similarity="0.7")]
    assert table.heard(own) == {"WER, unseen voices": "30.0 % [30.0, 30.0]"}
    more = {"of which the model's, unseen voices": "+20.0 [+20.0, +20.0]"}
    assert table.gap(own, ceiling) == more
    found = table.alike(own, recordings)
    assert found == {"similarity": "0.70 [0.70, 0.70]", "scaled": "0.50 [0.50, 0.50]"}
    lines = ["| | a | b |", "|---|---|---|", "| x | 1 |  |", "| y |  | 2 |"]
    assert table.markdown({"x": {"a": "1"}, "y": {"b": "2"}}).splitlines() == lines
