"""Classifiers and heads: losses are log-probabilities, draws follow them, no code is special."""

import math

import pytest
import torch

from codeclm.codecs import Stream
from codeclm.codecs.base import EMPTY, END
from codeclm.codecs.embedding import CodeEmbedding
from codeclm.tts.backbone import Sizes
from codeclm.tts.draw import Draw
from codeclm.tts.heads.classes import Classes
from codeclm.tts.heads.depth import DepthHead
from codeclm.tts.heads.masked import MaskedHead
from codeclm.tts.past import Past
from codeclm.tts.sampling import Sampling

FSQ = (Stream(size=2016, levels=(8, 7, 6, 6)),) * 3
UNLIKE = (Stream(size=5), Stream(size=9))
SMALL = Sizes(width=16, depth=1, heads=2, inner=32)


def draw(classes, x, temperature=1.0):
    how = Sampling(temperature=temperature)
    return Draw([how], [Past(0)], torch).codes(classes.logits(x), classes.digits)


@pytest.mark.parametrize("levels", [False, True])
def test_an_even_classifier_costs_log_of_the_vocabulary(levels):
    classes = Classes(FSQ, 16, levels)
    for parameter in classes.parameters():
        torch.nn.init.zeros_(parameter)
    codes = torch.tensor([[[0, 1, 2015]]])
    nats = classes.nats(torch.randn(1, 1, 16), codes)
    assert torch.allclose(nats, torch.full((1, 1, 3), math.log(2016)))


@pytest.mark.parametrize(("streams", "levels"), [(FSQ, True), (FSQ, False), (UNLIKE, False)])
def test_probabilities_of_all_codes_sum_to_one(streams, levels):
    classes = Classes(streams, 16, levels)
    for k, stream in enumerate(streams):
        hidden = torch.randn(1, 16).expand(stream.size, 16)
        total = (-classes.nats(hidden, torch.arange(stream.size), k)).exp().sum()
        assert total.item() == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("levels", [False, True])
def test_one_stream_alone_is_the_same_as_among_all(levels):
    classes = Classes(FSQ, 16, levels)
    hidden, codes = torch.randn(5, 16), torch.randint(0, 2016, (5, 3))
    together = classes.nats(hidden, codes)
    for k in range(3):
        assert torch.allclose(together[:, k], classes.nats(hidden, codes[:, k], k), atol=1e-5)


def test_draws_follow_the_probabilities():
    torch.manual_seed(0)
    classes = Classes(FSQ[:1], 4, levels=True)
    torch.nn.init.normal_(classes.project.weight)
    hidden = torch.randn(4)
    drawn = draw(classes, hidden.expand(40_000, 4))[:, 0]
    counts = torch.bincount(drawn, minlength=2016) / len(drawn)
    true = (-classes.nats(hidden.expand(2016, 4), torch.arange(2016), 0)).exp()
    assert (counts - true).abs().sum() < 0.25


@pytest.mark.parametrize("levels", [False, True])
def test_code_zero_is_a_code_like_any_other(levels):
    classes = Classes(FSQ, 4, levels)
    torch.nn.init.zeros_(classes.project.weight)
    bias = torch.zeros(3, len(classes.digits), max(classes.digits))
    bias[..., 0] = 5.0
    classes.project.bias.data = bias.flatten()
    assert draw(classes, torch.randn(2, 4), 0.0).tolist() == [[0] * 3] * 2
    nats = classes.nats(torch.randn(4), torch.tensor([0, EMPTY, END]))
    assert nats[0] > 0
    assert nats[1:].tolist() == [0, 0]


def test_smaller_vocabularies_are_never_left():
    classes = Classes(UNLIKE, 4, levels=False)
    drawn = draw(classes, torch.randn(3000, 4) * 3)
    assert drawn[:, 0].max() == 4
    assert drawn[:, 1].max() == 8


def test_levels_need_levels():
    with pytest.raises(ValueError, match="streams are all FSQ"):
        Classes(UNLIKE, 4, levels=True)
    with pytest.raises(ValueError, match="all streams are FSQ alike"):
        CodeEmbedding(UNLIKE, 4, points=True)


@pytest.mark.parametrize("points", [False, True])
@pytest.mark.parametrize("mean", [False, True])
def test_slots_read_one_by_one_add_up_to_the_step(points, mean):
    torch.manual_seed(0)
    read = CodeEmbedding(FSQ, 8, points, mean)
    torch.nn.init.normal_(read.marks)
    slots = torch.tensor([[0, 5, 2015], [EMPTY, 3, END], [7, END, 0]])
    if points:
        torch.nn.init.zeros_(read.read.bias)
    one_by_one = sum(read.each(slots[:, k], k) for k in range(3))
    table = read.each(slots, torch.arange(3).expand(3, 3)).sum(-2)
    assert torch.allclose(one_by_one / (3 if mean else 1), read(slots), atol=1e-5)
    assert torch.allclose(one_by_one, table, atol=1e-5)


def test_a_random_share_of_the_steps_is_the_whole_on_average():
    torch.manual_seed(0)
    head = DepthHead(UNLIKE, 8, False, False, SMALL, share=0.25)
    hidden, slots = torch.randn(400, 8), torch.randint(0, 5, (400, 2))
    streams, begin = torch.arange(2).expand(400, 2), torch.arange(400) == 0
    with torch.no_grad():
        whole = head.eval().loss(hidden, slots, streams, begin)
        part = head.train().loss(hidden, slots, streams, begin)
    assert torch.allclose(part[:, 0], whole[:, 0])
    assert (part[:, 1] > 0).sum() == 100
    assert part[:, 1].mean().item() == pytest.approx(whole[:, 1].mean().item(), rel=0.1)


def test_the_masked_bound_is_log_v_for_an_even_head():
    head = MaskedHead(UNLIKE, 8, False, False, SMALL)
    for parameter in head.classes.parameters():
        torch.nn.init.zeros_(parameter)
    slots = torch.stack([torch.randint(0, 5, (2000,)), torch.randint(0, 9, (2000,))], dim=1)
    nats = head.loss(torch.randn(2000, 8), slots, torch.arange(2).expand(2000, 2), slots[:, 0] < 0)
    assert nats.sum(1).mean().item() == pytest.approx(math.log(5 * 9), rel=0.05)


def test_our_depth_transformer_is_arranged_as_csms():
    """The same weights give the logits of `transformers`' CSM depth decoder."""
    from transformers import CsmDepthDecoderConfig, CsmDepthDecoderForCausalLM

    torch.manual_seed(0)
    width, vocabulary, streams = 24, 11, 4
    sizes = Sizes(width=16, depth=2, heads=2, inner=32)
    theirs = CsmDepthDecoderForCausalLM(
        CsmDepthDecoderConfig(
            num_codebooks=streams,
            backbone_hidden_size=width,
            vocab_size=vocabulary,
            hidden_size=sizes.width,
            intermediate_size=sizes.inner,
            num_hidden_layers=sizes.depth,
            num_attention_heads=sizes.heads,
            num_key_value_heads=sizes.heads,
            head_dim=sizes.width // sizes.heads,
            rms_norm_eps=1e-6,
            rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
            pad_token_id=None,
        )
    ).eval()
    residual = tuple(Stream(vocabulary, depends_on=tuple(range(k))) for k in range(streams))
    ours = DepthHead(residual, width, False, False, sizes).eval()
    # They embed codes in the backbone's width and project; we embed them where they are used.
    layers = {k: v for k, v in theirs.model.state_dict().items() if not k.startswith("embed")}
    missing, _ = ours.body.load_state_dict(layers, strict=False)
    assert missing == ["embed_tokens.weight"]
    projector = theirs.model.inputs_embeds_projector.weight
    ours.project.weight.data = projector
    table = theirs.model.embed_tokens.weight @ projector.T
    ours.read.table.weight.data = table[: (streams - 1) * vocabulary]
    ours.rest.project.weight.data = theirs.codebooks_head.weight.transpose(1, 2).flatten(0, 1)
    torch.nn.init.zeros_(ours.rest.project.bias)

    hidden, codes = torch.randn(5, width), torch.randint(0, vocabulary, (5, streams))
    states = ours.states(hidden, codes)
    logits = torch.stack([ours.rest.logits(states[:, k], k)[:, 0] for k in range(streams - 1)], 1)
    ids = torch.cat([torch.zeros(5, 1, dtype=torch.long), codes], dim=1)
    expected = theirs(
        input_ids=ids[:, :-1], backbone_last_hidden_state=hidden, use_cache=False
    ).logits
    assert torch.allclose(logits, expected[:, -(streams - 1) :], atol=1e-4)
