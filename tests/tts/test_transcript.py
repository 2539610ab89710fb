"""A transcript is timed as the texts of the training data were, whatever codec a model speaks."""

import pytest
import torch

from codeclm import codecs, load_codec
from codeclm.corpus import read_audio, read_manifest
from codeclm.data_prep.shards import read_prepared
from codeclm.tts.transcript import time_tokens


@pytest.fixture
def aligner(runs):
    return next((runs / "data" / "durations").glob("*.aligner.safetensors"))


def test_times_are_those_of_the_data(runs, codec, aligner):
    for item in read_prepared(runs / "data").items:
        found = time_tokens(aligner, codec, item.tokens.long().numpy(), item.ids)
        assert found == tuple(item.durations)


def test_an_aligner_of_another_codec_hears_what_the_voice_sounds_like(
    runs, codec, aligner, clips, monkeypatch
):
    latents = load_codec("house-vae")
    item, utterance = read_prepared(runs / "data").items[0], read_manifest(clips)[0]
    voice = latents.spec.matrix(latents.encode(read_audio(utterance, 24_000)[None]))
    with pytest.raises(ValueError, match="tiny"):  # lies in a folder that nobody named
        time_tokens(aligner, latents, voice[0].numpy(), item.ids)
    monkeypatch.setattr(codecs, "load_codec", lambda name: codec)
    found = time_tokens(aligner, latents, voice[0].numpy(), item.ids)
    heard = codec.encode(latents.decode(latents.spec.matrix(voice)))
    assert found == time_tokens(aligner, codec, heard[0].numpy(), item.ids)
    assert sum(found) == voice.shape[2]


def test_a_text_that_is_too_long_is_refused(codec, aligner):
    short = torch.zeros(len(codec.spec.streams), 2, dtype=torch.long).numpy()
    with pytest.raises(ValueError, match="3 sounds, and the recording only 2 frames"):
        time_tokens(aligner, codec, short, [1, 2, 3])
