"""`voice`: voices made from recordings, and listed."""

from pathlib import Path

from tests.cli.conftest import mistake


def test_voice_make(run, tts):
    Path("in").mkdir()
    Path("in/me.wav").touch()
    assert run("voice", "make", "in/me.wav", "--out", "x.voice.safetensors") == (
        0,
        'x.voice.safetensors: try it with codeclm speak "Hello." --voice x.voice.safetensors\n',
        "in/me.wav: it hums\na voice is a person: use it only if its owner agreed\n",
    )
    assert Path("x.voice.safetensors").read_text() == "in/me.wav by the codec en, timed"
    assert run("voice", "make", "in/me.wav")[0] == 0
    assert Path("me.voice.safetensors").is_file()
    given = ("--transcript", "Hi there.", "--language", "en-gb")
    assert run("voice", "make", "in/me.wav", *given)[0] == 0
    told = "in/me.wav by the codec Hi there. en-gb, timed"
    assert Path("me.voice.safetensors").read_text() == told


def test_voice_make_mistakes(run, tts):
    Path("me.wav").touch()
    Path("folder.voice.safetensors").mkdir()
    mistake(run("voice", "make", "gone.wav"), "recording gone.wav: no such file")
    mistake(
        run("voice", "make", "me.wav", "--out", "x.bin"),
        "x.bin: a voice file ends in .voice.safetensors",
    )
    for out, part in (
        ("folder.voice.safetensors", "is a folder"),
        ("me.wav/x.voice.safetensors", "is not a folder"),
    ):
        mistake(run("voice", "make", "me.wav", "--out", out), part)
    mistake(run("voice", "make", "me.wav", "--model", "gone"), "no model 'gone'")
    assert tts.loaded == []


def test_voice_list(run, tts):
    assert run("voice", "list") == (0, "anna\nbo\n", "")
    mistake(run("voice", "list", "--model", "gone"), "no model 'gone'")
