"""The bare decoder is the decoder of transformers, step by step, and its cache is a value."""

import pytest
import torch

from codeclm.tts import backbone
from codeclm.tts.backbone import Decoder, llama
from codeclm.tts.model import ModelConfig

CONFIG = ModelConfig(width=48, depth=3, heads=4, inner=80)


@pytest.fixture(scope="module")
def slow():
    torch.manual_seed(0)
    model = llama(CONFIG).eval().requires_grad_(False)
    for name, weight in model.named_parameters():
        torch.nn.init.normal_(weight, mean=float("norm" in name), std=0.2)
    return model


@pytest.fixture(scope="module")
def fast(slow):
    return Decoder(CONFIG, slow.state_dict())


def test_prefills_and_steps_equal_transformers(slow, fast, monkeypatch):
    monkeypatch.setattr(backbone, "ROOM", 16)  # so that caches grow on the way
    x = torch.randn(2, 50, 48)
    cache, cuts = fast.start(2), [1, 7, 5, *[1] * 37]
    parts = [fast(part, cache) for part in x.split(cuts, dim=1)]
    assert cache.length == 50
    expected = slow(inputs_embeds=x).last_hidden_state
    assert torch.allclose(torch.cat(parts, dim=1), expected, atol=1e-4)
    assert torch.allclose(fast(x, fast.start(2)), expected, atol=1e-4)


def test_a_copied_cache_leaves_the_first_alone(fast):
    cache = fast.start()
    fast(torch.randn(1, 4, 48), cache)
    x, other = torch.randn(1, 1, 48), torch.randn(1, 1, 48)
    copy = cache.copy()
    fast(other, cache.copy())
    assert torch.equal(fast(x, cache), fast(x, copy))
