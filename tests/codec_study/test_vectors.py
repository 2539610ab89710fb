"""What codes stand for is what the decoder reads."""

from itertools import pairwise

import pytest
import torch

from codeclm import load_codec
from codeclm.codec_study.parts import vectors
from codeclm.codecs.levels import code_to_levels, level_to_point


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
