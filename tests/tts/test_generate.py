"""Speaking: streams equal wholes, seeds repeat, every text ends, wrong parts are refused."""

from collections import Counter

import pytest
import torch

from codeclm.tts import train
from codeclm.tts.generate import OLDEST, load_tts, split_sentences
from codeclm.tts.sampling import Sampling
from codeclm.tts.voice import Voice

LOCAL = "{width: 16, depth: 1, heads: 2, inner: 32}"


@pytest.fixture
def voice(tts, clips):
    return Voice.from_audio(sorted(clips.parent.glob("*.opus"))[1], tts.codec)


def test_joined_stream_equals_speech_and_offline_decoding(tts, voice):
    speech = tts.speak("A short test. And another one.", voice=voice, seed=3)
    chunks = list(tts.stream("A short test. And another one.", voice=voice, seed=3))
    assert len(chunks) > 3
    assert torch.equal(torch.cat(chunks), speech.wav)
    ids = tts.tokenizer.encode("A short test. And another one.")
    frames = list(tts.frames(ids, voice, tts.sampling, torch.Generator().manual_seed(3)))
    offline = tts.codec.decode(torch.stack(frames, dim=2))[0, 0]
    assert (offline - speech.wav).abs().max() < 1e-4


def test_same_seed_same_sound_other_seed_other_sound(tts, voice):
    first, again, other = (
        tts.speak("Once more.", voice=voice, seed=seed).wav for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert len(first) != len(other) or not torch.equal(first, other)


def test_the_numbers_agree(tts):
    speech = tts.speak("Hello there.", seed=0)
    assert speech.audio_seconds == len(speech.wav) / 24_000
    assert speech.speed == pytest.approx(speech.audio_seconds / speech.generation_seconds)
    assert 0 < speech.first_audio_ms <= 1000 * speech.generation_seconds
    assert tts.speak("Hello.").seed != tts.speak("Hello.").seed


def test_a_voice_is_heard_and_prefilled_once(tts, voice):
    tts.speak("Hello.", voice=voice, seed=0)
    cache = tts._prefill(voice)
    assert tts._prefill(voice) is cache
    assert cache.length == voice.tokens.shape[1]
    x = torch.randn(1, 1, tts.model.config.width)
    alone = tts.decoder(x, tts.decoder.start())
    assert not torch.allclose(tts.decoder(x, cache.copy()), alone, atol=1e-3)


def test_every_text_ends_however_badly_the_model_is_trained(tts):
    torch.nn.init.constant_(tts.model.advance.bias, -50.0)
    counts: Counter[str] = Counter()
    ids = tts.tokenizer.encode("Stop.")
    frames = list(tts.frames(ids, None, Sampling(), torch.Generator(), counts))
    assert len(frames) == len(ids) * round(OLDEST * 25)
    assert counts["token held too long"] == len(ids)


def test_empty_text_is_refused(tts):
    for text in ("", "   ", "...", "🙂"):
        with pytest.raises(ValueError, match="text"):
            tts.speak(text)


def test_voice_and_codec_of_other_weights_are_refused(tts, voice, runs):
    other = Voice(voice.tokens, "other", "house-x", "f" * 16)
    with pytest.raises(ValueError, match=r"made for codec house-x f{16}"):
        tts.speak("Hello.", voice=other)
    with pytest.raises(ValueError, match="holds a house-codec, not a speech model"):
        load_tts(runs / "codec" / "final")


def test_sentences_are_cut_at_their_ends_only():
    assert split_sentences("One. Two! Three?", longest=6) == ["One.", "Two!", "Three?"]
    assert split_sentences("One. Two.") == ["One. Two."]
    long = "word " * 100
    assert split_sentences(long) == [long.strip()]


CELLS = {
    "flatten": ["model.layout=flatten"],
    "delay": ["model.layout=delay", "model.text=prefix", "model.spell=true"],
    "depth": ["model.layout=frame", "model.head=depth", f"model.local={LOCAL}"],
    "masked": ["model.layout=delay", "model.offsets=[0, 2]", "model.head=masked"],
    "coarse_first": ["model.layout=coarse_first", "model.head=stages", "model.read=points"],
}


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_is_trained_saved_loaded_and_heard(name, runs, tiny, tmp_path, voice):
    data = [f"name={name}", f"data={runs / 'data'}", f"out={tmp_path}", "steps=2"]
    final = train.run(None, [*data, *tiny["tts"], *CELLS[name]])
    tts = load_tts(final, codec=runs / "codec" / "final")
    tts.model.advance.bias -= 1.0
    for how in (tts.sampling, Sampling(guidance=2.0, top_k=20)):
        speech = tts.speak("A test.", voice=voice, seed=3, sampling=how)
        again = tts.speak("A test.", voice=voice, seed=3, sampling=how)
        assert torch.equal(speech.wav, again.wav)
        chunks = list(tts.stream("A test.", voice=voice, seed=3, sampling=how))
        assert torch.equal(torch.cat(chunks), speech.wav)
        ids = tts.tokenizer.encode("A test.")
        frames = list(tts.frames(ids, voice, how, torch.Generator().manual_seed(3)))
        offline = tts.codec.decode(torch.stack(frames, dim=2))[0, 0]
        assert (offline - speech.wav).abs().max() < 1e-4
