"""Published codecs, at sizes that take seconds: what the library does, whole, in blocks, in chunks.

The weights are random; what is checked is the arithmetic, which does not depend on them. It is done
in double precision, because in random codebooks the nearest two codes are often as near.
"""

import copy
import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from codeclm import load_codec
from codeclm.codecs import PUBLISHED, codec_of
from codeclm.codecs.published import weights
from tests.conftest import TINY_TTS


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1)).double() * 0.1


def lively(model):
    """Takes out the biases, so that a random network says something about its input."""
    for name, weight in model.named_parameters():
        if "bias" in name:
            weight.data.zero_()
    return model.eval().double()


def some_columns(latent):
    """Every other column of [1, D, T], for a codebook of 32 codes that sound really uses."""
    return 0.7 * latent[0].T[1:65:2]


@torch.no_grad()
def encodec(folder):
    from transformers import EncodecConfig, EncodecModel

    config = EncodecConfig(
        num_filters=4, hidden_size=16, codebook_size=32, target_bandwidths=[1.5, 3.0]
    )
    model = lively(EncodecModel(config))
    residual = model.encoder(noise(1, 1, 24_000))
    for layer in model.quantizer.layers:
        layer.codebook.embed.copy_(some_columns(residual))
        residual = residual - layer.decode(layer.encode(residual))
    model.save_pretrained(folder)

    def through(wav):
        coded = model.encode(wav, bandwidth=1.5)
        return coded.audio_codes[0], model.decode(*coded[:2]).audio_values

    return through


@torch.no_grad()
def dac(folder):
    from transformers import DacConfig, DacModel

    config = DacConfig(
        encoder_hidden_size=4,
        decoder_hidden_size=32,
        downsampling_ratios=[2, 4, 5, 8],
        n_codebooks=6,
        codebook_size=32,
        sampling_rate=24_000,
    )
    model = DacModel(config)
    for weight in model.parameters():
        weight.data.add_(torch.randn_like(weight) * 0.05)
    lively(model)
    residual = model.encoder(noise(1, 1, 24_000))
    for layer in model.quantizer.quantizers:
        layer.codebook.weight.data.copy_(some_columns(layer.in_proj(residual)))
        residual = residual - layer(residual)[0]
    model.save_pretrained(folder)

    def through(wav):
        codes = model.encode(wav, n_quantizers=4).audio_codes
        return codes, model.decode(audio_codes=codes).audio_values[:, None]

    return through


SMALL_MIMI = {
    "num_filters": 4,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "sliding_window": 10,
    "upsample_groups": 16,
    "layer_scale_initial_scale": 0.5,
}


@torch.no_grad()
def mimi(folder):
    from transformers import MimiConfig, MimiModel

    config = MimiConfig(
        **SMALL_MIMI,
        codebook_size=32,
        codebook_dim=8,
        vector_quantization_hidden_dimension=8,
        num_quantizers=6,
    )
    model = lively(MimiModel(config))
    quantizer, latents = model.quantizer, []
    other = copy.deepcopy(model)  # a codebook is not read again once it was used
    read = other.quantizer.semantic_residual_vector_quantizer.input_proj
    read.register_forward_pre_hook(lambda _, x: latents.append(x[0]))
    other.encode(noise(1, 1, 130_000))
    for half in (
        quantizer.semantic_residual_vector_quantizer,
        quantizer.acoustic_residual_vector_quantizer,
    ):
        residual = half.input_proj(latents[0])
        for layer in half.layers:
            layer.codebook.embed_sum.copy_(some_columns(residual))
            residual = residual - layer.decode(layer.encode(residual))
    model.save_pretrained(folder)

    def through(wav):
        codes = model.encode(wav, num_quantizers=4).audio_codes
        return codes, model.decode(codes).audio_values

    return through


@torch.no_grad()
def pocket(folder):
    from transformers import PocketTTSAudioTokenizerConfig, PocketTTSAudioTokenizerModel

    model = lively(PocketTTSAudioTokenizerModel(PocketTTSAudioTokenizerConfig(**SMALL_MIMI)))
    model.save_pretrained(folder)

    def through(wav):
        latents = model.encode(wav).latents
        return latents, model.decode(latents).audio_values

    return through


@torch.no_grad()
def vibevoice(folder):
    from transformers import VibeVoiceAcousticTokenizerConfig, VibeVoiceAcousticTokenizerModel

    config = VibeVoiceAcousticTokenizerConfig(
        num_filters=4, hidden_size=8, depths=[1] * 7, layer_scale_init_value=0.5
    )
    model = lively(VibeVoiceAcousticTokenizerModel(config))
    model.save_pretrained(folder)

    def through(wav):
        latents = model.encode(wav, sample=False).latents
        return latents, model.decode(latents).audio

    return through


TINY: dict[str, Callable[[Any], Any]] = {
    "encodec-24k:4": encodec,
    "dac-24k:4": dac,
    "mimi:4": mimi,
    "pocket-vae": pocket,
    "vibevoice-vae": vibevoice,
}


NEW = hasattr(transformers, "PocketTTSAudioTokenizerModel")  # else it is one beside `moshi`
newer = pytest.mark.skipif(not NEW, reason="needs codeclm[codecs]")


def small_moshi(patch):
    """Lets `moshi` build Mimi as small as `SMALL_MIMI`."""
    loaders = pytest.importorskip("moshi.models.loaders")
    config = copy.deepcopy(loaders._mimi_config)
    config["seanet"].update(dimension=16, n_filters=4)
    config["quantizer"].update(dimension=8, n_q=6, bins=32, input_dimension=16, output_dimension=16)
    config["transformer"].update(
        d_model=16, num_heads=2, num_layers=2, dim_feedforward=32, context=10, input_dimension=16
    )
    config["transformer"]["output_dimensions"] = [16]
    patch.setattr(loaders, "_mimi_config", config)


def by_moshi(model):
    """Its own way, whole."""
    from moshi.utils.compile import no_compile

    def through(wav):
        with no_compile():
            codes = model.encode(wav)
            return codes, model.decode(codes)

    return through


def without_moshi(patch):
    patch.setitem(sys.modules, "moshi", None)


@pytest.fixture(scope="module", params=[*TINY, "mimi:4 by moshi"])
def tiny(request, tmp_path_factory):
    """A tiny codec of each kind, and the library's way through the same weights."""
    name, _, moshi = request.param.partition(" by ")
    if not NEW and request.param not in ("encodec-24k:4", "dac-24k:4", "mimi:4 by moshi"):
        pytest.skip("needs codeclm[codecs]")
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp(name.partition(":")[0])
    through = TINY[name](folder)
    with pytest.MonkeyPatch.context() as patch:
        (small_moshi if moshi else without_moshi)(patch)
        codec = load_codec(name, weights=folder)
        codec.model.double()
        through = by_moshi(codec.model) if moshi else through
        yield SimpleNamespace(
            name=name, folder=folder, codec=codec, through=torch.inference_mode()(through)
        )


@pytest.fixture
def short_blocks(tiny, monkeypatch):
    """The codec, with blocks so short that a second takes several."""
    monkeypatch.setattr(tiny.codec, "block", max(8, math.ceil(tiny.codec.spec.frame_rate / 5)))
    return tiny.codec


def same(tokens, expected):
    """Codes are equal, latents nearly so."""
    if tokens.is_floating_point():
        return near(tokens, expected)
    return torch.equal(tokens, expected)


def near(sound, expected):
    """But for rounding the same, compared to how much there is of it."""
    return (sound - expected).abs().max() < 1e-6 * expected.std()


def two_seconds(codec, batch=1):
    spec = codec.spec
    return noise(batch, 1, round(2 * spec.frame_rate) * spec.hop)


def test_tokens_and_sound_are_those_of_the_library(tiny):
    wav = two_seconds(tiny.codec, batch=2)
    expected, sound = tiny.through(wav)
    tokens = tiny.codec.encode(wav)
    assert same(tokens, expected)
    assert len(tokens.unique()) > 15
    decoded = tiny.codec.decode(expected)
    assert decoded.shape == wav.shape
    assert 0 <= decoded.shape[2] - sound.shape[2] < 10  # DAC loses a few samples at the end
    assert near(decoded[..., : sound.shape[2]], sound)


def test_a_stream_of_nothing_is_silent(tiny):
    tokens = tiny.codec.encode(noise(2, 1, 0))
    assert tokens.shape[tiny.codec.spec.time_axis] == 0
    assert tiny.codec.decode(tokens).shape == (2, 1, 0)


def test_blocks_do_not_change_anything(tiny, short_blocks):
    wav = two_seconds(tiny.codec)
    expected, sound = tiny.through(wav)
    assert same(short_blocks.encode(wav), expected)
    decoded = short_blocks.decode(expected)[..., : sound.shape[2]]
    assert near(decoded, sound)


@pytest.mark.parametrize("seconds", [0.011, 0.5])
def test_streamed_encoding_equals_offline(tiny, seconds):
    codec, spec = tiny.codec, tiny.codec.spec
    wav = two_seconds(codec)[..., : round(min(2, 70 * seconds) * spec.sample_rate) - 100]
    state, parts = None, []
    for chunk in wav.split(round(seconds * spec.sample_rate), dim=2):
        tokens, state = codec.encode_chunk(chunk, state)
        parts.append(tokens)
    heard = sum(part.shape[spec.time_axis] for part in parts)
    assert heard == (wav.shape[2] - spec.lookahead) // spec.hop
    parts.append(codec.encode_chunk(wav[..., :0], state, last=True)[0])
    assert same(torch.cat(parts, dim=spec.time_axis), codec.encode(wav))


@pytest.mark.parametrize("size", [1, 5])
def test_streamed_decoding_equals_offline(tiny, size):
    codec = tiny.codec
    tokens = codec.encode(two_seconds(codec, batch=2))
    axis = codec.spec.time_axis
    tokens = tokens.narrow(axis, 0, min(tokens.shape[axis], 60 * size))
    whole = codec.decode(tokens)
    parts = list(codec.stream(tokens.split(size, dim=codec.spec.time_axis)))
    assert near(torch.cat(parts, dim=2), whole)


def test_a_stream_can_be_continued_twice_from_one_state(tiny):
    codec = tiny.codec
    wav = two_seconds(codec)
    tokens = codec.encode(wav)
    first, then = tokens.chunk(2, dim=codec.spec.time_axis)
    _, state = codec.decode_chunk(first)
    once, _ = codec.decode_chunk(then, state)
    assert torch.equal(once, codec.decode_chunk(then, state)[0])
    _, state = codec.encode_chunk(wav[..., : wav.shape[2] // 2])
    once, _ = codec.encode_chunk(wav[..., wav.shape[2] // 2 :], state)
    assert torch.equal(once, codec.encode_chunk(wav[..., wav.shape[2] // 2 :], state)[0])


def test_the_spec_tells_the_truth(tiny):
    codec, spec = tiny.codec, tiny.codec.spec
    known = PUBLISHED[tiny.name.partition(":")[0]].spec
    assert spec.name == tiny.name
    assert (spec.family, spec.causal) == (known.family, known.causal)
    assert spec.causal == (spec.decoder_lookahead == 0)
    tokens = codec.encode(two_seconds(codec))
    frames = round(2 * spec.frame_rate)
    if spec.latent_dims:
        assert tokens.shape == (1, frames, spec.latent_dims)
    else:
        assert tokens.shape == (1, len(spec.streams), frames)
        assert all(tokens[:, k].max() < stream.size for k, stream in enumerate(spec.streams))
        per_frame = sum(math.log2(stream.size) for stream in spec.streams)
        assert spec.bitrate == pytest.approx(per_frame * spec.sample_rate / spec.hop)
    assert type(spec).from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_nothing_is_seen_beyond_the_lookahead(tiny):
    codec, spec = tiny.codec, tiny.codec.spec
    wav = two_seconds(codec)
    frames = wav.shape[2] // spec.hop
    frame = frames // 2
    other = wav.clone()
    other[..., (frame + 1) * spec.hop + spec.lookahead :] *= -1
    before, after = codec.encode(wav), codec.encode(other)
    known = frame + 1
    assert same(before.narrow(spec.time_axis, 0, known), after.narrow(spec.time_axis, 0, known))
    assert not same(before, after)
    tokens = before.clone()
    later = tokens.narrow(spec.time_axis, frame, frames - frame)
    later.copy_(later.flip(spec.time_axis))
    until = frame * spec.hop - spec.decoder_lookahead
    sound, other = codec.decode(before), codec.decode(tokens)
    assert near(other[..., :until], sound[..., :until])
    assert not near(other[..., until:], sound[..., until:])


@pytest.mark.parametrize("samples", [1, 700, 5000])
def test_any_length_is_padded_to_whole_frames(tiny, samples):
    tokens = tiny.codec.encode(noise(1, 1, samples))
    frames = tokens.shape[tiny.codec.spec.time_axis]
    assert frames == tiny.codec.spec.frames(samples)
    assert tiny.codec.decode(tokens).shape == (1, 1, frames * tiny.codec.spec.hop)


def test_rows_of_a_batch_are_as_alone(tiny):
    wav = two_seconds(tiny.codec, batch=3)
    alone = torch.cat([tiny.codec.encode(row[None]) for row in wav])
    assert same(tiny.codec.encode(wav), alone)


def test_silence_at_the_end_of_a_row_changes_no_frame_of_a_causal_codec(tiny):
    codec, spec = tiny.codec, tiny.codec.spec
    if not spec.causal:
        pytest.skip("not causal: its end is not silence, rows of a batch must be of one length")
    wav = two_seconds(codec)
    padded = torch.nn.functional.pad(wav, (0, 3 * spec.hop))
    frames = wav.shape[2] // spec.hop
    assert same(codec.encode(padded).narrow(spec.time_axis, 0, frames), codec.encode(wav))


def test_the_fingerprint_is_that_of_encoder_and_quantizer(tiny, tmp_path):
    from safetensors.torch import load_file, save_file

    tensors = load_file(tiny.folder / "model.safetensors")
    marks = []
    for part in ("decoder.", "encoder."):
        name = next(n for n in sorted(tensors) if n.startswith(part) and tensors[n].dim() > 1)
        (tmp_path / part).mkdir()
        (tmp_path / part / "config.json").write_bytes((tiny.folder / "config.json").read_bytes())
        changed = {**tensors, name: tensors[name] + 1}
        save_file(changed, tmp_path / part / "model.safetensors", metadata={"format": "pt"})
        marks.append(load_codec(f"{tiny.name}@{tmp_path / part}").spec.fingerprint)
    assert marks[0] == tiny.codec.spec.fingerprint != marks[1]


def test_tokens_go_with_their_codec_only(tiny):
    spec = tiny.codec.spec
    given = f"{tiny.name}@{tiny.folder}"
    assert codec_of(spec, given, "x was made with").spec == spec
    with pytest.raises(ValueError, match=r"x was made with codec .* but the codec given"):
        codec_of(replace(spec, fingerprint="0" * 16), given, "x was made with")


# --- the published shapes, without their weights ---


@newer
def test_the_table_is_that_of_the_published_configurations():
    import transformers as hf

    from codeclm.codecs.published.dac import Dac
    from codeclm.codecs.published.encodec import Encodec
    from codeclm.codecs.published.mimi import Mimi
    from codeclm.codecs.published.pocket import Pocket
    from codeclm.codecs.published.vibevoice import VibeVoice

    def dac_of(rate, ratios, codebooks):
        return hf.DacConfig(sampling_rate=rate, downsampling_ratios=ratios, n_codebooks=codebooks)

    shapes = {
        "encodec-24k": (Encodec, hf.EncodecModel, hf.EncodecConfig()),
        "dac-16k": (Dac, hf.DacModel, dac_of(16_000, [2, 4, 5, 8], 12)),
        "dac-24k": (Dac, hf.DacModel, dac_of(24_000, [2, 4, 5, 8], 32)),
        "dac-44k": (Dac, hf.DacModel, dac_of(44_100, [2, 4, 8, 8], 9)),
        "mimi": (Mimi, hf.MimiModel, hf.MimiConfig()),
        "pocket-vae": (
            Pocket,
            hf.PocketTTSAudioTokenizerModel,
            hf.PocketTTSAudioTokenizerConfig(),
        ),
        "vibevoice-vae": (
            VibeVoice,
            hf.VibeVoiceAcousticTokenizerModel,
            hf.VibeVoiceAcousticTokenizerConfig(),
        ),
    }
    for name, (adapter, network, config) in shapes.items():
        known = PUBLISHED[name].spec
        with torch.device("meta"):
            codec = adapter(name, network(config), len(known.streams), "")
        assert codec.spec == known


# --- mistakes ---


def test_without_a_network_the_message_says_what_to_put_where(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match=r"downloading facebook/.* failed .*encodec-24k@FOLDER"):
        load_codec("encodec-24k")


def test_a_folder_that_holds_something_else_is_refused(tiny, tmp_path):
    with pytest.raises(ValueError, match=r"config.json, model.safetensors missing"):
        load_codec(tiny.name, weights=tmp_path)
    with pytest.raises(ValueError, match="give a folder or a hub name"):
        load_codec(f"{tiny.name}@./gone")
    other = next(name for name in TINY if name != tiny.name)
    with pytest.raises(ValueError, match="does not hold"):
        load_codec(f"{other}@{tiny.folder}")


def test_codebooks_that_are_not_there_are_refused(tiny):
    if tiny.codec.spec.latent_dims:
        with pytest.raises(ValueError, match="no 2 codebooks"):
            load_codec(tiny.name, weights=tiny.folder, streams=2)
        return
    with pytest.raises(ValueError, match="codebooks"):
        load_codec(tiny.name.partition(":")[0], weights=tiny.folder, streams=99)
    with pytest.raises(ValueError, match="no 0 codebooks"):
        load_codec(tiny.name.partition(":")[0], weights=tiny.folder, streams=0)
    with pytest.raises(ValueError, match="no published codec"):
        load_codec("house-fsq", streams=2)


def test_a_library_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "snac", None)
    with pytest.raises(ValueError, match=r"pip install 'codeclm\[codecs\]'"):
        weights.library("snac", "codecs")


# --- Kyutai's own Mimi ---


@newer
def test_moshi_makes_the_tokens_and_the_sound_of_transformers(tmp_path, monkeypatch):
    torch.manual_seed(0)
    mimi(tmp_path)
    with monkeypatch.context() as patch:
        without_moshi(patch)
        one = load_codec("mimi:4", weights=tmp_path)
    small_moshi(monkeypatch)
    other = load_codec("mimi:4", weights=tmp_path)
    assert type(one) is not type(other)
    assert one.spec == other.spec
    one.model.double()
    other.model.double()
    wav = two_seconds(one)
    codes = one.encode(wav)
    assert torch.equal(other.encode(wav), codes)
    whole = other.decode(codes)
    assert near(one.decode(codes), whole)
    from moshi.utils.compile import no_compile

    with torch.inference_mode(), no_compile(), other.model.streaming(1):
        theirs = torch.cat([other.model.decode(frame) for frame in codes.split(1, dim=2)], dim=2)
    # Moshi's own ring of keys is one short of its window while it writes the two of a frame.
    assert 0 < (whole - theirs).abs().max() < 0.01 * theirs.std()


def test_without_both_libraries_their_names_are_told(monkeypatch):
    from transformers.models.mimi import modeling_mimi

    from codeclm.codecs.published.mimi import Mimi

    monkeypatch.delattr(modeling_mimi, "MimiEncoderModel", raising=False)
    with pytest.raises(
        ValueError, match=r"mimi needs .* 'codeclm\[moshi\]' or 'codeclm\[codecs\]'"
    ):
        Mimi("mimi", SimpleNamespace(), 8, "")


# --- the rest of the house ---


@newer
def test_a_corpus_is_prepared_with_a_published_codec(tmp_path, clips, capsys):
    from codeclm.data_prep import prepare
    from codeclm.data_prep.shards import read_prepared
    from codeclm.tts import plan

    torch.manual_seed(0)
    encodec(tmp_path)
    given = f"encodec-24k:4@{tmp_path}"
    settings = [f"manifest={clips}", f"codec={given}", f"out={tmp_path / 'data'}"]
    prepare.run(None, [*settings, "align_steps=2"])
    prepared = read_prepared(tmp_path / "data")
    assert prepared.spec == load_codec(given).spec
    assert all(item.tokens.shape[0] == 4 for item in prepared.items)
    model = ["model.width=32", "model.depth=1", "model.heads=2", "model.inner=64"]
    made = [f"data={tmp_path / 'data'}", f"out={tmp_path / 'tts'}", "name=t", "steps=1", *model]
    found = plan.run(None, [*made, "model.layout=delay", "model.head=linear"], given, 0)
    assert "encodec-24k:4" in plan.render(found)


@pytest.mark.parametrize(
    "name", ["pocket-vae", pytest.param("vibevoice-vae", marks=pytest.mark.slow)]
)
def test_a_model_learns_the_latents_of_a_published_codec(name, tmp_path, clips):
    """Whatever their scale: it is measured, and left behind again when speaking."""
    from codeclm import load_tts
    from codeclm.data_prep import prepare
    from codeclm.data_prep.shards import read_prepared
    from codeclm.tts import train

    torch.manual_seed(0)
    {"pocket-vae": pocket, "vibevoice-vae": vibevoice}[name](tmp_path)
    given = f"{name}@{tmp_path}"
    settings = [f"manifest={clips}", f"codec={given}", f"out={tmp_path / 'data'}"]
    prepare.run(None, [*settings, "align_steps=2", "tokenizer=bytes"])
    prepared = read_prepared(tmp_path / "data")
    far = max(abs(mean) for mean in prepared.scale.mean)
    assert max(item.tokens.mean().abs().item() for item in prepared.items) < max(2.0, far)
    cell = ["model.layout=patch", "model.head=flow", "model.text=prefix", "every=1"]
    local = "model.local={width: 16, depth: 1, heads: 2, inner: 32}"
    made = [f"data={tmp_path / 'data'}", f"out={tmp_path / 'tts'}", "name=t", "steps=1"]
    assert not any(any(item.durations) for item in prepared.items)  # too few frames for bytes
    train.run(None, [*made, *TINY_TTS, *cell, local])
    tts = load_tts(tmp_path / "tts" / "final", codec=given)
    speech = tts.speak("Yes.", seed=0)
    assert np.isfinite(speech.wav).all()
