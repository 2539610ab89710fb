"""Training a speech model: exact resume, sensible numbers, clear refusals."""

import json
import math
import shutil
import signal

import pytest
import torch
from safetensors.torch import load_file

from codeclm import checkpoint
from codeclm.training import Run, cosine
from codeclm.tts import train


@pytest.fixture
def settings(runs, tiny):
    return ["name=tiny-tts", f"data={runs / 'data'}", "steps=4", *tiny["tts"]]


def test_a_stopped_run_goes_on_bit_for_bit(settings, tmp_path, monkeypatch):
    whole = load_file(train.run(None, [*settings, f"out={tmp_path / 'a'}"]) / "weights.safetensors")
    seen = []

    def interrupting(step, steps, warmup):
        seen.append(step)
        if step == 1:
            signal.raise_signal(signal.SIGTERM)
        return cosine(step, steps, warmup)

    monkeypatch.setattr(train, "cosine", interrupting)
    with pytest.raises(KeyboardInterrupt):
        train.run(None, [*settings, f"out={tmp_path / 'b'}"])
    parts = load_file(train.run(None, [*settings, f"out={tmp_path / 'b'}"]) / "weights.safetensors")
    assert seen == [0, 1, 2, 3]
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_the_model_folder_says_what_it_is(runs, codec):
    saved = checkpoint.load(runs / "tts" / "final")
    assert saved.meta["kind"] == "tts"
    assert saved.meta["codec"]["fingerprint"] == codec.spec.fingerprint
    assert saved.config["width"] == 32
    # An untrained model spreads its guesses evenly: about the codec's own bits a second.
    even = math.log2(2016) * 2 * 25
    assert 0.8 * even < saved.meta["dev_bits_per_second"] < 1.3 * even
    rows = [json.loads(row) for row in (runs / "tts" / "metrics.jsonl").read_text().splitlines()]
    assert rows[0]["step"] == 0


def test_a_loss_that_is_not_finite_stops_before_the_weights_move(tmp_path):
    run = Run(tmp_path, {"model": torch.nn.Linear(1, 1)})
    run.check(torch.tensor(1.0))
    with pytest.raises(ValueError, match="the loss is nan at step 0"):
        run.check(torch.tensor(float("nan")))


def test_the_rate_rises_then_falls():
    rates = [cosine(step, 100, 10) for step in range(100)]
    assert rates[0] == 0.1
    assert max(rates) == rates[10] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.02, abs=1e-3)


def test_unprepared_data_is_refused(tmp_path, tiny):
    with pytest.raises(ValueError, match="is no finished corpus"):
        train.run(None, ["name=x", f"data={tmp_path}", f"out={tmp_path / 'o'}", *tiny["tts"]])


def test_data_without_a_dev_split_is_refused(runs, tmp_path, settings):
    data = tmp_path / "data"
    shutil.copytree(runs / "data", data)
    text = data / "text.jsonl"
    text.write_text(text.read_text().replace('"split": "dev"', '"split": "train"'))
    with pytest.raises(ValueError, match="has no utterance in the split 'dev'"):
        train.run(None, [*settings, f"data={data}", f"out={tmp_path / 'o'}"])


def test_a_run_folder_of_another_model_is_refused(runs, settings):
    with pytest.raises(ValueError, match=r"resume.pt is not of this configuration"):
        train.run(None, [*settings, f"out={runs / 'tts'}", "model.width=64"])


def test_sizes_that_do_not_fit_are_refused_before_anything_runs(settings, tmp_path):
    with pytest.raises(ValueError, match="width 30 must be a multiple of twice the heads, 4"):
        train.run(None, [*settings, f"out={tmp_path / 'o'}", "model.width=30"])
    assert not list(tmp_path.iterdir())
