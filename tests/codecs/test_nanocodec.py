"""NanoCodec from a .nemo archive: the published definition, streamed, in pieces."""

import io
import math
import sys
import tarfile
from dataclasses import replace

import pytest
import torch
import yaml
from torch.nn import functional as F

from codeclm import load_codec
from codeclm.codecs import PUBLISHED
from codeclm.codecs.published.nanocodec import GroupFSQ, reach
from codeclm.codecs.published.nemo import EncoderConfig, QuantizerConfig

RATES = [2, 3, 6, 7, 7]  # those of the 12.5 Hz codecs
MODULES = "nemo.collections.tts.modules.audio_codec_modules"
SIZES = {"kernels": [3, 7], "dilations": [1, 3]}


def make_config(rates=(2, 3), groups=8, levels=(4, 3), **sizes):
    """A model_config.yaml as NeMo writes it, small."""
    sizes = SIZES | sizes
    blocks = {
        "resblock_kernel_sizes": sizes["kernels"],
        "resblock_dilation_sizes": sizes["dilations"],
    }
    dims = groups * len(levels)
    return {
        "sample_rate": 22_050,
        "samples_per_frame": math.prod(rates),
        "mel_loss_l1_scale": 1.0,
        "audio_encoder": {
            "_target_": f"{MODULES}.HiFiGANEncoder",
            "down_sample_rates": list(rates),
            "encoded_dim": dims,
            "base_channels": 3,
            "activation": "lrelu",
            "pad_mode": "replicate",
            **blocks,
        },
        "vector_quantizer": {
            "_target_": f"{MODULES}.GroupFiniteScalarQuantizer",
            "num_groups": groups,
            "num_levels_per_group": list(levels),
        },
        "audio_decoder": {
            "_target_": f"{MODULES}.CausalHiFiGANDecoder",
            "up_sample_rates": list(reversed(rates)),
            "input_dim": dims,
            "base_channels": 2 ** (len(rates) + 1),
            "activation": "half_snake",
            "output_activation": "clamp",
            "pad_mode": "zeros",
            "n_groups_equal_to_out_channels": True,
            **blocks,
        },
    }


def make_state(config):
    """Random tensors under the names that NeMo gives them."""
    torch.manual_seed(0)
    state = {"discriminator.conv.weight": torch.randn(3)}

    def conv(name, outputs, inputs, size, bias=None, gain=1):
        key = f"{name}.conv.parametrizations.weight.original"
        state[key + "0"] = gain * (torch.rand(outputs, 1, 1) + 0.7)
        state[key + "1"] = torch.randn(outputs, inputs, size)
        state[f"{name}.conv.bias"] = torch.randn(bias or outputs) / 9

    def snake(name, channels):
        state[f"{name}.activation.snake_act.alpha"] = torch.rand(1, channels // 2, 1) + 0.5

    def layer(name, width, side, waves):
        for i, size in enumerate(side["resblock_kernel_sizes"]):
            for j in range(len(side["resblock_dilation_sizes"])):
                block = f"{name}.res_blocks.{i}.res_blocks.{j}"
                for half in ("input", "skip"):
                    conv(f"{block}.{half}_conv", width, width, size, gain=0.3)
                    if waves:
                        snake(f"{block}.{half}_activation", width)

    side = config["audio_encoder"]
    width = side["base_channels"]
    conv("audio_encoder.pre_conv", width, 1, 7)
    for i, rate in enumerate(side["down_sample_rates"]):
        layer(f"audio_encoder.res_layers.{i}", width, side, waves=False)
        conv(f"audio_encoder.down_sample_conv_layers.{i}", 2 * width, width, 2 * rate)
        width *= 2
    conv("audio_encoder.post_conv", side["encoded_dim"], width, 7)
    side = config["audio_decoder"]
    width = side["base_channels"]
    conv("audio_decoder.pre_conv", width, side["input_dim"], 7)
    for i, rate in enumerate(side["up_sample_rates"]):
        snake(f"audio_decoder.activations.{i}", width)
        conv(f"audio_decoder.up_sample_conv_layers.{i}", width, 1, 2 * rate, bias=width // 2)
        width //= 2
        layer(f"audio_decoder.res_layers.{i}", width, side, waves=True)
    snake("audio_decoder.post_activation", width)
    conv("audio_decoder.post_conv", 1, width, 3, gain=0.5)
    levels = torch.tensor(config["vector_quantizer"]["num_levels_per_group"], dtype=torch.int32)
    for group in range(config["vector_quantizer"]["num_groups"]):
        state[f"vector_quantizer.fsqs.{group}.num_levels"] = levels.view(1, -1, 1)
    return state


def write_nemo(path, config, state, mode="w:"):
    checkpoint = io.BytesIO()
    torch.save(state, checkpoint)
    with tarfile.open(path, mode) as tar:
        for name, content in (
            ("./model_config.yaml", yaml.safe_dump(config).encode()),
            ("./model_weights.ckpt", checkpoint.getvalue()),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


class Definition:
    """The published network written out over NeMo's own names, whole sounds only."""

    def __init__(self, config, state):
        self.config, self.state = config, state

    def weight(self, name):
        key = f"{name}.conv.parametrizations.weight.original"
        return torch._weight_norm(self.state[key + "1"], self.state[key + "0"], 0)

    def conv(self, name, x, dilation=1, stride=1):
        weight, bias = self.weight(name), self.state[f"{name}.conv.bias"]
        reach = (weight.shape[2] - 1) * dilation
        if name.startswith("audio_decoder"):
            x = F.pad(x, (reach, 0))
        else:
            side = (weight.shape[2] - stride + 1) // 2 if stride > 1 else reach // 2
            x = F.pad(x, (side, side), mode="replicate")
        return F.conv1d(x, weight, bias, stride=stride, dilation=dilation)

    def bend(self, name, x):
        if name.startswith("audio_encoder"):
            return F.leaky_relu(x, 0.01)
        alpha = self.state[f"{name}.activation.snake_act.alpha"]
        wave, other = x.chunk(2, dim=1)
        wave = wave + (alpha + 1e-9).reciprocal() * torch.sin(alpha * wave).pow(2)
        return torch.cat([wave, F.leaky_relu(other, 0.01)], dim=1)

    def layer(self, name, x, side):
        rows = []
        for i in range(len(side["resblock_kernel_sizes"])):
            y = x
            for j, dilation in enumerate(side["resblock_dilation_sizes"]):
                block = f"{name}.res_blocks.{i}.res_blocks.{j}"
                inner = self.bend(f"{block}.input_activation", y)
                inner = self.conv(f"{block}.input_conv", inner, dilation)
                inner = self.bend(f"{block}.skip_activation", inner)
                y = y + self.conv(f"{block}.skip_conv", inner)
            rows.append(y)
        return sum(rows) / len(rows)

    def encode(self, wav):
        side = self.config["audio_encoder"]
        x = self.conv("audio_encoder.pre_conv", wav)
        for i, rate in enumerate(side["down_sample_rates"]):
            x = self.layer(f"audio_encoder.res_layers.{i}", x, side)
            x = self.bend(f"audio_encoder.activations.{i}", x)
            x = self.conv(f"audio_encoder.down_sample_conv_layers.{i}", x, stride=rate)
        x = self.bend("audio_encoder.post_activation", x)
        z = self.conv("audio_encoder.post_conv", x)
        rows = []
        levels = self.config["vector_quantizer"]["num_levels_per_group"]
        for group in z.chunk(self.config["vector_quantizer"]["num_groups"], dim=1):
            code, base = 0, 1
            for row, count in zip(group.unbind(1), levels, strict=True):
                scale = (count - 1) / 2 * (1 - 1e-3)
                offset = 0.5 if count % 2 == 0 else 0.0
                level = torch.round(scale * (row + math.tan(offset / scale)).tanh() - offset)
                code = code + base * (level + count // 2)
                base *= count
            rows.append(code)
        return torch.stack(rows, dim=1).long()

    def decode(self, codes):
        points = []
        for code in codes.unbind(1):
            for count in self.config["vector_quantizer"]["num_levels_per_group"]:
                points.append((code % count - count // 2) / (count // 2))
                code = code // count
        side = self.config["audio_decoder"]
        x = self.conv("audio_decoder.pre_conv", torch.stack(points, dim=1))
        for i, rate in enumerate(side["up_sample_rates"]):
            x = self.bend(f"audio_decoder.activations.{i}", x)
            name = f"audio_decoder.up_sample_conv_layers.{i}"
            groups = x.shape[1] // 2
            bias = self.state[f"{name}.conv.bias"]
            x = F.conv_transpose1d(x, self.weight(name), bias, stride=rate, groups=groups)
            x = self.layer(f"audio_decoder.res_layers.{i}", x[..., :-rate], side)
        x = self.bend("audio_decoder.post_activation", x)
        return self.conv("audio_decoder.post_conv", x).clamp(-1, 1)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    config, folder = make_config(), tmp_path_factory.mktemp("nemo")
    write_nemo(folder / "tiny.nemo", config, make_state(config))
    return folder


@pytest.fixture
def codec(archive):
    return load_codec("nanocodec-22k", archive)


def sound(codec, frames, batch=1):
    torch.manual_seed(1)
    return torch.randn(batch, 1, frames * codec.spec.hop)


def test_an_archive_is_the_published_network(codec):
    config = make_config()
    published = Definition(config, make_state(config))
    wav = sound(codec, 50, batch=2)
    codes = codec.encode(wav)
    assert torch.equal(codes, published.encode(wav))
    assert len(codes.unique()) > 6
    made = codec.decode(codes)
    assert made.std() > 0.02
    assert torch.allclose(made, published.decode(codes), atol=1e-5)


def test_an_independent_implementation_agrees(tmp_path):
    other = pytest.importorskip("nanocodec_torch.models.audio_codec")
    config = make_config(RATES, 4, [9, 8, 8, 7], kernels=[3, 7, 11], dilations=[1, 3, 5])
    write_nemo(tmp_path / "x.nemo", config, make_state(config))
    codec = load_codec("nanocodec-22k-0.6", tmp_path)
    model = other.AudioCodecModel(
        encoder_config={"down_sample_rates": RATES, "encoded_dim": 16, "base_channels": 3},
        decoder_config={"up_sample_rates": RATES[::-1], "input_dim": 16, "base_channels": 64},
    ).eval()
    weights = {}
    for part in ("encoder", "decoder"):
        for name, tensor in getattr(codec, part).state_dict().items():
            name = f"audio_{part}.{name}"
            if "up_sample" in name:
                name = name.replace(".conv.", ".")
                tensor = tensor.transpose(1, 2) if tensor.dim() == 3 else tensor
            weights[name] = tensor
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected
    assert all(name.startswith("vector_quantizer") for name in missing)
    wav = sound(codec, 12)
    codes = codec.encode(wav)
    with torch.no_grad():
        assert torch.equal(codes, model.encode(wav)[0].long())
        made = model.decode(codes)[0]
    assert (made.abs() < 1).float().mean() > 0.5
    assert torch.allclose(codec.decode(codes), made.view(1, 1, -1), atol=1e-5)


def test_encode_returns_what_the_spec_says(codec):
    for samples in (1, codec.spec.hop, 20 * codec.spec.hop + 1):
        codes = codec.encode(torch.randn(2, 1, samples))
        assert codes.shape == (2, 8, codec.spec.frames(samples))
        assert codes.dtype == torch.long
        assert 0 <= codes.min() <= codes.max() < codec.spec.streams[0].size == 12
        assert codec.decode(codes).shape == (2, 1, codes.shape[2] * codec.spec.hop)


@pytest.mark.parametrize(
    ("name", "rates", "frame_rate", "bits"),
    [
        ("nanocodec-22k", [2, 2, 4, 8, 8], 21.5, 1891),
        ("nanocodec-22k-1.78", RATES, 12.5, 1784),
        ("nanocodec-22k-0.6", RATES, 12.5, 599),
    ],
)
def test_the_table_is_that_of_the_published_configurations(tmp_path, name, rates, frame_rate, bits):
    known = PUBLISHED[name].spec
    levels = known.streams[0].levels
    sizes = {"kernels": [3, 7, 11], "dilations": [1, 3, 5]}
    config = make_config(rates, len(known.streams), levels, **sizes)
    write_nemo(tmp_path / "x.nemo", config, make_state(config))
    spec = load_codec(name, tmp_path).spec
    assert replace(spec, fingerprint="") == known
    assert abs(spec.frame_rate - frame_rate) < 0.05
    assert round(spec.bitrate) == bits


def test_every_code_is_legal_and_survives():
    """A code, read as a point and quantized again, is itself."""
    for levels in ([8, 7, 6, 6], [9, 8, 8, 7]):
        fsq = GroupFSQ(QuantizerConfig(num_groups=1, num_levels_per_group=levels))
        codes = torch.arange(math.prod(levels))[None, None]
        point = fsq.latent(codes)
        assert point.min() == -1
        n = torch.tensor(levels)[None, :, None]
        scale = (n - 1) / 2 * (1 - 1e-3)
        offset = torch.where(n % 2 == 0, 0.5, 0.0)
        inside = ((point * (n // 2) + offset) / scale).clamp(-0.9999, 0.9999)
        z = inside.atanh() - (offset / scale).tan()
        assert torch.equal(fsq.codes(z), codes)


def test_stream_equals_decode(codec, monkeypatch):
    codes = codec.encode(sound(codec, 60, batch=2))
    whole = codec.decode(codes)
    for size in (1, 7):
        streamed = torch.cat(list(codec.stream(codes.split(size, dim=2))), dim=2)
        assert torch.allclose(streamed, whole, atol=1e-5)
    monkeypatch.setattr(codec, "block", 11)
    assert torch.allclose(codec.decode(codes), whole, atol=1e-5)
    assert codec.decode(codes[..., :0]).shape == (2, 1, 0)


def test_a_state_can_be_continued_twice(codec):
    codes = codec.encode(sound(codec, 9))
    _, state = codec.decode_chunk(codes[..., :4])
    once, _ = codec.decode_chunk(codes[..., 4:], state)
    again, _ = codec.decode_chunk(codes[..., 4:], state)
    assert torch.equal(once, again)


def test_the_decoder_is_causal(codec):
    codes = codec.encode(sound(codec, 20))
    other = codes.clone()
    other[..., 12:] = (other[..., 12:] + 1) % 12
    same = codec.decode(codes)[..., : 12 * codec.spec.hop]
    assert torch.equal(codec.decode(other)[..., : 12 * codec.spec.hop], same)


def test_pieces_have_the_codes_of_the_whole(codec, monkeypatch):
    wav = sound(codec, 200)[..., :-1]
    whole = codec.encode(wav)
    monkeypatch.setattr(codec, "block", 3)
    lengths = []
    codec.encoder.register_forward_pre_hook(lambda _, x: lengths.append(x[0].shape[2]))
    assert torch.equal(codec.encode(wav), whole)
    assert max(lengths) <= (codec.encoder_left + 3) * codec.spec.hop + codec.spec.lookahead
    state, parts = None, []
    for chunk in wav.split(25, dim=2):
        codes, state = codec.encode_chunk(chunk, state)
        parts.append(codes)
    parts.append(codec.encode_chunk(wav[..., :0], state, last=True)[0])
    assert torch.equal(torch.cat(parts, dim=2), whole)


def test_a_frame_sees_as_far_as_stated(codec):
    before, after = reach(EncoderConfig(**make_config()["audio_encoder"]))
    assert codec.spec.lookahead == after
    hop, frame = codec.spec.hop, 60

    def one(change_at=None):
        wav = sound(codec, 120)
        if change_at is not None:
            wav[..., change_at] = 1e6
        with torch.no_grad():
            return codec.encoder(wav)[..., frame]

    first, end = frame * hop - before, (frame + 1) * hop + after
    assert torch.equal(one(first - 1), one())
    assert torch.equal(one(end), one())
    assert not torch.equal(one(first), one())
    assert not torch.equal(one(end - 1), one())


def test_a_batch_is_coded_one_by_one(codec):
    wav = sound(codec, 30, batch=3)
    codes = codec.encode(wav)
    assert torch.equal(codes, torch.cat([codec.encode(row[None]) for row in wav]))
    alone = torch.cat([codec.decode(row[None]) for row in codes])
    assert torch.allclose(codec.decode(codes), alone, atol=1e-5)


def test_older_names_and_packed_archives_are_read(codec, tmp_path):
    config = make_config()
    state = {
        name.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): tensor
        for name, tensor in make_state(config).items()
    }
    write_nemo(tmp_path / "old.nemo", config, state, mode="w:gz")
    codes = codec.encode(sound(codec, 10))
    assert torch.equal(load_codec("nanocodec-22k", tmp_path).decode(codes), codec.decode(codes))


def test_the_fingerprint_is_of_what_makes_codes(codec, tmp_path):
    config, state = make_config(), make_state(make_config())
    state["audio_decoder.pre_conv.conv.bias"] += 1
    write_nemo(tmp_path / "x.nemo", config, state)
    assert load_codec("nanocodec-22k", tmp_path).spec.fingerprint == codec.spec.fingerprint
    state["audio_encoder.pre_conv.conv.bias"] += 1
    write_nemo(tmp_path / "x.nemo", config, state)
    assert load_codec("nanocodec-22k", tmp_path).spec.fingerprint != codec.spec.fingerprint


class Trap:
    def __reduce__(self):
        return (sys.exit, (1,))


def test_errors_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    for name in ("nanocodec-22k", "nanocodec-22k-1.78", "nanocodec-22k-0.6"):
        hub = PUBLISHED[name].hub
        with pytest.raises(ValueError, match=rf"put \*.nemo of {hub} into .* {name}@FOLDER"):
            load_codec(name)
    with pytest.raises(ValueError, match=r"\*.nemo missing"):
        load_codec("nanocodec-22k", tmp_path)
    with pytest.raises(ValueError, match="8 streams and needs them all: 2 cannot"):
        load_codec("nanocodec-22k:2", tmp_path)
    config, state = make_config(), make_state(make_config())
    path = tmp_path / "x.nemo"
    path.write_bytes(b"no tar at all")
    with pytest.raises(ValueError, match="damaged"):
        load_codec("nanocodec-22k", tmp_path)
    write_nemo(path, config, {"audio_encoder.pre_conv.conv.bias": Trap()})
    with pytest.raises(ValueError, match="no plain checkpoint"):
        load_codec("nanocodec-22k", tmp_path)
    write_nemo(path, {**config, "sample_rate": 44_100}, state)
    with pytest.raises(ValueError, match="44100 Hz, not nanocodec-22k"):
        load_codec("nanocodec-22k", tmp_path)
    write_nemo(path, config, state)
    with pytest.raises(ValueError, match=r"nanocodec-22k-0.6 has 4 codes a frame, not 8"):
        load_codec("nanocodec-22k-0.6", tmp_path)
    older = {**config["audio_decoder"], "_target_": f"{MODULES}.HiFiGANDecoder"}
    write_nemo(path, {**config, "audio_decoder": older}, state)
    with pytest.raises(ValueError, match="HiFiGANDecoder, not CausalHiFiGANDecoder"):
        load_codec("nanocodec-22k", tmp_path)
    write_nemo(path, {**config, "samples_per_frame": 7}, state)
    with pytest.raises(ValueError, match="do not make 7 samples a frame"):
        load_codec("nanocodec-22k", tmp_path)
    del state["audio_decoder.post_conv.conv.bias"]
    write_nemo(path, config, state)
    with pytest.raises(ValueError, match="post_conv"):
        load_codec("nanocodec-22k", tmp_path)
    write_nemo(tmp_path / "y.nemo", config, state)
    with pytest.raises(ValueError, match=r"holds x.nemo, y.nemo, not one \*.nemo"):
        load_codec("nanocodec-22k", tmp_path)


def test_weights_in_the_cache_of_the_hub_are_found(archive, tmp_path, monkeypatch):
    from codeclm.codecs.published import weights

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    known = PUBLISHED["nanocodec-22k"]
    assert weights.cached(known.hub, known.files) is None
    repo, commit = tmp_path / f"models--{known.hub.replace('/', '--')}", "1" * 40
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(commit)
    (repo / "snapshots" / commit).mkdir(parents=True)
    assert weights.cached(known.hub, known.files) is None
    (repo / "snapshots" / commit / "any.nemo").symlink_to(archive / "tiny.nemo")
    assert weights.cached(known.hub, known.files) == repo / "snapshots" / commit
    given = load_codec("nanocodec-22k", archive).spec
    assert load_codec("nanocodec-22k").spec == given
