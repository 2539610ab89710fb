"""Speaking: streams equal wholes, seeds repeat, every text ends, wrong parts are refused."""

from collections import Counter

import numpy as np
import pytest
import torch

from codeclm.tts import train
from codeclm.tts.generate import Request, load_tts
from codeclm.tts.guard import Guards
from codeclm.tts.sampling import Sampling
from codeclm.tts.voice import Voice
from tests.tts.cells import frames_of

LOCAL = "{width: 16, depth: 1, heads: 2, inner: 32}"


@pytest.fixture
def voice(tts, clips):
    return Voice.from_audio(sorted(clips.parent.glob("*.opus"))[1], tts.codec)


def test_joined_stream_equals_speech_and_offline_decoding(tts, voice):
    speech = tts.speak("A short test. And another one.", voice=voice, seed=3)
    chunks = list(tts.stream("A short test. And another one.", voice=voice, seed=3))
    assert len(chunks) > 3
    assert np.array_equal(np.concatenate(chunks), speech.wav)
    assert np.abs(offline(tts, "A short test. And another one.", voice) - speech.wav).max() < 1e-4


def offline(tts, text, voice, how=None):
    """All frames decoded at once; the text is one sentence or two short ones."""
    frames = list(frames_of(tts, tts.tokenizer.encode(text), voice, how, 3))
    return tts.codec.decode(torch.from_numpy(np.stack(frames, axis=1))[None])[0, 0].numpy()


def test_same_seed_same_sound_other_seed_other_sound(tts, voice):
    first, again, other = (
        tts.speak("Once more.", voice=voice, seed=seed).wav for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_numbers_agree(tts):
    speech = tts.speak("Hello there.", seed=0)
    assert speech.audio_seconds == len(speech.wav) / 24_000
    assert speech.speed == pytest.approx(speech.audio_seconds / speech.generation_seconds)
    assert 0 < speech.first_audio_ms <= 1000 * speech.generation_seconds
    assert tts.speak("Hello.").seed != tts.speak("Hello.").seed


def test_a_voice_is_heard_and_prefilled_once(tts, voice):
    tts.speak("Hello.", voice=voice, seed=0)
    (known, cache), network = tts._prefilled[id(voice)], tts.network
    assert known is voice
    assert cache.length == voice.tokens.shape[1]
    tts.speak("Hello.", voice=voice, seed=1)
    assert tts._prefilled[id(voice)][1] is cache
    assert cache.length == voice.tokens.shape[1]
    x = torch.randn(1, 1, network.model.config.width)
    alone = network.decoder(x, network.start())
    assert not torch.allclose(network.decoder(x, cache.copy()), alone, atol=1e-3)


def test_every_text_ends_however_badly_the_model_is_trained(tts):
    torch.nn.init.constant_(tts.network.model.advance.bias, -50.0)
    counts: Counter[str] = Counter()
    ids = tts.tokenizer.encode("Stop.")
    frames = list(frames_of(tts, ids, counts=counts))
    assert len(frames) == len(ids) * round(Guards().token * 25)
    assert counts["runaway"] == len(ids)


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
    tts.network.model.advance.bias.fill_(-0.5)
    for how in (tts.sampling, Sampling(guidance=2.0, top_k=20)):
        speech = tts.speak("A test.", voice=voice, seed=3, sampling=how)
        again = tts.speak("A test.", voice=voice, seed=3, sampling=how)
        assert np.array_equal(speech.wav, again.wav)
        chunks = list(tts.stream("A test.", voice=voice, seed=3, sampling=how))
        assert np.array_equal(np.concatenate(chunks), speech.wav)
        assert np.abs(offline(tts, "A test.", voice, how) - speech.wav).max() < 1e-4


def test_what_is_not_understood_is_said_again_and_the_best_kept(tts):
    heard = iter([0.9, 0.6, 0.7])
    speech = tts.speak("Hello.", seed=5, listener=lambda *_: next(heard))
    assert speech.interventions["retry"] == 2
    assert np.array_equal(speech.wav, tts.speak("Hello.", seed=6).wav)
    asked = []
    good = tts.speak("Hello.", seed=5, listener=lambda *given: asked.append(given[1:]) or 0.1)
    assert "retry" not in good.interventions
    assert asked == [(24_000, "Hello.", "en")]


def test_many_are_said_at_a_time_as_they_are_alone(tts, voice):
    texts = ["A short test.", "Hello.", "And another one. Hello there!", "Stop.", "Once more."]
    given = [Request(text, voice if i % 2 else None, seed=i) for i, text in enumerate(texts)]
    together = tts.speak_all(given, together=3)
    for request, speech in zip(given, together, strict=True):
        alone = tts.speak(request.text, voice=request.voice, seed=request.seed)
        assert speech.wav.shape == alone.wav.shape
        assert np.abs(speech.wav - alone.wav).max() < 1e-3
        assert (speech.seed, speech.interventions) == (alone.seed, alone.interventions)


def test_a_text_may_arrive_in_pieces(tts):
    chunks = list(tts.stream(iter(["Hello th", "ere. And ", "good", "bye."]), seed=3))
    ids = [tts.tokenizer.encode(text) for text in ("Hello there.", "And goodbye.")]
    assert len(chunks) > 2
    assert sum(map(len, chunks)) % 960 == 0
    assert len(ids) == 2


def test_an_empty_line_is_half_a_second_of_silence(tts):
    wav = tts.speak("Hello.\n\nHello.", seed=3).wav
    quiet = np.abs(wav) < 1e-7
    runs = np.diff(np.flatnonzero(np.diff(np.concatenate([[0], quiet, [0]]))))[::2]
    assert 12_000 <= runs.max() < 14_000
