"""Sound files: real ones in every format, and errors that name the file."""

import math
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch

from codeclm import audio

RATE = 24_000


def tone(seconds=1.0, rate=RATE, hertz=440.0):
    """A sine `[N]` of amplitude one half."""
    time = torch.arange(round(seconds * rate), dtype=torch.float64) / rate
    return (0.5 * torch.sin(2 * math.pi * hertz * time)).float()


def correlation(a, b):
    return torch.nn.functional.cosine_similarity(a.reshape(-1), b.reshape(-1), dim=0).item()


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".opus", ".mp3", ".WAV"])
def test_round_trip(tmp_path, suffix):
    wav, path = tone(), tmp_path / f"tone{suffix}"
    audio.write(path, wav, RATE)
    found = audio.read(path, RATE)
    assert found.shape == (1, RATE)
    assert found.dtype == torch.float32
    assert correlation(found, wav) > 0.99
    if suffix in (".wav", ".flac", ".WAV"):
        torch.testing.assert_close(found[0], wav, rtol=0, atol=1 / 32768)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".flac", ".mp3", ".wav"])
@pytest.mark.parametrize("rate", [24_000, 16_000, 48_000])
def test_stereo_at_44100_becomes_mono_at_the_asked_rate(tmp_path, suffix, rate):
    left, right = tone(1.5, 44_100, 300), tone(1.5, 44_100, 700)
    path = tmp_path / f"stereo{suffix}"
    soundfile.write(path, torch.stack([left, right], dim=1).numpy(), 44_100)
    found = audio.read(path, rate)
    assert found.shape == (1, round(1.5 * rate))
    assert correlation(found, (tone(1.5, rate, 300) + tone(1.5, rate, 700)) / 2) > 0.99


def test_long_vorbis(tmp_path):
    """Written at once, some minutes of Vorbis crash libsndfile."""
    audio.write(tmp_path / "long.ogg", tone(300, 8_000), 8_000)
    assert audio.read(tmp_path / "long.ogg", 8_000).shape == (1, 300 * 8_000)


def test_opus_at_a_rate_it_does_not_know(tmp_path):
    audio.write(tmp_path / "a.opus", tone(1, 22_050), 22_050)
    found = audio.read(tmp_path / "a.opus", 22_050)
    assert found.shape == (1, 22_050)
    assert correlation(found, tone(1, 22_050)) > 0.99


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".opus", ".mp3"])
def test_metadata(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    audio.write(path, tone(), RATE, {"title": "नमस्ते", "comment": "synthetic speech"})
    with soundfile.SoundFile(path) as file:
        found = file.copy_metadata()
    assert found["title"] == "नमस्ते"
    assert found["comment"] == "synthetic speech"


def test_write_takes_any_tensor_and_clips(tmp_path):
    wav = (4 * tone()).bfloat16()[None].requires_grad_()
    audio.write(tmp_path / "new" / "folder" / "a.wav", wav, RATE)
    found = audio.read(tmp_path / "new" / "folder" / "a.wav", RATE)
    assert found.abs().max() <= 1
    assert found.max() > 0.999
    assert found.min() < -0.999


def test_write_refuses_two_channels(tmp_path):
    with pytest.raises(AssertionError, match=r"expected \[N\] or \[1, N\]"):
        audio.write(tmp_path / "a.wav", torch.zeros(2, 5), RATE)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_write_refuses_broken_sound(tmp_path, value):
    with pytest.raises(ValueError, match="NaN or infinite"):
        audio.write(tmp_path / "a.wav", torch.tensor([0.0, value]), RATE)
    assert list(tmp_path.iterdir()) == []


def test_a_crash_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    audio.write(path, tone(), RATE)
    before = path.read_bytes()

    def crash(self, data):
        raise KeyboardInterrupt

    monkeypatch.setattr(soundfile.SoundFile, "write", crash)
    with pytest.raises(KeyboardInterrupt):
        audio.write(path, tone(2), RATE)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_rate_the_format_does_not_know(tmp_path):
    with pytest.raises(ValueError, match=r"cannot write .*a\.mp3 at 12345 Hz"):
        audio.write(tmp_path / "a.mp3", tone(), 12_345)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path):
    with pytest.raises(ValueError, match="cannot write"):
        audio.write("/proc/no/a.wav", tone(), RATE)
    with pytest.raises(ValueError, match="cannot write"):
        audio.write(tmp_path / f"{'x' * 300}" / "a.wav", tone(), RATE)


@pytest.mark.parametrize("name", ["a", "a.txt", "a.wav.gz", ".wav", "a.m4a"])
def test_unknown_suffix(name):
    with pytest.raises(ValueError, match=r"unknown sound format .*\.wav, \.flac, \.ogg"):
        audio.check_writable(name)


def test_check_writable(tmp_path):
    audio.check_writable(tmp_path / "a.wav")
    audio.check_writable(tmp_path / "new" / "deep" / "a.mp3")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(ValueError, match=r"folder\.wav is a folder; name a file in it"):
        audio.check_writable(tmp_path / "folder.wav")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="file is not a folder"):
        audio.check_writable(tmp_path / "file" / "a.wav")
    with pytest.raises(ValueError, match="file is not a folder"):
        audio.check_writable(tmp_path / "file" / "deep" / "a.wav")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ValueError, match="no permission to write in"):
        audio.check_writable(tmp_path / "a.wav")


def test_permission_is_asked_of_the_system(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ValueError, match=f"no permission to write in {tmp_path}"):
        audio.check_writable(tmp_path / "new" / "a.wav")


def test_read_errors_name_the_file(tmp_path):
    def failure(name, content=None):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError) as error:  # noqa: PT011  (the text is checked below)
            audio.read(tmp_path / name, RATE)
        assert str(tmp_path / name) in str(error.value)
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "no such file" in failure("gone.wav")
    assert "no such file" in failure("x" * 300)
    assert "is empty (0 bytes)" in failure("empty.wav", b"")
    text = failure("song.wav", b"this is a text, not a sound" * 9)
    assert "cannot read" in text
    assert "formats that work: wav, flac, ogg, opus, mp3" in text
    assert "cannot read" in failure("cut.flac", b"fLaC\x00\x00")
    (tmp_path / "folder.wav").mkdir()
    assert "is a folder; name a sound file" in failure("folder.wav")


def test_read_without_samples(tmp_path):
    soundfile.write(tmp_path / "none.wav", np.zeros((0, 1), dtype=np.float32), RATE)
    with pytest.raises(ValueError, match=r"none\.wav is empty"):
        audio.read(tmp_path / "none.wav", RATE)
    soundfile.write(tmp_path / "one.wav", np.zeros((1, 1), dtype=np.float32), 48_000)
    with pytest.raises(ValueError, match="no sample at 8000 Hz"):
        audio.read(tmp_path / "one.wav", 8_000)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_read_refuses_broken_sound(tmp_path, value):
    samples = np.array([0.0, value, 0.0], dtype=np.float32)
    soundfile.write(tmp_path / "bad.wav", samples, RATE, subtype="FLOAT")
    with pytest.raises(ValueError, match=r"bad\.wav holds samples that are NaN or infinite"):
        audio.read(tmp_path / "bad.wav", RATE)


@pytest.mark.parametrize("suffix", [".flac", ".ogg", ".mp3"])
def test_a_file_cut_short_is_read_or_refused(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    audio.write(path, tone(3), RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    problem, found = "", torch.zeros(1, 1)
    try:
        found = audio.read(path, RATE)
    except ValueError as error:
        problem = str(error)
    assert 0 < found.shape[1] <= 3 * RATE + 2_000
    assert problem == "" or str(path) in problem


@pytest.mark.parametrize("samples", [1, 2, 3, 7, 100, 44_100, 44_101])
@pytest.mark.parametrize("to_rate", [8_000, 24_000, 44_100, 48_000])
def test_resample_length(samples, to_rate):
    out = audio.resample(torch.zeros(samples), 44_100, to_rate)
    assert out.shape == (round(samples * to_rate / 44_100),)


def test_resample_shape_pitch_and_rows():
    wav = torch.stack([tone(1, 44_100, 300), tone(1, 44_100, 700)])[None, :, None]
    out = audio.resample(wav, 44_100, RATE)
    assert out.shape == (1, 2, 1, RATE)
    middle = slice(1_000, -1_000)
    for row, hertz in enumerate((300, 700)):
        expected = tone(1, RATE, hertz)
        torch.testing.assert_close(out[0, row, 0][middle], expected[middle], rtol=0, atol=1e-3)
    assert audio.resample(wav, 44_100, 44_100) is wav


def test_resample_removes_what_the_lower_rate_cannot_hold():
    out = audio.resample(tone(1, 48_000, 10_000), 48_000, 16_000)
    assert audio.rms_db(out[1_000:-1_000]) < -80


@pytest.mark.parametrize("rates", [(0, 8_000), (8_000, -1)])
def test_resample_refuses_a_rate_of_nothing(rates):
    with pytest.raises(ValueError, match="a sample rate must be positive"):
        audio.resample(torch.zeros(8), *rates)


def test_loudness():
    assert audio.rms_db(tone()) == pytest.approx(20 * math.log10(0.5 / math.sqrt(2)), abs=1e-3)
    assert audio.rms_db(torch.ones(5)) == pytest.approx(0)
    assert audio.rms_db(torch.zeros(5)) == audio.rms_db(torch.zeros(0)) == pytest.approx(-120)


def test_trim():
    quiet = 1e-4 * torch.randn(RATE, generator=torch.Generator().manual_seed(0))
    wav = torch.cat([quiet, tone(0.5), quiet])[None]
    out = audio.trim(wav, RATE)
    assert out.shape[0] == 1
    assert out.shape[1] == pytest.approx(0.6 * RATE, abs=0.03 * RATE)
    assert out.square().sum() == pytest.approx(tone(0.5).square().sum())


def test_trim_leaves_what_has_no_silence_or_no_sound():
    for wav in (tone()[None], torch.zeros(1, RATE), torch.ones(1, 3), torch.zeros(1, 0)):
        torch.testing.assert_close(audio.trim(wav, RATE), wav)


def test_import_is_light():
    code = "import sys, codeclm.audio as a; a.check_writable('x.wav'); print(*sys.modules)"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    loaded = subprocess.check_output([sys.executable, "-c", code], env=env, text=True).split()
    assert not {"torch", "numpy", "soundfile", "soxr"} & set(loaded)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg program")
def test_an_mp3_made_by_another_program(tmp_path):
    audio.write(tmp_path / "a.wav", tone(1, 44_100), 44_100)
    command = ["ffmpeg", "-v", "error", "-i", "a.wav", "-ac", "2", "a.mp3"]
    subprocess.run(command, cwd=tmp_path, check=True, stdin=subprocess.DEVNULL)
    assert audio.read(tmp_path / "a.mp3", RATE).shape[1] == pytest.approx(RATE, abs=1_500)
