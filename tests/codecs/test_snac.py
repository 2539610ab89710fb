"""SNAC behind our interface: the tree is lossless, and pieces equal the whole."""

import json
import sys

import pytest
import torch

from codeclm import load_codec
from codeclm.codecs import PUBLISHED, codec_of
from codeclm.codecs.base import tree_streams
from codeclm.codecs.chunked import reach
from codeclm.codecs.published.snac import Snac, from_rows, to_rows
from codeclm.tts import plan

library = pytest.importorskip("snac")

SMALL = {"encoder_dim": 16, "encoder_rates": [2, 3], "decoder_dim": 64, "decoder_rates": [3, 2]}
SMALL |= {"codebook_size": 64, "codebook_dim": 4}
KINDS = {
    "snac-24k": {"sampling_rate": 24_000, "vq_strides": [4, 2, 1], "attn_window_size": None},
    "snac-44k": {"sampling_rate": 44_100, "vq_strides": [8, 4, 2, 1], "attn_window_size": 32},
}


def untrained(name, **changes):
    """The library's model with random weights, none of them at rest."""
    torch.manual_seed(0)
    model = library.SNAC(**{**SMALL, **KINDS[name], **changes}).eval()
    for name, weight in model.named_parameters():
        if name.endswith("alpha"):
            torch.nn.init.uniform_(weight, 0.5, 2)
    return model


@pytest.fixture(scope="module", params=KINDS)
def codec(request):
    return make(request.param)


def make(name, **changes):
    return Snac(name, untrained(name, **changes), len(PUBLISHED[name].spec.streams), "0" * 16)


def shorten(codec, monkeypatch):
    """Blocks of a few frames, so that a short sound has many."""
    monkeypatch.setattr(codec, "block", codec.group)


def sound(codec, frames, batch=1):
    torch.manual_seed(1)
    return torch.randn(batch, 1, frames * codec.spec.hop) / 3


@pytest.mark.parametrize("strides", [[4, 2, 1], [8, 4, 2, 1], [1], [6, 2]])
def test_rows_and_codebooks_undo_each_other(strides):
    levels = [len(stream.depends_on) for stream in tree_streams(9, strides)]
    rows = torch.arange(2 * len(levels) * 3).view(2, len(levels), 3)
    books = from_rows(rows, levels)
    assert [book.shape[1] for book in books] == [3 * strides[0] // stride for stride in strides]
    assert torch.equal(to_rows(books, levels), rows)


def test_a_frame_is_written_depth_first():
    levels = [len(stream.depends_on) for stream in make("snac-24k").spec.streams]
    books = [torch.tensor([[10]]), torch.tensor([[20, 21]]), torch.tensor([[30, 31, 32, 33]])]
    assert to_rows(books, levels)[0, :, 0].tolist() == [10, 20, 30, 31, 21, 32, 33]


def test_each_row_names_its_ancestors():
    depends = [stream.depends_on for stream in make("snac-24k").spec.streams]
    assert depends == [(), (0,), (0, 1), (0, 1), (0,), (0, 4), (0, 4)]


@pytest.mark.parametrize(
    ("name", "rates", "attention", "strides", "bits"),
    [
        ("snac-24k", [2, 4, 8, 8], None, [4, 2, 1], 984),
        ("snac-32k", [2, 3, 8, 8], 32, [8, 4, 2, 1], 1875),
        ("snac-44k", [2, 3, 8, 8], 32, [8, 4, 2, 1], 2584),
    ],
)
def test_the_table_is_that_of_the_published_configurations(name, rates, attention, strides, bits):
    known = PUBLISHED[name].spec
    model = library.SNAC(
        sampling_rate=known.sample_rate,
        encoder_dim=4,
        encoder_rates=rates,
        decoder_dim=64,
        decoder_rates=rates[::-1],
        attn_window_size=attention,
        vq_strides=strides,
    )
    assert Snac(name, model, len(known.streams), "").spec == known
    assert round(known.bitrate) == bits


def test_codes_are_those_of_the_library(codec):
    model = untrained(codec.spec.name)
    wav = sound(codec, 8)[..., : -codec.spec.hop // 2]
    with torch.no_grad():
        expected = to_rows(model.encode(wav), codec.levels)
    assert torch.equal(codec.encode(wav), expected)
    short = wav[..., : 2 * codec.spec.hop + 1]
    with torch.no_grad():
        expected = to_rows(model.encode(short), codec.levels)
    assert torch.equal(codec.encode(short), expected[..., :3])


def test_sound_is_that_of_the_library_given_the_same_noise(codec, monkeypatch):
    model = untrained(codec.spec.name)
    codes = codec.encode(sound(codec, 4))
    noise = iter(codec._noise)
    monkeypatch.setattr(torch, "randn", lambda shape, **_: next(noise)[: shape[2]][None, None])
    with torch.no_grad():
        expected = model.decode(from_rows(codes, codec.levels))
    monkeypatch.undo()
    assert torch.allclose(codec.decode(codes), expected, atol=1e-5)
    silent = make(codec.spec.name, noise=False)
    assert not torch.allclose(codec.decode(codes), silent.decode(codes), atol=1e-2)


def test_encode_returns_what_the_spec_says(codec):
    for samples in (1, codec.spec.hop, 3 * codec.spec.hop + 5):
        codes = codec.encode(torch.randn(2, 1, samples))
        assert codes.shape == (2, len(codec.spec.streams), codec.spec.frames(samples))
        assert codes.dtype == torch.long
        assert 0 <= codes.min() <= codes.max() < codec.spec.streams[0].size
        assert codec.decode(codes).shape == (2, 1, codes.shape[2] * codec.spec.hop)


def test_pieces_have_the_codes_of_the_whole(codec, monkeypatch):
    wav = sound(codec, 41)[..., :-7]
    whole = codec.encode(wav)
    shorten(codec, monkeypatch)
    assert torch.equal(codec.encode(wav), whole)
    state, parts = None, []
    for chunk in [*wav.split(5 * codec.spec.hop + 3, dim=2)]:
        codes, state = codec.encode_chunk(chunk, state)
        parts.append(codes)
    parts.append(codec.encode_chunk(wav[..., :0], state, last=True)[0])
    assert torch.equal(torch.cat(parts, dim=2), whole)


def test_stream_equals_decode(codec, monkeypatch):
    codes = codec.encode(sound(codec, 41))
    whole = codec.decode(codes)
    shorten(codec, monkeypatch)
    assert torch.allclose(codec.decode(codes), whole, atol=1e-5)
    for size in (1, 3, 16):
        streamed = torch.cat(list(codec.stream(codes.split(size, dim=2))), dim=2)
        assert torch.allclose(streamed, whole, atol=1e-5)
    assert list(codec.stream([])) == []


def test_a_state_can_be_continued_twice(codec):
    codes = codec.encode(sound(codec, 44))
    _, state = codec.decode_chunk(codes[..., :30])
    once, _ = codec.decode_chunk(codes[..., 30:], state, last=True)
    again, _ = codec.decode_chunk(codes[..., 30:], state, last=True)
    assert torch.equal(once, again)


def test_sound_follows_by_what_the_decoder_sees(codec):
    codes = codec.encode(sound(codec, 40))
    hop = codec.spec.hop
    wav, _ = codec.decode_chunk(codes)
    ahead = -(-codec.spec.decoder_lookahead // hop)
    assert wav.shape[2] == -(-(40 - ahead) // codec.group) * codec.group * hop
    other = codes.clone()
    other[..., 30:] = (other[..., 30:] + 1) % 64
    same = 30 * hop - codec.spec.decoder_lookahead
    sounds = codec.decode(other), codec.decode(codes)
    assert torch.allclose(*(wav[..., :same] for wav in sounds), atol=1e-5)


def test_an_output_sees_as_far_as_stated(codec):
    encoder, unit = codec.model.encoder, codec.group * codec.spec.hop
    hop = int(codec.model.hop_length)
    before, after = reach(encoder.block)
    first = codec.encoder_left * codec.spec.hop + unit
    assert codec.spec.lookahead == after + unit - codec.spec.hop
    end = first + unit

    def middle(change_at=None):
        torch.manual_seed(1)
        wav = torch.randn(1, 1, end + -(-after // unit) * unit + unit) / 3
        if change_at is not None:
            wav[..., change_at] += 9
        with torch.no_grad():
            return encoder(wav)[..., first // hop : end // hop]

    here = middle()
    assert torch.equal(middle(first - before - 1), here)
    assert torch.equal(middle(end + after), here)
    assert not torch.equal(middle(slice(first - before, first - before + 4)), here)
    assert not torch.equal(middle(slice(end + after - 4, end + after)), here)


def test_a_long_sound_is_run_in_short_pieces(codec, monkeypatch):
    shorten(codec, monkeypatch)
    lengths = []
    run = codec.tokens
    monkeypatch.setattr(codec, "tokens", lambda wav: lengths.append(wav.shape[2]) or run(wav))
    codec.encode(sound(codec, 60))
    ahead = codec.spec.lookahead + codec.group * codec.spec.hop
    assert max(lengths) <= (codec.encoder_left + codec.group) * codec.spec.hop + ahead
    assert len(lengths) > 10


def test_a_batch_is_coded_one_by_one(codec):
    wav = sound(codec, 5, batch=3)
    codes = codec.encode(wav)
    assert torch.equal(codes, torch.cat([codec.encode(row[None]) for row in wav]))
    alone = torch.cat([codec.decode(row[None]) for row in codes])
    assert torch.allclose(codec.decode(codes), alone, atol=1e-5)


def save(folder, name="snac-24k"):
    model = untrained(name)
    (folder / "config.json").write_text(json.dumps({**SMALL, **KINDS[name]}))
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    return model


def test_weights_are_read_from_a_folder(tmp_path):
    from safetensors.torch import save_file

    model = save(tmp_path)
    codec = load_codec("snac-24k", tmp_path)
    wav = sound(codec, 4)
    with torch.no_grad():
        assert torch.equal(codec.encode(wav), to_rows(model.encode(wav), codec.levels))
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "pytorch_model.bin").unlink()
    assert load_codec("snac-24k", str(tmp_path)).spec == codec.spec


def test_the_fingerprint_is_of_what_makes_codes(tmp_path):
    model = save(tmp_path)
    mark = load_codec("snac-24k", tmp_path).spec.fingerprint
    with torch.no_grad():
        next(model.decoder.parameters()).add_(1)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    assert load_codec("snac-24k", tmp_path).spec.fingerprint == mark
    with torch.no_grad():
        next(model.quantizer.parameters()).add_(1)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    assert load_codec("snac-24k", tmp_path).spec.fingerprint != mark


def test_the_rest_of_the_house_takes_it(tmp_path):
    save(tmp_path)
    given = f"snac-24k@{tmp_path}"
    spec = load_codec(given).spec
    assert codec_of(spec, given, "x was made with").spec == spec
    model = ["model.width=32", "model.depth=1", "model.heads=2", "model.inner=64"]
    made = [f"data={tmp_path / 'data'}", f"out={tmp_path / 'tts'}", "name=t", "steps=1", *model]
    found = plan.run(None, [*made, "model.layout=flatten", "model.head=linear"], given, 0)
    assert "snac-24k" in plan.render(found)


class Trap:
    def __reduce__(self):
        return (sys.exit, (1,))


def test_errors_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match=r"model.safetensors or pytorch_model.bin of hubert"):
        load_codec("snac-24k")
    with pytest.raises(ValueError, match="give a folder"):
        load_codec("snac-24k", tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"config.json, model.safetensors or .* missing"):
        load_codec("snac-24k", tmp_path)
    save(tmp_path)
    with pytest.raises(ValueError, match="7 streams and needs them all: 3 cannot"):
        load_codec("snac-24k:3", tmp_path)
    assert load_codec(f"snac-24k:7@{tmp_path}").spec.name == "snac-24k"
    with pytest.raises(ValueError, match="24000 Hz, not snac-32k"):
        load_codec("snac-32k", tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ValueError, match="is damaged"):
        load_codec("snac-24k", tmp_path)
    torch.save({"encoder": Trap()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="no plain checkpoint"):
        load_codec("snac-24k", tmp_path)
    monkeypatch.setitem(sys.modules, "snac", None)
    with pytest.raises(ValueError, match=r"pip install 'codeclm\[codecs\]'"):
        load_codec("snac-24k", tmp_path)
