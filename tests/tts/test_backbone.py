"""The bare decoder is the decoder of transformers, step by step, and its cache is a value."""

import pytest
import torch

from codeclm.tts.backbone import ROOM, Decoder, llama
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


def test_whole_sequences_equal_transformers(slow, fast):
    x = torch.randn(2, 21, 48)
    expected = slow(inputs_embeds=x).last_hidden_state
    assert torch.allclose(fast(x, fast.start(2)), expected, atol=1e-4)


@pytest.mark.parametrize("prefill", [1, 7])
def test_steps_after_a_prefill_equal_transformers(slow, fast, prefill):
    x = torch.randn(2, ROOM + 20, 48)
    expected = slow(inputs_embeds=x).last_hidden_state
    cache = fast.start(2)
    parts = [fast(x[:, :prefill], cache)]
    parts += [fast(x[:, i : i + 1], cache) for i in range(prefill, x.shape[1])]
    assert cache.length == x.shape[1]
    assert torch.allclose(torch.cat(parts, dim=1), expected, atol=1e-4)


def test_two_prefills_in_a_row_equal_one(fast):
    x = torch.randn(1, 12, 48)
    cache = fast.start()
    parts = torch.cat([fast(x[:, :5], cache), fast(x[:, 5:], cache)], dim=1)
    assert torch.allclose(parts, fast(x, fast.start()), atol=1e-5)


def test_a_copied_cache_leaves_the_first_alone(fast):
    cache = fast.start()
    fast(torch.randn(1, 4, 48), cache)
    x, other = torch.randn(1, 1, 48), torch.randn(1, 1, 48)
    copy = cache.copy()
    fast(other, cache.copy())
    assert torch.equal(fast(x, cache), fast(x, copy))


def test_nothing_looks_ahead(fast):
    x = torch.randn(1, 9, 48)
    other = x.clone()
    other[:, 5] += 1
    before, after = fast(x, fast.start()), fast(other, fast.start())
    assert torch.equal(before[:, :5], after[:, :5])
    assert not torch.allclose(before[:, 5:], after[:, 5:])
