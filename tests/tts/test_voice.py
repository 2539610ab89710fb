"""Voices: made from good references, refused with a reason from bad ones, kept in one file."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from codeclm import audio
from codeclm.tts.voice import LOUD, Voice, at_level, levels

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
    assert np.array_equal(back.tokens, voice.tokens)
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


def test_a_voice_is_brought_to_one_level(codec, reference):
    wav = audio.read(reference, RATE)
    for factor in (0.1, 0.5):
        level = levels(at_level(factor * wav, RATE), RATE)
        speech = level[level > level.max() - 25]
        assert 10 * (10 ** (speech / 10)).mean().log10() == pytest.approx(LOUD, abs=0.1)
    spiky = wav.clone()
    spiky[0, 100] = 20.0
    assert at_level(spiky, RATE).abs().max() == pytest.approx(0.95)


def test_what_will_be_heard_in_a_voice_is_said(codec, reference):
    wav = audio.read(reference, RATE)
    assert Voice.from_wav(wav, codec).doubts == ()
    torch.manual_seed(0)
    noisy = Voice.from_wav(wav + 0.03 * torch.randn_like(wav), codec)
    assert [doubt.partition(":")[0] for doubt in noisy.doubts] == ["noise"]
    clipped = Voice.from_wav((8 * wav).clamp(-1, 1), codec)
    assert [doubt.partition(":")[0] for doubt in clipped.doubts] == ["clipping"]


def test_a_transcript_is_kept_and_gone_on_from(tts, reference, tmp_path):
    plain = Voice.from_audio(reference, tts.codec)
    voice = Voice.from_audio(reference, tts.codec, transcript="Not what it says.", language="en-us")
    voice.save(tmp_path / "me.voice.safetensors")
    back = Voice.load(tmp_path / "me.voice.safetensors")
    assert (back.transcript, back.language) == ("Not what it says.", "en-us")
    assert np.array_equal(back.tokens, plain.tokens)
    assert back.durations == ()
    timed = tts.timed(back)
    assert sum(timed.durations) == back.tokens.shape[1]
    timed.save(tmp_path / "me.voice.safetensors")
    timed = Voice.load(tmp_path / "me.voice.safetensors")
    assert tts.timed(timed) is timed
    assert tts.timed(plain) is plain
    caches = []
    for one in (plain, back, timed):
        tts.speak("Hello.", voice=one, seed=0)
        caches.append(tts._prefilled[id(one)][1])
    assert caches[0].length == caches[1].length == caches[2].length
    assert not torch.allclose(caches[0].keys, caches[1].keys)
    assert torch.equal(caches[1].keys, caches[2].keys)


def test_a_transcript_that_cannot_be_read_is_refused(tts, reference):
    voice = Voice.from_audio(reference, tts.codec, transcript="Not what it says.")
    other = replace(voice, durations=(voice.tokens.shape[1],))
    with pytest.raises(ValueError, match="timed for a model that reads text differently"):
        tts.speak("Hello.", voice=other)
    tts.aligner = None
    with pytest.raises(ValueError, match=r"no aligner.safetensors to find its sounds with"):
        tts.timed(voice)


def test_a_transcript_must_fit(tts, reference, tmp_path):
    long = Voice.from_audio(reference, tts.codec, transcript="blah " * 200)
    with pytest.raises(ValueError, match="is this what is said in it"):
        tts.speak("Hello.", voice=long)
    wav, _ = soundfile.read(reference)
    soundfile.write(tmp_path / "long.wav", np.tile(wav, 10), RATE)
    with pytest.raises(ValueError, match="with a transcript it may be 8 s"):
        Voice.from_audio(tmp_path / "long.wav", tts.codec, transcript="Hello.")
