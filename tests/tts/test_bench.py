"""The bench: figures agree with each other and with what was really done."""

from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest
import torch

from codeclm.tts import bench, flops, threads
from codeclm.tts.bench import Setup
from codeclm.tts.model import SpeechLM
from tests.tts.cells import CELLS, VOCABULARY, bare_tts, cell

TEXTS = ("A short test.", "And another one.")


@pytest.fixture
def way(tts, runs):
    tts.network.model.advance.bias.data += 1.0  # an untrained model would linger
    return Setup("tiny", tts, runs / "tts" / "final", tts.sampling)


def test_the_figures_are_those_of_what_was_said(way, monkeypatch):
    now, calls = [0.0], []

    def clock():
        now[0] += 0.001
        return now[0]

    def speak_all(requests, sampling, together):
        calls.append((len(requests), together, {r.text for r in requests}))
        now[0] += 0.019
        first = 10.0 * len(calls)
        return [SimpleNamespace(audio_seconds=0.5, first_audio_ms=first) for _ in requests]

    monkeypatch.setattr(bench, "time", SimpleNamespace(perf_counter=clock))
    monkeypatch.setattr(bench, "time_steps", lambda *_: [0.004, 0.002, 0.003])
    monkeypatch.setattr(bench, "bandwidth", lambda size, threads: 1000 * size)
    monkeypatch.setattr(bench, "matrix_peak", lambda *_: 1e15)
    monkeypatch.setattr(way.tts, "speak_all", speak_all)
    (row,) = bench.bench([way], (2,), runs=8, threads=1, texts=list("abcd"))
    assert len(calls) == 1 + 4  # the first warms up
    assert all((count, together) == (2, 2) for count, together, _ in calls)
    assert set.union(*(texts for *_, texts in calls)) == set("abcd")
    assert row.speed == pytest.approx(2 * 0.5 / 0.02)
    assert row.firsts == 8
    assert row.first_audio_ms_p50 == pytest.approx(35)  # of 20, 30, 40 and 50, twice each
    assert row.first_audio_ms_p95 == pytest.approx(50)
    assert (row.step_ms, row.floor_ms) == (pytest.approx(3), pytest.approx(1))
    assert (row.roofline, row.bound) == (pytest.approx(1 / 3), "memory")


def test_real_figures_agree(way, monkeypatch):
    monkeypatch.setattr(bench, "TIMED", 15)
    rows = bench.bench([way, replace(way, name="again")], (2, 1), runs=1, threads=1, texts=TEXTS)
    assert [(row.batch, row.model) for row in rows] == [
        *((1, "tiny"), (1, "again"), (2, "tiny"), (2, "again"))
    ]
    for row in rows:
        assert row.speed > 0
        assert 0 < row.first_audio_ms_p50 <= row.first_audio_ms_p95
        assert 0 < row.floor_ms < row.step_ms
        assert row.roofline == pytest.approx(row.floor_ms / row.step_ms)
        assert row.roofline < 1.05
        assert row.bound in ("memory", "matrix")
        assert row.peak_memory_bytes > 10e6
        assert row.weight_bytes == way.tts.network.step_bytes
    text = bench.render(rows)
    assert text.count("\n") == len(rows)
    assert all(str(round(row.speed, 1)) in text for row in rows)
    assert set(asdict(rows[0])) >= {"batch", "threads", "speed", "roofline", "step_ms"}


def test_a_network_that_says_nothing_is_as_large_as_its_weights_file(way):
    _, flops_said = bench.work_of(way)
    del way.tts.network.step_bytes
    weight_bytes, flops_silent = bench.work_of(way)
    assert weight_bytes == (way.folder / "weights.safetensors").stat().st_size
    assert flops_silent == flops_said > 0


@pytest.mark.parametrize("name", CELLS)
def test_a_step_reads_the_backbone_the_head_and_what_reads(name):
    spec, config = cell(name)
    model = SpeechLM(config, spec, VOCABULARY)
    whole = flops.step_weights(model)
    bare = bare_tts(model, spec).network
    body = {n: w for n, w in model.backbone.named_parameters() if w.ndim > 1}
    assert whole >= sum(w.numel() for w in body.values()) + model.advance.weight.numel()
    assert whole < sum(p.numel() for p in model.parameters())
    norms = bare.step_bytes - 4 * whole  # the decoder's, which are counted too
    assert 0 < norms < 0.05 * bare.step_bytes


def test_threads_are_chosen_by_trying(way, monkeypatch):
    used = []
    monkeypatch.setattr(threads, "use_threads", lambda network, count: used.append(count))
    pace = {1: 3.0, 2: 2.0, 4: 1.9, 8: 9.0}
    monkeypatch.setattr(threads, "time_steps", lambda *_: [pace[used[-1]]] * 3)
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: range(8), raising=False)
    monkeypatch.setattr(threads.os, "cpu_count", lambda: 8)
    assert threads.try_threads(way.tts) == pace
    assert used.count(8) == 1  # what crawls is not tried again
    assert used.count(2) == threads.TRIED
    assert threads.choose_threads(way.tts) == used[-1] == 2  # four save less than a tenth


def test_threads_of_torch_and_of_a_network_with_its_own(way):
    before = torch.get_num_threads()
    try:
        way.tts.network.use_threads = (seen := []).append
        assert threads.choose_threads(way.tts) == torch.get_num_threads() == seen[-1]
    finally:
        torch.set_num_threads(before)


def test_steps_are_timed_with_all_talks_in_them(tts, monkeypatch):
    tts.network.model.advance.bias.data += 1.0
    rows, step = [], tts.network.step
    monkeypatch.setattr(
        tts.network, "step", lambda slots, *more: rows.append(len(slots)) or step(slots, *more)
    )
    took = threads.time_steps(tts, 7, batch=3)
    assert len(took) == 7
    assert rows == [3] * 8
    assert min(took) > 0
