"""X-Codec 2 and NeuCodec: the library's codes for a window, fixed windows for longer sound."""

import json
from types import SimpleNamespace

import pytest
import torch
import transformers
from torch.nn import functional as F

from codeclm import audio, load_codec
from codeclm.codecs import PUBLISHED
from codeclm.codecs.published import xcodec2

if not hasattr(transformers, "Xcodec2Model"):
    pytest.skip("needs codeclm[codecs]", allow_module_level=True)

KINDS = {
    "xcodec2": ("Xcodec2", xcodec2.XCodec2, 160),
    "neucodec": ("NeuCodec", xcodec2.NeuCodec, 0),
}


@torch.no_grad()
def save(name, folder):
    """A tiny network whose codes are not all the same."""
    torch.manual_seed(0)
    semantic = transformers.Wav2Vec2BertConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        output_hidden_size=16,
    )
    config = getattr(transformers, f"{KINDS[name][0]}Config")(
        hidden_size=32,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=16,
        encoder_hidden_size=2,
        quantization_dim=48,
        semantic_model_config=semantic,
    )
    model = getattr(transformers, f"{KINDS[name][0]}Model")(config).eval()
    for weight in model.parameters():
        if weight.dim() > 1:
            weight.normal_(0, weight[0].numel() ** -0.5)
    model.quantizer.project_in.weight.mul_(3)
    model.save_pretrained(folder)
    return model


@pytest.fixture(
    scope="module", params=["xcodec2", pytest.param("neucodec", marks=pytest.mark.slow)]
)
def tiny(request, tmp_path_factory):
    """The codec with windows of one second and a fifth around them, and the library's model."""
    folder = tmp_path_factory.mktemp(request.param)
    model = save(request.param, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(xcodec2, "WINDOW", 1)
        patch.setattr(xcodec2, "OVERLAP", 0.2)
        codec = load_codec(request.param, weights=folder)
    return SimpleNamespace(name=request.param, folder=folder, model=model, codec=codec)


def sound(codec, frames, batch=1):
    torch.manual_seed(1)
    return torch.randn(batch, 1, frames * codec.spec.hop) * 0.1


@torch.no_grad()
def by_library(tiny, wav):
    """What its feature extractor, which needs torchaudio, and its model do with one sound."""
    margin = KINDS[tiny.name][2]
    heard = audio.resample(wav, tiny.codec.spec.sample_rate, 16_000)
    heard = F.pad(heard, (0, 320 - heard.shape[2] % 320))
    read = transformers.SeamlessM4TFeatureExtractor()(
        F.pad(heard[0, 0], (margin, margin)).numpy(), sampling_rate=16_000, return_tensors="pt"
    )
    made = tiny.model.encode(heard, read["input_features"])
    return made.audio_codes[..., : wav.shape[2] // tiny.codec.spec.hop]


def test_a_window_is_coded_as_the_library_does(tiny):
    codec = tiny.codec
    wav = sound(codec, 50)
    codes = codec.encode(wav)
    assert codes.dtype == torch.long
    assert codes.shape == (1, 1, 50)
    assert torch.equal(codes, by_library(tiny, wav))
    assert len(codes.unique()) > 25
    assert codes.max() < codec.spec.streams[0].size
    with torch.no_grad():
        expected = tiny.model.decode(audio_codes=codes).audio_values
    assert expected.std() > 1e-3
    assert torch.equal(codec.decode(codes), expected)


def test_longer_sound_is_coded_in_fixed_windows(tiny):
    """Each is that of the library on its second and the fifth of a second around it."""
    codec, hop = tiny.codec, tiny.codec.spec.hop
    wav = sound(codec, 120)
    codes = codec.encode(wav)
    parts = [
        by_library(tiny, wav[..., max(0, begin - 10) * hop : (begin + 60) * hop])[
            ..., min(begin, 10) : min(begin, 10) + 50
        ]
        for begin in (0, 50, 100)
    ]
    assert torch.equal(codes, torch.cat(parts, dim=2))
    made = codec.decode(codes)
    assert made.shape == wav.shape
    with torch.no_grad():
        middle = tiny.model.decode(audio_codes=codes[..., 40:110]).audio_values
    assert torch.equal(made[..., 50 * hop : 100 * hop], middle[..., 10 * hop : 60 * hop])


@pytest.mark.parametrize("seconds", [0.13, 0.9])
def test_streams_equal_wholes(tiny, seconds):
    codec, spec = tiny.codec, tiny.codec.spec
    wav = sound(codec, 120)[..., :-100]
    state, parts = None, []
    for chunk in wav.split(round(seconds * spec.sample_rate), dim=2):
        codes, state = codec.encode_chunk(chunk, state)
        parts.append(codes)
    assert sum(part.shape[2] for part in parts) == 100  # what follows the third second may matter
    parts.append(codec.encode_chunk(wav[..., :0], state, last=True)[0])
    codes = torch.cat(parts, dim=2)
    assert torch.equal(codes, codec.encode(wav))
    streamed = torch.cat(list(codec.stream(codes.split(7, dim=2))), dim=2)
    assert torch.equal(streamed, codec.decode(codes))


def test_a_frame_waits_as_long_as_stated(tiny):
    codec, spec = tiny.codec, tiny.codec.spec
    assert (spec.lookahead, spec.decoder_lookahead) == (59 * spec.hop, 59 * spec.hop)
    wav = sound(codec, 120)
    enough = spec.hop + spec.lookahead
    assert codec.encode_chunk(wav[..., : enough - 1])[0].shape[2] == 0
    codes, _ = codec.encode_chunk(wav[..., :enough])
    assert torch.equal(codes, codec.encode(wav)[..., :50])
    assert codec.decode_chunk(codec.encode(wav)[..., :59])[0].shape[2] == 0
    assert codec.decode_chunk(codec.encode(wav)[..., :60])[0].shape[2] == 50 * spec.hop


def test_any_length_has_its_frames_and_rows_are_as_alone(tiny):
    codec, spec = tiny.codec, tiny.codec.spec
    for samples in (0, 1, spec.hop, 5 * spec.hop + 1):
        wav = torch.randn(2, 1, samples) * 0.1
        codes = codec.encode(wav)
        assert codes.shape == (2, 1, spec.frames(samples))
        assert codec.decode(codes).shape == (2, 1, codes.shape[2] * spec.hop)
    wav = sound(codec, 30, batch=3)
    codes = codec.encode(wav)
    assert torch.equal(codes, torch.cat([codec.encode(row[None]) for row in wav]))
    alone = torch.cat([codec.decode(row[None]) for row in codes])
    assert torch.allclose(codec.decode(codes), alone, atol=1e-5)


def test_the_levels_of_a_code_are_those_of_the_spec(tiny):
    from codeclm.codecs.levels import code_to_levels

    codes = torch.arange(0, 65_536, 97)
    levels = code_to_levels(codes, tiny.codec.spec.streams[0].levels)
    assert torch.equal((levels - 2) / 2, tiny.model.quantizer.quantizer.codebook[codes])


@pytest.mark.parametrize("name", KINDS)
def test_the_table_is_that_of_the_published_configurations(name):
    kind, adapter, _ = KINDS[name]
    config = getattr(transformers, f"{kind}Config")()
    spec = adapter(name, SimpleNamespace(config=config), 1, "").spec
    assert spec == PUBLISHED[name].spec
    assert spec.frame_rate == 50
    assert spec.bitrate == 800
    assert type(spec).from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_the_fingerprint_is_that_of_what_makes_codes(tiny, tmp_path):
    from safetensors.torch import load_file, save_file

    tensors = load_file(tiny.folder / "model.safetensors")
    (tmp_path / "config.json").write_bytes((tiny.folder / "config.json").read_bytes())

    def mark(part):
        name = next(n for n in sorted(tensors) if n.startswith(part))
        changed = {**tensors, name: tensors[name] + 1}
        save_file(changed, tmp_path / "model.safetensors", metadata={"format": "pt"})
        return load_codec(tiny.name, weights=tmp_path).spec.fingerprint

    ours = tiny.codec.spec.fingerprint
    assert mark("acoustic_decoder.") == mark("quantizer.project_out.") == ours
    for part in ("acoustic_encoder.", "semantic_encoder.", "quantizer.project_in."):
        assert mark(part) != ours


def test_what_is_no_such_codec_is_refused(tiny, tmp_path):
    other = next(name for name in KINDS if name != tiny.name)
    with pytest.raises(ValueError, match="does not hold"):
        load_codec(other, weights=tiny.folder)
    with pytest.raises(ValueError, match="1 streams and needs them all: 2 cannot"):
        load_codec(tiny.name, weights=tiny.folder, streams=2)
