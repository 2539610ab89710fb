"""`codec`: lists, round trips, token files, and the bench of codecs."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import codeclm
from codeclm import audio
from tests.cli.conftest import RATE, mistake


class FakeCodec:
    """Keeps every tenth of a second of sound as one frame of one stream."""

    def __init__(self):
        self.spec = SimpleNamespace(
            family="fsq",
            streams=(0,),
            sample_rate=16_000,
            frame_rate=10.0,
            bitrate=1500.0,
            latency_ms=100.0,
            latent_dims=0,
            to_dict=lambda: {"family": "fsq"},
        )

    def encode(self, wav):
        assert wav.shape == (1, 1, 8_001)
        return torch.zeros(1, 1, 6, dtype=torch.int64)

    def decode(self, codes):
        return torch.zeros(1, 1, codes.shape[2] * 1_600)


def test_codec_roundtrip(run, monkeypatch):
    monkeypatch.setitem(vars(codeclm), "load_codec", lambda name, streams: FakeCodec())
    audio.write("in.wav", torch.zeros(8_001), 16_000)
    code, out, _ = run("codec", "roundtrip", "any", "in.wav", "out.flac")
    assert (code, out) == (0, "out.flac: 0.5 s through 6 frames of 1 codes\n")
    assert audio.read("out.flac", 16_000).shape == (1, 8_001)


def test_codec_roundtrip_mistakes(run):
    Path("in.wav").write_bytes(b"no sound in here")
    mistake(run("codec", "roundtrip", "x", "gone.wav", "o.wav"), "gone.wav: no such file")
    mistake(run("codec", "roundtrip", "x", "in.wav", "o.bin"), "unknown sound format")


def test_codec_list(run, monkeypatch):
    from codeclm import codecs

    hub = codecs.Published("dac:Dac", "owner/dac", codecs.PUBLISHED["dac-16k"].spec)
    monkeypatch.setattr(codecs, "HOUSE", ("one",))
    monkeypatch.setattr(codecs, "PUBLISHED", {"two": hub})
    monkeypatch.setattr(codecs, "YARDSTICKS", {"three": 6_000})
    monkeypatch.setattr(codecs, "load_codec", lambda name: FakeCodec())
    lines = (
        "one: fsq, 16000 Hz, 10 frames a second, 1 streams, 1.50 kbit/s, 100 ms\n"
        "two: rvq, 16000 Hz, 50 frames a second, 12 streams, 6.00 kbit/s, 396 ms, "
        "owner/dac not downloaded\n"
        "three: opus, 24000 Hz, 50 packets a second, 6.00 kbit/s, 26 ms, "
        "no tokens: for roundtrip and bench alone\n"
    )
    assert run("codec", "list") == (0, lines, "")
    listed = json.loads(run("codec", "list", "--json")[1])
    assert listed["one"] == {"family": "fsq", "hub": "", "weights": "shipped"}
    assert listed["two"]["lookahead"] == 2501
    assert listed["two"]["weights"] == "not downloaded"
    assert (listed["three"]["bitrate"], listed["three"]["streams"]) == (6_000, [])


def test_a_yardstick_without_tokens(run):
    audio.write("in.wav", 0.1 * torch.randn(1, 16_000), 16_000)
    code, out, _ = run("codec", "roundtrip", "opus-12k", "in.wav", "out.wav")
    assert code == 0
    assert out.startswith("out.wav: 1.0 s through packets of ")
    assert audio.read("out.wav", 24_000).shape == (1, 24_000)
    refused = ("codec", "encode", "opus-12k", "in.wav", "t.safetensors")
    mistake(run(*refused), "opus-12k has no tokens to learn")
    fewer = ("codec", "roundtrip", "opus-12k", "in.wav", "o.wav", "--streams", "2")
    mistake(run(*fewer), "opus-12k has no tokens to learn")


def test_codec_tokens_in_a_file(run):
    audio.write("in.wav", 0.1 * torch.randn(1, 10_000), 16_000)
    code, out, _ = run("codec", "encode", "house-fsq", "in.wav", "new/tokens.safetensors")
    assert (code, out) == (0, "new/tokens.safetensors: 16 frames of 8 codes\n")
    code, out, _ = run("codec", "decode", "new/tokens.safetensors", "out.wav")
    assert (code, out) == (0, "out.wav: 0.6 s from 16 frames of 8 codes\n")
    assert run("codec", "roundtrip", "house-fsq", "in.wav", "both.wav")[0] == 0
    assert Path("out.wav").read_bytes() == Path("both.wav").read_bytes()
    assert run("codec", "encode", "house-vae", "in.wav", "vae.safetensors")[0] == 0
    assert run("codec", "decode", "vae.safetensors", "vae.wav")[0] == 0
    assert audio.read("vae.wav", 24_000).shape == (1, 15_000)


def test_codec_tokens_mistakes(run):
    audio.write("in.wav", torch.zeros(1, 10_000), 16_000)
    assert run("codec", "encode", "house-fsq", "in.wav", "t.safetensors")[0] == 0
    decode = ("codec", "decode", "t.safetensors", "o.wav")
    mistake(run(*decode, "--codec", "house-rvq"), "holds tokens of codec house-fsq")
    mistake(run("codec", "encode", "x", "in.wav", "t.pt"), "ends in .safetensors")
    mistake(run("codec", "decode", "gone.safetensors", "o.wav"), "no such file")
    mistake(run("codec", "decode", "in.wav", "o.wav"), "in.wav is no token file")
    asked = ("codec", "encode", "house-fsq", "in.wav", "t.safetensors", "--streams", "2")
    mistake(run(*asked), "no published codec")
    gone = ("codec", "roundtrip", "encodec-24k@gone", "in.wav", "o.wav")
    mistake(run(*gone), "no weights of encodec-24k at gone")


@pytest.mark.parametrize(
    ("args", "part"),
    [
        (["--codecs", " , "], "--codecs names no codec"),
        (["--data", "none.jsonl"], "manifest none.jsonl: no such file"),
        (["--data", "rows.jsonl"], "two sets have one name"),
        (["--items", "some"], "--items 'some': write a whole number above 0"),
        (["--items", "other=3"], "--items other: no such set (known: rows)"),
        (["--streams", "1,x"], "--streams 'x'"),
        (["--codecs", "none-such", "--asr", "none"], "no model 'none-such'"),
    ],
)
def test_bench_mistakes(run, args, part):
    row = {"audio": "a.wav", "text": "Hello.", "speaker": "s"}
    Path("rows.jsonl").write_text(json.dumps(row))
    audio.write("a.wav", torch.zeros(RATE), RATE)
    usual = ["codec", "bench", "--codecs", "house-vae", "--data", "rows.jsonl", "--out", "out"]
    mistake(run(*usual, *args), part)


def test_bench_answers_with_the_report(run, monkeypatch):
    from codeclm.codec_study import bench, bench_report

    plans = []
    monkeypatch.setattr(bench, "run", plans.append)
    monkeypatch.setattr(bench_report, "write", lambda found: {"tables": {}})
    Path("rows.jsonl").write_text("{}")
    usual = ["codec", "bench", "--codecs", "house-vae,opus-6k", "--data", "me=rows.jsonl"]
    more = ["--items", "9", "--items", "me=3", "--streams", "1,2", "--splits", "test"]
    code, out, _ = run(*usual, "--out", "out", *more)
    assert (code, out) == (0, "out/report.html, report.md, report.json, items.csv\n")
    assert plans[0].codecs == ("house-vae", "opus-6k")
    assert plans[0].data == {"me": Path("rows.jsonl")}
    assert plans[0].items == {"": 9, "me": 3}
    assert (plans[0].streams, plans[0].splits) == ((1, 2), ("test",))
    assert plans[0].command.startswith("codeclm codec bench --codecs house-vae,opus-6k")
    assert json.loads(run(*usual, "--out", "out", "--json")[1]) == {"tables": {}}
