"""Training a speech model: exact resume, sensible numbers, clear refusals."""

import json
import math
import shutil
import signal
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from codeclm import audio, checkpoint
from codeclm.checkpoint import WEIGHTS
from codeclm.data_prep.shards import read_shard, write_shard
from codeclm.learner import Learner
from codeclm.training import Run, cosine
from codeclm.tts import train


@pytest.fixture
def settings(runs, tiny):
    return ["name=tiny-tts", f"data={runs / 'data'}", "steps=4", *tiny["tts"]]


@pytest.fixture
def listening(runs):
    """Settings that make a run say something after every step."""
    return ["listen=[Hi.]", "listen_every=1", f"codec={runs / 'codec' / 'final'}"]


@pytest.mark.parametrize("more", [[], ["accumulate=2", "ema=0.9", "every=2", "keep=1"]])
def test_a_stopped_run_goes_on_bit_for_bit(settings, tmp_path, monkeypatch, more):
    settings = [*settings, *more]
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


def test_accumulated_batches_count_as_one(settings, tmp_path, monkeypatch):
    asked = []
    real = train.Sequences.batch

    def first(self, number):
        asked.append(number)
        return real(self, 0)

    monkeypatch.setattr(train.Sequences, "batch", first)
    settings = [*settings, "steps=2", "model.frame_dropout=0"]
    one = load_file(train.run(None, [*settings, f"out={tmp_path / 'a'}"]) / "weights.safetensors")
    assert asked == [0, 1, *range(4)]  # in training, then in validation
    asked.clear()
    two = train.run(None, [*settings, f"out={tmp_path / 'b'}", "accumulate=2"])
    assert asked == [0, 1, 2, 3, *range(4)]
    two = load_file(two / "weights.safetensors")
    assert all(torch.allclose(one[name], two[name], atol=1e-4) for name in one)


def test_the_finished_model_has_the_averaged_weights(settings, tmp_path):
    final = train.run(None, [*settings, f"out={tmp_path}", "ema=0.9"])
    state = torch.load(tmp_path / "resume.pt", weights_only=True)["learner"]
    finished = load_file(final / "weights.safetensors")
    moved = [n for n, w in state["model"].items() if not torch.equal(w, state["average"][n])]
    assert "begin" in moved
    assert all(torch.equal(w, state["average"][n].half()) for n, w in finished.items())


def test_a_codec_with_other_weights_than_at_prep_is_refused(runs, settings, tmp_path):
    """By its name alone if it is shipped, else if `codec` says where it lies."""
    shutil.copytree(runs / "data", tmp_path / "data")
    codec = runs / "codec" / "final"
    settings = [*settings, "steps=1", f"data={tmp_path / 'data'}", f"out={tmp_path / 'out'}"]
    report = json.loads((tmp_path / "data" / "report.json").read_text())
    for shard in (tmp_path / "data" / "tokens" / "tiny").glob("*"):
        spec, ids, rows = read_shard(shard)
        write_shard(shard, ids, rows, replace(spec, name="house-fsq"))
    report["codecs"] = {"house-fsq": report["codecs"]["tiny"]}
    (tmp_path / "data" / "report.json").write_text(json.dumps(report))
    with pytest.raises(ValueError, match=r"prepared with codec house-fsq \w+, but the codec given"):
        train.run(None, settings)
    train.run(None, [*settings, f"codec={codec}"])
    with pytest.raises(ValueError, match="give the right one as `codec`"):
        train.run(None, [*settings, "codec=house-vae"])


def test_the_average_follows_the_weights():
    model = torch.nn.Linear(3, 2)
    learner = Learner(model, torch.optim.SGD(model.parameters()), ema=0.5)
    average = model.weight.detach().clone()
    for step in range(9):
        model.weight.data.add_(torch.randn(2, 3))
        learner.follow(step)
        decay = min(0.5, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * model.weight.detach()
    own = model.weight.detach().clone()
    with learner.averaged():
        assert torch.allclose(model.weight, average)
        kept = learner.weights()
    assert torch.equal(model.weight, own)
    assert torch.allclose(kept["weight"], average)  # a copy
    with pytest.raises(RuntimeError, match="on the way"), learner.averaged():
        raise RuntimeError("on the way")
    assert torch.equal(model.weight, own)


def test_the_last_models_and_the_best_are_kept(settings, tmp_path, monkeypatch):
    scores = iter([5.0, 3.0, 4.0, 6.0, 7.0])
    monkeypatch.setattr(train.Scores, "numbers", lambda _: {"bits_per_second": next(scores)})
    there = []
    real = Run.log

    def log(self, **numbers):
        there.append(sorted(folder.name for folder in tmp_path.glob("step-*")))
        real(self, **numbers)

    monkeypatch.setattr(Run, "log", log)
    (tmp_path / "step-by-step").mkdir()  # not ours
    train.run(None, [*settings, f"out={tmp_path}", "every=1", "keep=1"])
    kept = ["step-000002", "step-000004", "step-by-step"]
    assert sorted(folder.name for folder in tmp_path.glob("step-*")) == kept
    assert ["step-000002", "step-000003", "step-by-step"] in there
    best = checkpoint.load(tmp_path / "step-000002")
    assert (best.meta["steps"], best.meta["dev_bits_per_second"]) == (2, 3.0)
    assert best.meta["kind"] == "tts"
    assert not list(tmp_path.glob("final/step-*"))


def test_curves_are_drawn_and_go_on(settings, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    curves = [*settings, f"out={tmp_path}", "tracker=tensorboard", "every=2"]
    train.run(None, [*curves, "steps=2"])
    train.run(None, [*curves, "steps=4"])
    points = []
    for file in sorted((tmp_path / "tensorboard").iterdir(), key=lambda f: f.stat().st_mtime_ns):
        events = EventAccumulator(str(file)).Reload()
        points += [(each.step, each.value) for each in events.Scalars("dev_bits_per_second")]
    rows = [json.loads(row) for row in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    wanted = [(r["step"], r["dev_bits_per_second"]) for r in rows if "dev_bits_per_second" in r]
    assert [step for step, _ in points] == [1, 3]
    assert points == [(step, pytest.approx(value)) for step, value in wanted]


def test_without_tensorboard_a_line_says_so(settings, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    train.run(None, [*settings, f"out={tmp_path}", "tracker=tensorboard", "steps=1"])
    assert capsys.readouterr().out.count("pip install 'codeclm[track]'") == 1
    assert (tmp_path / "metrics.jsonl").exists()
    assert not (tmp_path / "tensorboard").exists()


def test_listening_changes_nothing_but_is_heard(settings, listening, tmp_path):
    silent = load_file(train.run(None, [*settings, f"out={tmp_path / 'a'}"]) / WEIGHTS)
    asked = []

    def word_error_rate(said):
        asked.append([(audio.read(path, 24_000).shape[1], *rest) for path, *rest in said])
        return 0.25

    more = ["listen=[Hi., {text: Ho., language: en-gb}]", "listen_every=2", "ema=0.9"]
    out = tmp_path / "b"
    train.run(None, [*settings, *listening, *more, f"out={out}"], word_error_rate)
    heard = torch.load(out / "resume.pt", weights_only=True)["learner"]["model"]
    assert all(torch.equal(heard[name].half(), weight) for name, weight in silent.items())
    assert sorted(p.name for p in (out / "samples").iterdir()) == ["step-000002", "step-000004"]
    assert [[row[1:] for row in rows] for rows in asked] == [[("Hi.", "en"), ("Ho.", "en-gb")]] * 2
    assert all(row[0] > 0 for rows in asked for row in rows)
    rows = [json.loads(row) for row in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if row.get("listen_wer") == 0.25] == [1, 3]


def test_the_same_weights_sound_the_same(settings, listening, tmp_path):
    for name in ("a", "b"):
        train.run(None, [*settings, *listening, f"out={tmp_path / name}", "steps=1"])
    one, two = ((tmp_path / n / "samples/step-000001/00.wav").read_bytes() for n in ("a", "b"))
    assert one == two


def test_a_missing_recognizer_is_told_once(settings, listening, tmp_path, capsys):
    def word_error_rate(said):
        raise ImportError("faster_whisper is needed")

    train.run(None, [*settings, *listening, f"out={tmp_path}", "steps=2"], word_error_rate)
    assert capsys.readouterr().out.count("no word error rate: faster_whisper is needed") == 1
    assert len(list(tmp_path.glob("samples/*/00.wav"))) == 2


def test_what_cannot_be_said_is_refused_before_training(settings, listening, tmp_path):
    with pytest.raises(ValueError, match="was prepared with codec tiny"):
        train.run(None, [*settings, *listening, "codec=starter/house-fsq", f"out={tmp_path}"])
    with pytest.raises(ValueError, match="no sound"):
        train.run(
            None,
            [*settings, *listening, "listen=[{text: '你好', language: cmn}]", f"out={tmp_path}"],
        )
    assert not list(tmp_path.iterdir())


def test_a_way_to_spread_weights_that_is_not_supported_is_refused(settings, tmp_path, monkeypatch):
    kind = train.DistributedType.FSDP
    fake = SimpleNamespace(distributed_type=kind, is_fsdp2=False)
    monkeypatch.setattr(train, "Accelerator", lambda **_: fake)
    with pytest.raises(ValueError, match="DDP or FSDP 2, not FSDP 1: set `fsdp_version: 2`"):
        train.run(None, [*settings, f"out={tmp_path / 'o'}"])


def test_late_steps_do_not_draw_all_epochs_again(runs, tiny, settings, tmp_path, monkeypatch):
    drawn = []
    real = train.Sequences._epoch
    monkeypatch.setattr(
        train.Sequences, "_epoch", lambda self, number: drawn.append(number) or real(self, number)
    )
    config = train.load_config(train.TtsTraining, None, [*settings, f"out={tmp_path}"])
    prepared = train.read_prepared(config.data)
    layout = train.SpeechLM(config.model, prepared.spec, 9).layout
    one, two = (train.sequences(config, prepared.items, layout, "train") for _ in range(2))
    for step in range(12):
        last = one.batch(step)
    assert drawn == list(range(drawn[-1] + 1))
    assert drawn[-1] > 2
    assert torch.equal(last.slots, two.batch(11).slots)


@pytest.mark.parametrize("setting", ["accumulate=0", "ema=1", "keep=-1", "listen_every=0"])
def test_settings_without_sense_are_refused(settings, tmp_path, setting):
    with pytest.raises(ValueError, match=setting.partition("=")[0]):
        train.run(None, [*settings, f"out={tmp_path}", setting])


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
