"""`bench`: what is measured, and how it is shown."""

import json

import pytest
import torch

from codeclm import checkpoint
from codeclm.config import Config
from tests.cli.conftest import mistake


@pytest.fixture
def benched(monkeypatch):
    """What the bench was asked for; its answer is one row of made-up figures."""
    from codeclm.tts import bench

    asked = []

    def measure(setups, batches, runs, threads, texts):
        print("a library talks")
        asked.append((setups, batches, runs, threads, texts))
        setup = setups[0].name
        figures = (9.5, 12.0, 20.0, 30, 2.5, {1: 2.5, 2: 4.0}, 26_000_000, 1.0, "memory", 0.4)
        return [bench.Row(setup, 4, 1, *figures, peak_memory_bytes=400_000_000)]

    monkeypatch.setattr(bench, "bench", measure)
    return asked


def test_bench(run, tts, benched):
    code, out, err = run("bench")
    assert (code, err) == (0, "a library talks\n")
    head, row, tried = out.splitlines()
    assert head.split()[:3] == ["model", "batch", "threads"]
    figures = "starter 4 1 9.5 12.0 (20.0) 2.50 40% memory 400 MB"
    assert row.split() == figures.split()
    assert tried == "starter x 4: a step by threads: 1: 2.50 ms, 2: 4.00 ms"
    ((setups, batches, runs, threads, texts),) = benched
    assert (batches, runs, threads, len(texts)) == ([1, 4, 16], 30, None, 6)
    assert [(setup.name, setup.sampling) for setup in setups] == [("starter", tts.sampling)]


def test_bench_compares_models_and_numbers_of_steps(run, tts, benched, tmp_path):
    checkpoint.save(tmp_path / "flow", {"w": torch.ones(1)}, Config(), {})
    more = ("--batch", "2", "--runs", "3", "--threads", "1", "--voice", "bo", "--json")
    more = (*more, "--text", "Guten Tag.", "--text", "Ja.", "--language", "de")
    code, out, _ = run("bench", "starter", "flow@1,10", *more)
    assert code == 0
    (row,) = json.loads(out)["rows"]
    assert (row["model"], row["speed"], row["roofline"]) == ("starter", 9.5, 0.4)
    assert row["step_ms_by_threads"] == {"1": 2.5, "2": 4.0}
    ((setups, *how),) = benched
    assert how == [[2], 3, 1, ["Guten Tag.", "Ja."]]
    assert {setup.language for setup in setups} == {"de"}
    assert [(setup.name, setup.sampling.steps) for setup in setups] == [
        *(("starter", 0), ("flow 1", 1), ("flow 10", 10))
    ]
    assert {setup.voice.source for setup in setups} == {"bo"}
    assert tts.loaded == ["starter", "flow"]


@pytest.mark.parametrize(
    ("args", "part"),
    [
        (["gone"], "no model 'gone'"),
        (["starter", "gone@2"], "no model 'gone'"),
        (["--batch", "1,x"], "--batch '1,x': write whole numbers from 1"),
        (["--batch", "0"], "--batch '0': write whole numbers from 1"),
        (["starter@0"], "steps '0': write whole numbers from 1"),
        (["--voice", "gone.wav"], "voice gone.wav: no such file"),
    ],
)
def test_bench_mistakes_are_seen_before_loading(run, tts, args, part):
    mistake(run("bench", *args), part)
    assert tts.loaded == []
