"""Comparisons: cells are trained, scored and told; what is illegal or fails is told too."""

import json
import re
import shutil
import sys

import numpy as np
import pytest
import soundfile

from codeclm.compare import run as comparing
from codeclm.compare import scores, speed
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
    for name in ("pesq_wb", "stoi", "mel_distance", "dnsmos"):
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


@pytest.mark.slow
def test_cells_are_trained_scored_and_told(config, judges, tmp_path):
    pytest.importorskip("jiwer", reason="needs the extra `eval`")
    out = tmp_path / "out"
    page = comparing.run(config, out, time=False)
    told, html = (out / "compare.md").read_text(), page.read_text()
    weights = out / "cells" / "good" / "final" / "weights.safetensors"
    trained = weights.stat().st_mtime_ns
    refused = (
        "- refused: not legal: layout `coarse_first` and head `stages` are made for each other"
    )
    assert refused in told
    assert "- wrong: not legal: " in told
    assert "    codeclm train tts" in told
    for row in ("recordings", "tiny, resynthesis", "good", "good less its codec"):
        assert f"\n| {row} | " in told
        assert f"<th>{row}" in html
    assert "Every cell heard 0.0 h of audio, with a backbone of 0.0 M parameters" in html
    assert not re.findall(r'(?:src|href)="(?!data:|ab\.html)', html)
    rows = (out / "scores" / "good" / "items.csv").read_text().splitlines()
    assert len(rows) == 1 + 2 + 2

    # Whatever is done is not done again, and no model is read for it.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("codeclm.load_tts", lambda *_: pytest.fail("read a model"))
        patch.setattr(scores, "read_prepared", lambda *_: pytest.fail("read all tokens"))
        comparing.run(config, out, only=["good"], time=False)
    assert (out / "compare.md").read_text().count("\n| good | ") >= 3
    assert weights.stat().st_mtime_ns == trained

    # Nor is it where the weights were not kept.
    told = (out / "compare.md").read_text()
    shutil.rmtree(weights.parent)
    comparing.run(config, out)
    assert (out / "compare.md").read_text() == told
    assert not weights.exists()
    with pytest.raises(ValueError, match=r"no cell bad in .*; there are good, refused, wrong"):
        comparing.run(config, out, only=["bad"])

    # A model of other settings is no row of this comparison, and one not asked for stays in.
    comparing.run(config, out, ["cells.good.settings={sampling.top_k: 3}"], time=False)
    assert (
        "good was trained with another sampling: move it away" in (out / "compare.md").read_text()
    )
    comparing.run(config, out, only=["wrong"], time=False)
    assert "\n| good less its codec | " in (out / "compare.md").read_text()


@pytest.mark.slow
def test_speed_is_measured_in_a_process_of_its_own_and_kept(config, judges, tmp_path, monkeypatch):
    pytest.importorskip("jiwer", reason="needs the extra `eval`")
    monkeypatch.setattr(speed, "RUNS", 1)
    comparing.run(config, tmp_path / "out", only=["good"])
    kept = tmp_path / "out" / "cells" / "good" / "speed.json"
    found = json.loads(kept.read_text())
    assert [row["batch"] for row in found["rows"]] == [1, 8]
    before = kept.stat().st_mtime_ns
    comparing.run(config, tmp_path / "out", only=["good"])
    assert kept.stat().st_mtime_ns == before


def test_a_cell_that_fails_is_told_and_the_others_go_on(config, tmp_path, monkeypatch):
    pytest.importorskip("jiwer", reason="needs the extra `eval`")
    monkeypatch.setattr(asr, "load_asr", lambda name: FakeASR())
    monkeypatch.setattr(comparing.Scorer, "recordings", lambda self: [])
    monkeypatch.setattr(sys, "executable", "/bin/false")
    comparing.run(config, tmp_path / "out")
    told = (tmp_path / "out" / "compare.md").read_text()
    assert "- good: failed: exit code 1: it printed nothing" in told


def test_what_breaks_while_scoring_is_kept_beside_the_cell(config, tmp_path):
    comparison = load_config(Comparison, config)
    training = next(iter(trainings(comparison, config, tmp_path / "out")))
    absent = {}

    def broken():
        raise RuntimeError("out of luck")

    comparing._try(absent, training, broken)
    assert absent["good"].startswith("failed: RuntimeError: out of luck; see ")
    assert "out of luck" in (training.folder / "error.log").read_text()


def test_every_cell_is_one_command_and_seeds_are_told_apart(config, tmp_path):
    comparison = load_config(Comparison, config, ["seeds=[0, 1]", "cells.wrong.seeds=[5]"])
    found = list(trainings(comparison, config, tmp_path / "out"))
    names = ["good-0", "good-1", "refused-0", "refused-1", "wrong"]
    assert [training.name for training in found] == names
    one = found[1].load()
    assert (one.name, one.seed, one.steps) == ("good-1", 1, 2)
    assert found[1].command.startswith(f"codeclm train tts {tmp_path / 'tiny.yaml'} steps=2 ")
