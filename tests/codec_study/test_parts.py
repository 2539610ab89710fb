"""Parts of tokens: what is noise and what is not; what codes stand for is what decoders read."""

from itertools import pairwise

import pytest
import torch

from codeclm import load_codec
from codeclm.codec_study.parts import corrupt, parts, swap, vectors
from codeclm.codecs import CodecSpec, Stream
from codeclm.codecs.house.autoencoder import Autoencoder, AutoencoderConfig, SizeConfig
from codeclm.codecs.house.bottlenecks.fsq import FSQConfig
from codeclm.codecs.house.bottlenecks.vae import VAEConfig
from codeclm.codecs.house.codec import HouseCodec
from codeclm.codecs.house.vocoder import Vocoder, VocoderConfig
from codeclm.codecs.levels import code_to_levels, level_to_point

SIDE = SizeConfig(fast_width=16, fast_depth=1, slow_width=16, slow_depth=1)


def codec(bottleneck):
    model = Autoencoder(AutoencoderConfig(bottleneck=bottleneck, encoder=SIDE, decoder=SIDE))
    return HouseCodec("tiny", model, Vocoder(VocoderConfig(width=16, depth=1)), "0" * 16)


def test_every_stream_is_a_part():
    assert parts(codec(FSQConfig(groups=3))) == {"0": [0], "1": [1], "2": [2]}


def test_dimensions_by_their_variance():
    vae = codec(VAEConfig(dims=5))
    latents = torch.randn(5, 4000, generator=torch.Generator().manual_seed(0))
    vae.autoencoder.bottleneck.variance.copy_(torch.tensor([1.0, 5, 3, 2, 4]))  # divided by it
    assert parts(vae, latents, 2) == {"dims 1-2": [1, 4], "dims 3-5": [0, 2, 3]}
    scale = torch.tensor([8.0, 0.1, 0.1, 6, 0.1])[:, None]
    assert parts(vae, latents * scale, 8)["dims 1-1"] == [3]  # 36 * 2 is more than 64 * 1
    assert len(parts(vae, latents, 8)) == 5


def spec(streams=(), dims=0):
    return CodecSpec("x", "fsq", 24_000, 960, streams, True, 0, "", latent_dims=dims)


def test_noise_is_even_over_the_codes_of_its_row_alone():
    codes = torch.zeros(2, 8000, dtype=torch.int64)
    noisy = corrupt(codes, [1], spec((Stream(4), Stream(10))), None, seed=3)
    assert not codes.any()
    assert not noisy[0].any()
    counts = torch.bincount(noisy[1], minlength=10)
    assert len(counts) == 10
    assert counts.float().div(8000).numpy() == pytest.approx(0.1, abs=0.02)
    assert torch.equal(noisy, corrupt(codes, [1], spec((Stream(4), Stream(10))), None, seed=3))


def test_noise_of_latents_has_their_mean_and_deviation():
    latents = torch.tensor([[1.0], [5.0]]) + torch.tensor([[2.0], [0.5]]) * torch.randn(
        2, 9000, generator=torch.Generator().manual_seed(1)
    )
    noisy = corrupt(latents[:, :5000], [0], spec(dims=2), latents, seed=0)
    assert torch.equal(noisy[1], latents[1, :5000])
    assert noisy[0].mean().item() == pytest.approx(1, abs=0.1)
    assert noisy[0].std().item() == pytest.approx(2, abs=0.1)
    assert torch.corrcoef(torch.stack([noisy[0], latents[0, :5000]]))[0, 1].abs() < 0.05


def test_swap_takes_rows_of_the_first():
    a, b = torch.zeros(3, 4), torch.ones(3, 6)
    assert swap(a, b, [0, 2]).tolist() == [[0] * 4, [1] * 4, [0] * 4]
    assert swap(b, a, []).sum() == 0
    assert b.sum() == 18


# --- what codes stand for ---


@pytest.fixture(scope="module")
def codes():
    return torch.randint(0, 1000, (8, 5), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["house-rvq", "house-semantic"])
def test_all_streams_are_what_the_decoder_reads(name, codes):
    codec = load_codec(name)
    bottleneck = codec.autoencoder.bottleneck
    whole = bottleneck.latent(codes[None])[0]
    assert torch.allclose(vectors(codec, codes, 8), whole, atol=1e-5)
    parts = [vectors(codec, codes, k) for k in range(1, 9)]
    other = codes.clone()
    other[1:] = 7
    assert torch.equal(vectors(codec, other, 1), parts[0])
    assert all(not torch.allclose(a, b) for a, b in pairwise(parts))


def test_fsq_codes_are_points(codes):
    codec = load_codec("house-fsq")
    found = vectors(codec, codes, 8)
    assert found.shape == (5, 32)
    assert torch.allclose(
        codec.autoencoder.bottleneck.leave(found),
        codec.autoencoder.bottleneck.latent(codes[None])[0],
    )
    levels = codec.spec.streams[0].levels
    first = level_to_point(code_to_levels(codes[0], levels), levels)
    assert torch.equal(vectors(codec, codes, 1), first)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["Encodec", "Mimi", "Dac"])
def test_published_codecs_as_their_libraries_have_it(kind):
    import transformers

    torch.manual_seed(0)
    small = {
        "Encodec": {"num_filters": 4, "hidden_size": 16, "codebook_size": 32},
        "Mimi": {
            "num_filters": 4, "hidden_size": 16, "num_hidden_layers": 1, "intermediate_size": 32,
            "num_attention_heads": 2, "num_key_value_heads": 2, "upsample_groups": 16,
            "codebook_size": 32, "codebook_dim": 8, "vector_quantization_hidden_dimension": 8,
            "num_quantizers": 6,
        },
        "Dac": {"encoder_hidden_size": 4, "decoder_hidden_size": 32, "n_codebooks": 6,
                "codebook_size": 32},
    }[kind]  # fmt: skip
    config = getattr(transformers, f"{kind}Config")(**small)
    model = getattr(transformers, f"{kind}Model")(config).eval()
    streams = tuple(type("Stream", (), {"levels": ()})() for _ in range(4))
    adapter = type(kind, (), {})()
    adapter.model, adapter.spec = model, type("Spec", (), {"streams": streams})()
    codes = torch.randint(0, 32, (4, 7))
    read = {
        "Encodec": lambda: model.quantizer.decode(codes[:, None])[0].T,
        "Mimi": lambda: model.quantizer.decode(codes[None])[0].T,
        "Dac": lambda: model.quantizer.from_codes(codes[None])[0][0].T,
    }[kind]()
    assert torch.equal(vectors(adapter, codes, 4), read)
    one = vectors(adapter, codes, 1)
    assert one.shape == read.shape
    codes[1:] = 3
    assert torch.equal(vectors(adapter, codes, 1), one)


def test_other_codecs_have_symbols_alone(codes):
    adapter = type("Snac", (), {})()
    stream = type("Stream", (), {"levels": ()})()
    adapter.spec = type("Spec", (), {"streams": (stream,) * 8})()
    assert vectors(adapter, codes, 1) is None
