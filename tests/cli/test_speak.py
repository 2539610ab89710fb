"""`speak`: what reaches the model, the file it writes, and mistakes before anything is loaded."""

import io
import json
import sys
from pathlib import Path

import pytest
import torch

import codeclm
from codeclm import audio, checkpoint
from codeclm.config import Config
from codeclm.tts.sampling import Sampling
from tests.cli.conftest import RATE, FakeVoice, mistake


def test_speak(run, tts):
    code, out, err = run("speak", " Hello. ")
    assert (code, out) == (0, "speech.wav: 1.0 s of speech, 4.0x real time\n")
    assert err == "a library talks\n"
    assert tts.loaded == ["starter"]
    default = {"voice": None, "language": "en", "seed": None, "sampling": tts.sampling}
    default |= {"guards": None, "listener": None}
    assert tts.asked == [{"text": "Hello.", **default}]
    assert audio.read("speech.wav", RATE).shape == (1, RATE)


def test_speak_marks_the_file_as_synthetic(run, tts):
    import soundfile

    run("speak", "Hello.", "--voice", "anna", "--seed", "7", "--out", "a.flac")
    with soundfile.SoundFile("a.flac") as file:
        assert file.comment == "synthetic speech: model test, voice anna, seed 7"
        assert file.software.startswith(f"codeclm {codeclm.__version__}")


def test_speak_json_is_one_object(run, tts):
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


def test_speak_passes_every_option(run, tts, tmp_path):
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
def test_speak_with_a_voice(run, tts, voice, expected):
    for name in ("me.voice.safetensors", "me.wav", "ref"):
        Path(name).touch()
    assert run("speak", "Hi", "--voice", voice)[0] == 0
    assert tts.asked[0]["voice"] == FakeVoice(expected)


def test_guards_and_a_listener(run, tts, monkeypatch):
    from codeclm.evaluation import asr
    from codeclm.tts.guard import OFF

    monkeypatch.setattr(asr, "listener", lambda name: f"listener {name}")
    assert run("speak", "Hi")[0] == 0
    assert run("speak", "Hi", "--no-guards", "--check")[0] == 0
    assert run("speak", "Hola", "--check", "--language", "es-419")[0] == 0
    heard = [(asked["guards"], asked["listener"]) for asked in tts.asked]
    assert heard == [(None, None), (OFF, "listener tiny.en"), (None, "listener base")]


def test_speak_from_stdin(run, tts, monkeypatch):
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
def test_speak_mistakes_are_seen_before_loading(run, tts, args, part):
    Path("folder.wav").mkdir()
    Path("file").touch()
    mistake(run("speak", *args), part)
    assert tts.loaded == []
    assert not Path("speech.wav").exists()


@pytest.mark.parametrize("text", [b"", b" \n", b"\xff\xfe"])
def test_speak_stdin_mistakes(run, tts, monkeypatch, text):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    mistake(run("speak", "-"), "the text is")
    assert tts.loaded == []


def test_speak_with_an_unknown_stock_voice(run, tts):
    mistake(run("speak", "Hi", "--voice", "cy"), "no stock voice 'cy'; there is anna, bo")


@pytest.mark.parametrize(
    "error", [ValueError("too\nlong"), ImportError("install codeclm[x]"), OSError("disk full")]
)
def test_an_error_on_the_way_is_one_line_and_leaves_no_file(run, tts, error):
    tts.error = error
    code, out, err = run("speak", "Hi")
    assert (code, out) == (2, "")
    assert err == f"a library talks\nerror: {' '.join(str(error).split())}\n"
    assert [file.name for file in Path().iterdir()] == ["package"]


def test_debug_shows_the_traceback(run, tts, monkeypatch):
    monkeypatch.setenv("CODECLM_DEBUG", "1")
    tts.error = ValueError("inside")
    with pytest.raises(ValueError, match="inside"):
        run("speak", "Hi")


def test_our_own_errors_are_not_hidden(run, tts):
    tts.error = AssertionError("a bug")
    with pytest.raises(AssertionError, match="a bug"):
        run("speak", "Hi")


@pytest.mark.parametrize(
    "args", [["--seed", "-1"], ["--seed", "x"], ["--temperature", "-1"], ["--nope"]]
)
def test_usage_errors(run, tts, args):
    code, out, err = run("speak", "Hi", *args)
    assert (code, out) == (2, "")
    assert args[0] in err
    assert "Traceback" not in err
    assert tts.loaded == []
