"""Voices: made from good references, refused with a reason from bad ones, kept in one file."""

import numpy as np
import pytest
import soundfile
import torch

from codeclm.tts.voice import Voice

RATE = 24_000


@pytest.fixture
def reference(clips):
    return sorted(clips.parent.glob("*.opus"))[0]


def test_a_voice_survives_its_file(codec, reference, tmp_path):
    voice = Voice.from_audio(reference, codec)
    assert voice.tokens.shape[0] == 2
    assert voice.name == reference.stem
    voice.save(tmp_path / "me.voice.safetensors")
    back = Voice.load(tmp_path / "me.voice.safetensors")
    assert torch.equal(back.tokens, voice.tokens)
    assert (back.name, back.codec, back.fingerprint) == (voice.name, "tiny", voice.fingerprint)
    assert [p.name for p in tmp_path.iterdir()] == ["me.voice.safetensors"]


def test_silence_around_the_speech_and_its_loudness_do_not_matter(codec, reference, tmp_path):
    wav, _ = soundfile.read(reference, dtype="float32")
    quiet = np.concatenate([np.zeros(RATE), wav * 0.2, np.zeros(RATE)])
    soundfile.write(tmp_path / "quiet.wav", quiet, RATE, subtype="FLOAT")
    voice = Voice.from_audio(reference, codec)
    assert (
        abs(Voice.from_audio(tmp_path / "quiet.wav", codec).tokens.shape[1] - voice.tokens.shape[1])
        <= 1
    )


def test_only_the_first_eight_seconds_are_kept(codec, reference, tmp_path):
    wav, _ = soundfile.read(reference)
    soundfile.write(tmp_path / "long.wav", np.tile(wav, 10), RATE)
    assert Voice.from_audio(tmp_path / "long.wav", codec).tokens.shape[1] == 8 * 25


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (np.zeros(2 * RATE), "is silent"),
        (np.random.default_rng(0).normal(size=RATE // 2) * 0.1, r"holds 0\.5 s of speech"),
        (np.zeros(0), "is empty"),
        (np.full(2 * RATE, np.nan), "NaN or infinite"),
    ],
)
def test_a_bad_reference_is_refused_with_its_reason(codec, tmp_path, samples, reason):
    soundfile.write(tmp_path / "bad.wav", samples, RATE, subtype="FLOAT")
    with pytest.raises(ValueError, match=reason) as caught:
        Voice.from_audio(tmp_path / "bad.wav", codec)
    assert "bad.wav" in str(caught.value)


def test_what_is_not_a_voice_file_is_refused(tmp_path):
    fake = tmp_path / "fake.voice.safetensors"
    fake.write_bytes(b"not a voice")
    with pytest.raises(ValueError, match="is not a voice file"):
        Voice.load(fake)
    with pytest.raises(ValueError, match="is not a voice file"):
        Voice.load(tmp_path / "missing.voice.safetensors")
