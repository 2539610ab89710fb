"""The four bottlenecks: what goes through in training is what the tokens say."""

import pytest
import torch
from torch.nn import functional as F

from codeclm.codecs.house.bottlenecks import LATENT, make_bottleneck
from codeclm.codecs.house.bottlenecks.fsq import FSQ, FSQConfig
from codeclm.codecs.house.bottlenecks.rvq import Codebook, ResidualStack, RVQConfig, draw_kept
from codeclm.codecs.house.bottlenecks.semantic import SemanticConfig
from codeclm.codecs.house.bottlenecks.vae import VAE, VAEConfig

CONFIGS = [
    FSQConfig(groups=3),
    RVQConfig(codebooks=3, size=32, dropout=0.5),
    SemanticConfig(codebooks=3, size=32, dropout=0.5, teacher_dims=5),
    VAEConfig(dims=6),
]


def ids(config):
    return config.kind


@pytest.fixture(params=CONFIGS, ids=ids)
def trained(request):
    """A bottleneck after a few steps of training, ready for use."""
    torch.manual_seed(0)
    bottleneck = make_bottleneck(request.param).train()
    for _ in range(20):
        bottleneck(torch.randn(4, 30, LATENT))
    return bottleneck.eval()


def test_training_and_tokens_agree(trained):
    z = torch.randn(2, 7, LATENT)
    latent, _ = trained(z)
    tokens = trained.tokens(z)
    assert latent.shape == z.shape
    assert torch.allclose(latent, trained.latent(tokens), atol=1e-5)
    for row, stream in enumerate(trained.streams):
        assert tokens[:, row].min() >= 0
        assert tokens[:, row].max() < stream.size


def test_shapes_and_streams(trained):
    tokens = trained.tokens(torch.randn(2, 7, LATENT))
    if trained.streams:
        assert tokens.dtype == torch.int64
        assert tokens.shape == (2, len(trained.streams), 7)
    else:
        assert tokens.shape == (2, 7, 6)


def test_no_frame_sees_another(trained):
    z = torch.randn(1, 7, LATENT)
    single = torch.cat([trained(z[:, t : t + 1])[0] for t in range(7)], dim=1)
    assert torch.allclose(trained(z)[0], single, atol=1e-5)


def test_the_encoder_gets_a_gradient(trained):
    z = torch.randn(2, 7, LATENT, requires_grad=True)
    latent, losses = trained.train()(z, torch.randn(2, 7, 5))
    (latent.square().sum() + sum(losses.values())).backward()
    assert z.grad.abs().sum() > 0
    assert torch.isfinite(z.grad).all()


def test_fsq_gradients_pass_straight_through_the_rounding():
    fsq = FSQ(FSQConfig(groups=1))
    torch.nn.init.zeros_(fsq.enter.bias)
    z = torch.zeros(1, 1, LATENT, requires_grad=True)
    fsq.round(z).sum().backward()
    middle = (torch.tensor((8, 7, 6, 6)) - 1) / 2
    assert torch.allclose(z.grad[0, 0], ((middle + 0.499) / middle) @ fsq.enter.weight, atol=1e-6)


def test_a_code_is_chosen_by_its_direction():
    book = Codebook(16, 4)
    book.vectors.copy_(torch.randn(16, 4) * torch.rand(16, 1) * 9)
    x = torch.randn(50, 4)
    slow = [max(range(16), key=lambda i: F.cosine_similarity(row, book.vectors[i], 0)) for row in x]
    assert book.nearest(x).tolist() == slow


def test_codes_follow_what_they_stand_for():
    torch.manual_seed(0)
    centres = torch.eye(4) * torch.tensor([[1.0], [2.0], [3.0], [4.0]])
    book = Codebook(4, 4)
    for _ in range(300):
        x = centres.repeat(8, 1) + 0.05 * torch.randn(32, 4)
        book.follow(x, book.nearest(x))
    found = book.vectors[book.nearest(centres)]
    assert sorted(book.nearest(centres).tolist()) == [0, 1, 2, 3]
    assert (found - centres).abs().max() < 0.1


def test_no_code_stays_dead():
    torch.manual_seed(0)
    book = Codebook(64, 8)
    for _ in range(400):
        x = torch.randn(256, 8)
        book.follow(x, book.nearest(x))
    used = torch.bincount(book.nearest(torch.randn(8000, 8)), minlength=64)
    assert (used > 0).all()


def test_each_stage_takes_up_what_is_left():
    torch.manual_seed(0)
    stack = ResidualStack(3, 16, 4)
    z = torch.randn(2, 5, LATENT)
    for _ in range(5):
        stack(z, torch.tensor([3, 3]))
    stack.eval()
    left, total = z, torch.zeros_like(z)
    for k, quantizer in enumerate(stack.stages):
        code = quantizer.encode(left)
        assert torch.equal(code, stack.encode(z)[:, k])
        total = total + quantizer.decode(code)
        left = z - total
    assert torch.allclose(total, stack(z, torch.tensor([3, 3]))[0], atol=1e-5)
    first, _ = stack(z, torch.tensor([1, 3]))
    assert torch.allclose(first[0], stack.stages[0].decode(stack.encode(z)[:1, 0])[0], atol=1e-5)
    assert torch.allclose(first[1], total[1], atol=1e-5)


def test_dropout_keeps_a_random_number_of_stages():
    torch.manual_seed(0)
    kept = draw_kept(4000, 1, 8, 0.25, torch.zeros(()))
    assert set(kept.tolist()) == set(range(1, 9))
    assert abs((kept < 8).float().mean() - 0.25 * 7 / 8) < 0.03
    assert (draw_kept(100, 1, 8, 0.0, torch.zeros(())) == 8).all()


@pytest.mark.parametrize(
    ("leftover", "depends"),
    [(True, [(), (0,), (0, 1), (0, 1, 2)]), (False, [(), (), (1,), (1, 2)])],
)
def test_the_semantic_codebook_comes_first(leftover, depends):
    bottleneck = make_bottleneck(SemanticConfig(codebooks=4, size=32, leftover=leftover))
    roles = [stream.role for stream in bottleneck.streams]
    assert roles == ["semantic", "acoustic", "acoustic", "acoustic"]
    assert [stream.depends_on for stream in bottleneck.streams] == depends


@pytest.mark.parametrize("leftover", [True, False])
def test_the_acoustic_stack_reads_what_it_should(leftover):
    torch.manual_seed(0)
    config = SemanticConfig(codebooks=3, size=32, leftover=leftover, alone=0.0, dropout=0.0)
    bottleneck = make_bottleneck(config).train()
    for _ in range(10):
        bottleneck(torch.randn(4, 30, LATENT))
    bottleneck.eval()
    z = torch.randn(2, 7, LATENT)
    tokens = bottleneck.tokens(z)
    words = bottleneck.semantic.decode(tokens[:, 0])
    assert torch.equal(tokens[:, 1:], bottleneck.acoustic.encode(z - words if leftover else z))


def test_some_examples_keep_codebook_zero_alone():
    torch.manual_seed(0)
    bottleneck = make_bottleneck(SemanticConfig(alone=0.3, dropout=0.0)).train()
    kept = bottleneck.kept(torch.zeros(4000, 1, LATENT))
    assert set(kept.tolist()) == {0, 7}
    assert abs((kept == 0).float().mean() - 0.3) < 0.03
    assert (bottleneck.eval().kept(torch.zeros(100, 1, LATENT)) == 7).all()


def test_latents_leave_with_mean_zero_and_deviation_one():
    torch.manual_seed(0)
    vae = VAE(VAEConfig(dims=6)).train()
    for _ in range(600):
        vae(3 * torch.randn(8, 20, LATENT) + 1)
    latents = vae.tokens(3 * torch.randn(8, 200, LATENT) + 1)
    assert latents.mean(dim=(0, 1)).abs().max() < 0.15
    assert (latents.std(dim=(0, 1)) - 1).abs().max() < 0.1


def test_free_bits_cost_nothing():
    vae = VAE(VAEConfig(dims=6, free_nats=2.0))
    torch.nn.init.zeros_(vae.enter.weight)
    torch.nn.init.zeros_(vae.enter.bias)
    _, losses = vae(torch.randn(2, 5, LATENT))
    assert losses["kl"].item() == 2.0
    _, losses = VAE(VAEConfig(dims=6, free_nats=0.0))(100 * torch.randn(2, 5, LATENT))
    assert losses["kl"].item() > 10
