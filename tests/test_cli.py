"""The command line: what reaches the library, and one line for every mistake.

The models here are stand-ins that record how they were called.
"""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import codeclm
from codeclm import audio, checkpoint, cli
from codeclm.config import Config
from codeclm.tts.sampling import Sampling

RATE = 24_000
HEAVY = {"torch", "numpy", "transformers", "soundfile", "soxr", "yaml", "safetensors"}
Result = tuple[int, str, str]
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `codeclm ...` in an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*args: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["codeclm", *args])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capsys.readouterr()
        code = stop.value.code or 0
        assert isinstance(code, int)
        return code, out, err

    return run


def assert_mistake(result: Result, *parts: str) -> None:
    code, out, err = result
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    for part in parts:
        assert part in err


# --- stand-ins ---


@dataclass
class FakeVoice:
    source: str
    doubts: tuple[str, ...] = ("it hums",)

    @staticmethod
    def from_audio(path: str | Path, codec: str, *said: str | None) -> "FakeVoice":
        return FakeVoice(" ".join([f"{path} by {codec}", *filter(None, said)]))

    @staticmethod
    def load(path: str | Path) -> "FakeVoice":
        return FakeVoice(f"loaded {path}")

    def save(self, path: str | Path) -> None:
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
    prepared: list[FakeVoice] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    error: BaseException | None = None

    def load(self, model: str, codec: str | None = None) -> "FakeTTS":
        self.loaded.append(model)
        return self

    def prepare(self, voice: FakeVoice) -> None:
        self.prepared.append(voice)

    def speak(self, text: str, **options: Any) -> SimpleNamespace:
        print("a library talks")
        self.asked.append({"text": text, **options})
        if self.error:
            raise self.error
        return SimpleNamespace(
            wav=np.zeros(RATE, np.float32),
            sample_rate=RATE,
            audio_seconds=1.0,
            generation_seconds=0.25,
            speed=4.0,
            first_audio_ms=120.0,
            seed=options["seed"] or 0,
            frames=13,
            interventions={"retries": 1},
        )


@pytest.fixture
def tts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeTTS:
    starter = tmp_path / "package"
    checkpoint.save(starter / "tts", {"w": torch.ones(1)}, Config(), {})
    monkeypatch.setattr(checkpoint, "_STARTER", starter)
    fake = FakeTTS()
    monkeypatch.setitem(vars(codeclm), "load_tts", fake.load)
    monkeypatch.setitem(vars(codeclm), "Voice", FakeVoice)
    return fake


# --- speak ---


def test_speak(run: Run, tts: FakeTTS) -> None:
    code, out, err = run("speak", " Hello. ")
    assert (code, out) == (0, "speech.wav: 1.0 s of speech, 4.0x real time\n")
    assert err == "a library talks\n"
    assert tts.loaded == ["starter"]
    default = {"voice": None, "language": "en", "seed": None, "sampling": tts.sampling}
    default |= {"guards": None, "listener": None}
    assert tts.asked == [{"text": "Hello.", **default}]
    assert audio.read("speech.wav", RATE).shape == (1, RATE)


def test_speak_marks_the_file_as_synthetic(run: Run, tts: FakeTTS) -> None:
    import soundfile

    run("speak", "Hello.", "--voice", "anna", "--seed", "7", "--out", "a.flac")
    with soundfile.SoundFile("a.flac") as file:
        assert file.comment == "synthetic speech: model test, voice anna, seed 7"
        assert file.software.startswith(f"codeclm {codeclm.__version__}")


def test_speak_json_is_one_object(run: Run, tts: FakeTTS) -> None:
    code, out, _ = run("speak", "Hello.", "--json", "--seed", "7", "--out", "new/a.mp3")
    assert code == 0
    assert out.count("\n") == 1
    assert json.loads(out) == {
        "audio_seconds": 1.0,
        "speed": 4.0,
        "first_audio_ms": 120.0,
        "seed": 7,
        "out": "new/a.mp3",
        "sample_rate": RATE,
        "interventions": {"retries": 1},
    }
    assert Path("new/a.mp3").is_file()


def test_speak_passes_every_option(run: Run, tts: FakeTTS, tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "mine", {"w": torch.ones(1)}, Config(), {})
    more = ("--language", "en-gb", "--codec", "ours", "--temperature", "0.5", "--top-k", "9")
    more = (*more, "--top-p", "0.8", "--min-p", "0.1", "--guidance", "2")
    code, _, _ = run("speak", "Hi", "--model", "mine", "--seed", "3", *more)
    assert code == 0
    assert tts.loaded == ["mine"]
    sampling = Sampling(temperature=0.5, top_k=9, top_p=0.8, min_p=0.1, guidance=2.0)
    chosen = {"voice": None, "language": "en-gb", "seed": 3, "sampling": sampling}
    chosen |= {"guards": None, "listener": None}
    assert tts.asked == [{"text": "Hi", **chosen}]


@pytest.mark.parametrize(
    ("voice", "expected"),
    [
        ("anna", "anna"),
        ("me.voice.safetensors", "loaded me.voice.safetensors"),
        ("me.wav", "me.wav by the codec"),
        ("./ref", "./ref by the codec"),
    ],
)
def test_speak_with_a_voice(run: Run, tts: FakeTTS, voice: str, expected: str) -> None:
    for name in ("me.voice.safetensors", "me.wav", "ref"):
        Path(name).touch()
    assert run("speak", "Hi", "--voice", voice)[0] == 0
    assert tts.asked[0]["voice"] == FakeVoice(expected)


def test_guards_and_a_listener(run: Run, tts: FakeTTS, monkeypatch: pytest.MonkeyPatch) -> None:
    from codeclm.evaluation import asr
    from codeclm.tts.guard import OFF

    monkeypatch.setattr(asr, "listener", lambda name: f"listener {name}")
    assert run("speak", "Hi")[0] == 0
    assert run("speak", "Hi", "--no-guards", "--check")[0] == 0
    assert run("speak", "Hola", "--check", "--language", "es-419")[0] == 0
    heard = [(asked["guards"], asked["listener"]) for asked in tts.asked]
    assert heard == [(None, None), (OFF, "listener tiny.en"), (None, "listener base")]


def test_speak_from_stdin(run: Run, tts: FakeTTS, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\ufeffGrüße.\nनमस्ते।\n".encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text), encoding="ascii"))
    assert run("speak", "-")[0] == 0
    assert tts.asked[0]["text"] == "Grüße.\nनमस्ते।"


@pytest.mark.parametrize(
    ("args", "part"),
    [
        ([""], "the text is empty"),
        ([" \n\t "], "the text is empty"),
        (["a\udcff"], "not valid UTF-8"),
        (["Hi", "--out", "a.txt"], "a.txt: unknown sound format '.txt'; end the name in .wav"),
        (["Hi", "--out", "folder.wav"], "folder.wav is a folder"),
        (["Hi", "--out", "file/a.wav"], "is not a folder"),
        (["Hi", "--voice", "gone.wav"], "voice gone.wav: no such file"),
        (["Hi", "--voice", "gone.voice.safetensors"], "no such file"),
        (["Hi", "--voice", "folder.wav"], "voice folder.wav is a folder"),
        (["Hi", "--model", "gone"], "no model 'gone'"),
        (["Hi", "--model", "folder.wav"], "weights.safetensors, config.yaml, meta.json missing"),
        (["Hi", "--model", "starter/no"], "no model 'starter/no' in this installation"),
    ],
)
def test_speak_mistakes_are_seen_before_loading(
    run: Run, tts: FakeTTS, args: list[str], part: str
) -> None:
    Path("folder.wav").mkdir()
    Path("file").touch()
    assert_mistake(run("speak", *args), part)
    assert tts.loaded == []
    assert not Path("speech.wav").exists()


@pytest.mark.parametrize("text", [b"", b" \n", b"\xff\xfe"])
def test_speak_stdin_mistakes(
    run: Run, tts: FakeTTS, monkeypatch: pytest.MonkeyPatch, text: bytes
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    assert_mistake(run("speak", "-"), "the text is")
    assert tts.loaded == []


def test_speak_with_an_unknown_stock_voice(run: Run, tts: FakeTTS) -> None:
    assert_mistake(run("speak", "Hi", "--voice", "cy"), "no stock voice 'cy'; there is anna, bo")


@pytest.mark.parametrize(
    "error", [ValueError("too\nlong"), ImportError("install codeclm[x]"), OSError("disk full")]
)
def test_an_error_on_the_way_is_one_line_and_leaves_no_file(
    run: Run, tts: FakeTTS, error: Exception
) -> None:
    tts.error = error
    code, out, err = run("speak", "Hi")
    assert (code, out) == (2, "")
    assert err == f"a library talks\nerror: {' '.join(str(error).split())}\n"
    assert [file.name for file in Path().iterdir()] == ["package"]


def test_debug_shows_the_traceback(run: Run, tts: FakeTTS, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODECLM_DEBUG", "1")
    tts.error = ValueError("inside")
    with pytest.raises(ValueError, match="inside"):
        run("speak", "Hi")


def test_our_own_errors_are_not_hidden(run: Run, tts: FakeTTS) -> None:
    tts.error = AssertionError("a bug")
    with pytest.raises(AssertionError, match="a bug"):
        run("speak", "Hi")


@pytest.mark.parametrize(
    "args", [["--seed", "-1"], ["--seed", "x"], ["--temperature", "-1"], ["--nope"]]
)
def test_usage_errors(run: Run, tts: FakeTTS, args: list[str]) -> None:
    code, out, err = run("speak", "Hi", *args)
    assert (code, out) == (2, "")
    assert args[0] in err
    assert "Traceback" not in err
    assert tts.loaded == []


# --- bench ---


@pytest.fixture
def benched(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the bench was asked for; its answer is one row of made-up figures."""
    from codeclm.tts import bench

    asked: list[Any] = []

    def measure(ways: Any, batches: Any, runs: int, threads: int | None, texts: Any) -> Any:
        print("a library talks")
        asked.append((ways, batches, runs, threads, texts))
        way = ways[0].name
        figures = (9.5, 12.0, 20.0, 30, 2.5, {1: 2.5, 2: 4.0}, 26_000_000, 1.0, "memory", 0.4)
        return [bench.Row(way, 4, 1, *figures, peak_memory_bytes=400_000_000)]

    monkeypatch.setattr(bench, "bench", measure)
    return asked


def test_bench(run: Run, tts: FakeTTS, benched: list[Any]) -> None:
    code, out, err = run("bench")
    assert (code, err) == (0, "a library talks\n")
    head, row, tried = out.splitlines()
    assert head.split()[:3] == ["model", "batch", "threads"]
    figures = "starter 4 1 9.5 12.0 (20.0) 2.50 40% memory 400 MB"
    assert row.split() == figures.split()
    assert tried == "starter x 4: a step by threads: 1: 2.50 ms, 2: 4.00 ms"
    ((ways, batches, runs, threads, texts),) = benched
    assert (batches, runs, threads, len(texts)) == ([1, 4, 16], 30, None, 6)
    assert [(way.name, way.sampling) for way in ways] == [("starter", tts.sampling)]


def test_bench_compares_models_and_numbers_of_steps(
    run: Run, tts: FakeTTS, benched: list[Any], tmp_path: Path
) -> None:
    checkpoint.save(tmp_path / "flow", {"w": torch.ones(1)}, Config(), {})
    more = ("--batch", "2", "--runs", "3", "--threads", "1", "--voice", "bo", "--json")
    more = (*more, "--text", "Guten Tag.", "--text", "Ja.", "--language", "de")
    code, out, _ = run("bench", "starter", "flow@1,10", *more)
    assert code == 0
    (row,) = json.loads(out)["rows"]
    assert (row["model"], row["speed"], row["roofline"]) == ("starter", 9.5, 0.4)
    assert row["step_ms_by_threads"] == {"1": 2.5, "2": 4.0}
    ((ways, *how),) = benched
    assert how == [[2], 3, 1, ["Guten Tag.", "Ja."]]
    assert {way.language for way in ways} == {"de"}
    assert [(way.name, way.sampling.steps) for way in ways] == [
        *(("starter", 0), ("flow 1", 1), ("flow 10", 10))
    ]
    assert {way.voice.source for way in ways} == {"bo"}
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
def test_bench_mistakes_are_seen_before_loading(
    run: Run, tts: FakeTTS, args: list[str], part: str
) -> None:
    assert_mistake(run("bench", *args), part)
    assert tts.loaded == []


# --- voice ---


def test_voice_make(run: Run, tts: FakeTTS) -> None:
    Path("in").mkdir()
    Path("in/me.wav").touch()
    assert run("voice", "make", "in/me.wav", "--out", "x.voice.safetensors") == (
        0,
        'x.voice.safetensors: try it with codeclm speak "Hello." --voice x.voice.safetensors\n',
        "in/me.wav: it hums\na voice is a person: use it only if its owner agreed\n",
    )
    assert Path("x.voice.safetensors").read_text() == "in/me.wav by the codec en"
    assert run("voice", "make", "in/me.wav")[0] == 0
    assert Path("me.voice.safetensors").is_file()
    given = ("--transcript", "Hi there.", "--language", "en-gb")
    assert run("voice", "make", "in/me.wav", *given)[0] == 0
    assert Path("me.voice.safetensors").read_text() == "in/me.wav by the codec Hi there. en-gb"
    assert tts.prepared == [FakeVoice("in/me.wav by the codec Hi there. en-gb")]


def test_voice_make_mistakes(run: Run, tts: FakeTTS) -> None:
    Path("me.wav").touch()
    Path("folder.voice.safetensors").mkdir()
    assert_mistake(run("voice", "make", "gone.wav"), "recording gone.wav: no such file")
    assert_mistake(
        run("voice", "make", "me.wav", "--out", "x.bin"),
        "x.bin: a voice file ends in .voice.safetensors",
    )
    for out, part in (
        ("folder.voice.safetensors", "is a folder"),
        ("me.wav/x.voice.safetensors", "is not a folder"),
    ):
        assert_mistake(run("voice", "make", "me.wav", "--out", out), part)
    assert_mistake(run("voice", "make", "me.wav", "--model", "gone"), "no model 'gone'")
    assert tts.loaded == []


def test_voice_list(run: Run, tts: FakeTTS) -> None:
    assert run("voice", "list") == (0, "anna\nbo\n", "")
    assert_mistake(run("voice", "list", "--model", "gone"), "no model 'gone'")


# --- codec ---


class FakeCodec:
    """Keeps every tenth of a second of sound as one frame of one stream."""

    def __init__(self) -> None:
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

    def encode(self, wav: torch.Tensor) -> torch.Tensor:
        assert wav.shape == (1, 1, 8_001)
        return torch.zeros(1, 1, 6, dtype=torch.int64)

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        return torch.zeros(1, 1, codes.shape[2] * 1_600)


def test_codec_roundtrip(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(vars(codeclm), "load_codec", lambda name, streams: FakeCodec())
    audio.write("in.wav", torch.zeros(8_001), 16_000)
    code, out, _ = run("codec", "roundtrip", "any", "in.wav", "out.flac")
    assert (code, out) == (0, "out.flac: 0.5 s through 6 frames of 1 codes\n")
    assert audio.read("out.flac", 16_000).shape == (1, 8_001)


def test_codec_roundtrip_mistakes(run: Run) -> None:
    Path("in.wav").write_bytes(b"no sound in here")
    assert_mistake(run("codec", "roundtrip", "x", "gone.wav", "o.wav"), "gone.wav: no such file")
    assert_mistake(run("codec", "roundtrip", "x", "in.wav", "o.bin"), "unknown sound format")


def test_codec_list(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_yardstick_without_tokens(run: Run) -> None:
    audio.write("in.wav", 0.1 * torch.randn(1, 16_000), 16_000)
    code, out, _ = run("codec", "roundtrip", "opus-12k", "in.wav", "out.wav")
    assert code == 0
    assert out.startswith("out.wav: 1.0 s through packets of ")
    assert audio.read("out.wav", 24_000).shape == (1, 24_000)
    refused = ("codec", "encode", "opus-12k", "in.wav", "t.safetensors")
    assert_mistake(run(*refused), "opus-12k has no tokens to learn")
    fewer = ("codec", "roundtrip", "opus-12k", "in.wav", "o.wav", "--streams", "2")
    assert_mistake(run(*fewer), "opus-12k has no tokens to learn")


def test_codec_tokens_in_a_file(run: Run) -> None:
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


def test_codec_tokens_mistakes(run: Run) -> None:
    audio.write("in.wav", torch.zeros(1, 10_000), 16_000)
    assert run("codec", "encode", "house-fsq", "in.wav", "t.safetensors")[0] == 0
    decode = ("codec", "decode", "t.safetensors", "o.wav")
    assert_mistake(run(*decode, "--codec", "house-rvq"), "holds tokens of codec house-fsq")
    assert_mistake(run("codec", "encode", "x", "in.wav", "t.pt"), "ends in .safetensors")
    assert_mistake(run("codec", "decode", "gone.safetensors", "o.wav"), "no such file")
    assert_mistake(run("codec", "decode", "in.wav", "o.wav"), "in.wav is no token file")
    asked = ("codec", "encode", "house-fsq", "in.wav", "t.safetensors", "--streams", "2")
    assert_mistake(run(*asked), "no published codec")
    gone = ("codec", "roundtrip", "encodec-24k@gone", "in.wav", "o.wav")
    assert_mistake(run(*gone), "no weights of encodec-24k at gone")


# --- prep and train ---


@pytest.mark.parametrize(
    ("verb", "module"),
    [
        (["prep"], "codeclm.data_prep.prepare"),
        (["train", "codec"], "codeclm.codecs.house.train"),
        (["train", "vocoder"], "codeclm.codecs.house.train_vocoder"),
        (["train", "tts"], "codeclm.tts.train"),
    ],
)
def test_prep_and_train(
    run: Run, monkeypatch: pytest.MonkeyPatch, verb: list[str], module: str
) -> None:
    asked: list[tuple[Path, list[str]]] = []
    fake = SimpleNamespace(run=lambda config, overrides, **_: asked.append((config, overrides)))
    monkeypatch.setitem(sys.modules, module, fake)
    Path("c.yaml").touch()
    assert run(*verb, "c.yaml") == (0, "", "")
    assert run(*verb, "c.yaml", "a.b=1", "c=[2, 3]") == (0, "", "")
    assert asked == [(Path("c.yaml"), []), (Path("c.yaml"), ["a.b=1", "c=[2, 3]"])]
    assert_mistake(run(*verb, "gone.yaml"), "configuration gone.yaml: no such file")
    assert_mistake(run(*verb, "c.yaml", "lr"), "override 'lr': write it as key=value")
    assert len(asked) == 2


def test_prep_takes_engine_and_workers(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    fake = SimpleNamespace(run=lambda _, overrides: asked.append(overrides))
    monkeypatch.setitem(sys.modules, "codeclm.data_prep.prepare", fake)
    Path("c.yaml").touch()
    assert run("prep", "c.yaml", "a=1", "--engine", "ray", "--workers", "8") == (0, "", "")
    assert asked == [["a=1", "engine=ray", "workers=8"]]


# --- plan ---

PLANNED = ["name=x", "data=gone", "out=o", "model.width=32", "model.depth=1", "model.heads=2"]


def test_plan(run: Run) -> None:
    Path("c.yaml").write_text("{}")
    asked = ("plan", "c.yaml", *PLANNED, "--codec", "house-fsq", "--steps", "0")
    code, out, err = run(*asked)
    assert (code, err) == (0, "")
    assert out.startswith("x: legal; house-fsq (8 x 25 codes a second) x parallel x linear")
    assert "time to train    not measured" in out
    found = json.loads(run(*asked, "--json", "model.layout=delay")[1])
    assert found["legal"]
    assert (found["layout"], found["first_audio_ms"], found["measured"]) == ("delay", 320, None)
    assert not Path("o").exists()


def test_plan_of_an_illegal_cell_says_why_with_exit_code_1(run: Run) -> None:
    Path("c.yaml").write_text("{}")
    asked = ("plan", "c.yaml", *PLANNED, "--codec", "house-rvq", "--steps", "0")
    code, out, err = run(*asked)
    assert (code, err) == (1, "")
    assert out.startswith("not legal: layout `parallel` with head `linear` draws streams 0 and 1")
    code, out, err = run(*asked, "--json", "--codec", "house-vae")
    assert (code, err) == (1, "")
    assert json.loads(out)["reason"].startswith("house-vae has continuous latents and no codes")


def test_plan_mistakes(run: Run) -> None:
    assert_mistake(run("plan", "gone.yaml"), "configuration gone.yaml: no such file")
    Path("c.yaml").write_text("{}")
    assert_mistake(run("plan", "c.yaml", "lr"), "override 'lr': write it as key=value")
    assert_mistake(run("plan", "c.yaml", *PLANNED), "gone is not there", "--codec")
    assert_mistake(run("plan", "c.yaml", *PLANNED, "model.nose=1"), "unknown key 'model.nose'")


# --- the process as a whole ---


def process(code: str, cwd: Path) -> "subprocess.Popen[str]":
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(codeclm.__file__).parents[1]), *sys.path[1:]]),
    }
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", code]
    return subprocess.Popen(command, cwd=cwd, env=env, stdout=pipe, stderr=pipe, text=True)


@pytest.mark.parametrize(
    "args",
    [
        ["--version"],
        ["--help"],
        ["speak", "--help"],
        ["speak", ""],
        ["speak", "Hi", "--out", "a.txt"],
        ["speak", "Hi", "--voice", "gone.wav"],
        ["train", "tts", "gone.yaml"],
    ],
)
def test_quick_answers_load_nothing_heavy(tmp_path: Path, args: list[str]) -> None:
    code = (
        "import sys, time, codeclm.cli as cli\n"
        f"sys.argv = ['codeclm', *{args!r}]\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "print('LOADED', *sys.modules)\n"
    )
    out, _ = process(code, tmp_path).communicate(timeout=60)
    assert not HEAVY & set(out.partition("LOADED")[2].split())


def test_version(run: Run) -> None:
    assert run("--version") == (0, f"codeclm {codeclm.__version__}\n", "")


@pytest.mark.parametrize("args", [[], ["voice"], ["codec"], ["train"]])
def test_no_verb_shows_the_help(run: Run, args: list[str]) -> None:
    _, out, err = run(*args)
    assert "Usage: codeclm" in out + err


def test_module_is_the_command(tmp_path: Path) -> None:
    code = "import runpy, sys; sys.argv[1:] = ['--version']; runpy.run_module('codeclm')"
    out, _ = process(code, tmp_path).communicate(timeout=60)
    assert out == f"codeclm {codeclm.__version__}\n"


def test_ctrl_c(tmp_path: Path) -> None:
    code = (
        "import sys, time, codeclm, codeclm.cli as cli\n"
        "def load(model, codec):\n"
        "    print('loading', flush=True)\n"
        "    time.sleep(60)\n"
        "cli.speak.check_model = lambda model: None\n"
        "codeclm.load_tts = load\n"
        "sys.argv = ['codeclm', 'speak', 'Hi']\n"
        "cli.main()\n"
    )
    running = process(code, tmp_path)
    assert running.stderr is not None
    assert running.stderr.readline() == "loading\n"
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out, err) == (130, "", "interrupted\n")
    assert list(tmp_path.iterdir()) == []


# --- codec bench ---


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
def test_bench_mistakes(run: Run, args: list[str], part: str) -> None:
    row = {"audio": "a.wav", "text": "Hello.", "speaker": "s"}
    Path("rows.jsonl").write_text(json.dumps(row))
    audio.write("a.wav", torch.zeros(RATE), RATE)
    usual = ["codec", "bench", "--codecs", "house-vae", "--data", "rows.jsonl", "--out", "out"]
    assert_mistake(run(*usual, *args), part)


def test_bench_answers_with_the_report(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from codeclm.codec_study import bench, bench_report

    plans = []
    monkeypatch.setattr(bench, "run", lambda plan, progress: plans.append(plan))
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
