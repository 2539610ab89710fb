"""The house codec: frames line up, nothing looks ahead, streams equal wholes."""

import json
import math

import pytest
import torch

from codeclm import checkpoint
from codeclm.codecs.house.autoencoder import (
    Autoencoder,
    AutoencoderConfig,
    SizeConfig,
    token_fingerprint,
)
from codeclm.codecs.house.bottlenecks.fsq import FSQConfig
from codeclm.codecs.house.bottlenecks.rvq import RVQConfig
from codeclm.codecs.house.bottlenecks.semantic import SemanticConfig
from codeclm.codecs.house.bottlenecks.vae import VAEConfig
from codeclm.codecs.house.codec import HouseCodec
from codeclm.codecs.house.features import HOP, WINDOW, frame, hann, log_mel, overlap_add
from codeclm.codecs.house.vocoder import (
    Vocoder,
    VocoderConfig,
    likely_pitch,
    pitch_classes,
    pulse_frames,
)

SIDE = SizeConfig(fast_width=24, fast_depth=2, slow_width=32, slow_depth=2)
BOTTLENECKS = [
    FSQConfig(groups=3),
    RVQConfig(codebooks=3, size=32),
    SemanticConfig(codebooks=3, size=32, teacher_dims=5),
    VAEConfig(dims=6),
]


def small(bottleneck):
    """An autoencoder whose codebooks have seen a little noise."""
    torch.manual_seed(0)
    model = Autoencoder(AutoencoderConfig(bottleneck=bottleneck, encoder=SIDE, decoder=SIDE))
    for _ in range(3):
        model(torch.randn(4, 80, 100))
    return model


@pytest.fixture(scope="module", params=BOTTLENECKS, ids=lambda config: config.kind)
def untrained(request):
    vocoder = Vocoder(VocoderConfig(width=24, depth=2))
    torch.nn.init.normal_(vocoder.filters.weight, std=0.1)
    place = pitch_classes(torch.tensor(200.0))  # a clear pitch, as a trained vocoder finds it
    with torch.no_grad():
        vocoder.pitch.bias.copy_(-2 * (torch.arange(160) - place).square())
    return HouseCodec("house-test", small(request.param), vocoder, "0" * 16)


def random_tokens(codec, batch, frames):
    """Tokens such as a language model could make them."""
    if codec.spec.latent_dims:
        return torch.randn(batch, frames, codec.spec.latent_dims)
    rows = [torch.randint(0, stream.size, (batch, frames)) for stream in codec.spec.streams]
    return torch.stack(rows, dim=1)


def time_axis(codec):
    """The axis of the frames in its tokens."""
    return 1 if codec.spec.latent_dims else 2


def test_overlap_add_undoes_framing():
    wav = torch.randn(2, 20 * HOP + WINDOW - HOP)
    back, tail = overlap_add(frame(wav) * hann().square())
    assert back.shape == (2, 20 * HOP)
    assert tail.shape == (2, WINDOW - HOP)
    inside = slice(WINDOW - HOP, 20 * HOP)
    assert torch.allclose(back[:, inside], wav[:, inside], atol=1e-5)


def test_mel_bands_follow_a_rising_tone():
    time = torch.arange(4800) / 24_000
    peaks = [
        log_mel(torch.sin(2 * math.pi * hertz * time)[None])[0, 5].argmax().item()
        for hertz in (200, 400, 800, 1600, 3200, 6400, 11_000)
    ]
    assert peaks == sorted(set(peaks))


def test_pulse_frames_are_the_sum_of_all_harmonics():
    hertz, phase = torch.tensor([[100.0, 237.0]]), torch.tensor([[0.0, 0.3]])
    fast = pulse_frames(hertz, phase)[0]
    time = (torch.arange(WINDOW) - WINDOW // 2) / 24_000
    for row, (f, p) in enumerate(((100.0, 0.0), (237.0, 0.3))):
        count = math.floor(12_000 / f)
        slow = sum(
            torch.cos(2 * math.pi * k * (p + f * time.double())) for k in range(1, count + 1)
        )
        assert torch.allclose(fast[row].double(), slow * math.sqrt(2 / count), atol=0.05)


def test_pitch_classes_and_their_mean_undo_each_other():
    hertz = torch.tensor([[55.0, 120.0, 333.3, 500.0]])
    place = pitch_classes(hertz)[..., None]
    scores = -0.5 * (torch.arange(160) - place).square()
    assert (likely_pitch(scores) - hertz).abs().max() <= 0.5


def test_pitch_beside_a_step_of_its_rounding_is_on_the_right_side_of_it():
    wanted = torch.arange(120, 1100, 7, dtype=torch.float64) / 2  # steps of half a hertz
    for side in (-1, 1):
        place = pitch_classes(wanted + side * (0.25 - 1e-5))
        low, share = place.long(), place.frac()
        scores = torch.full((len(place), 160), -60.0)
        scores.scatter_(1, low[:, None], 0.0)
        scores.scatter_(1, low[:, None] + 1, share.logit()[:, None].float())
        assert torch.equal(likely_pitch(scores[None])[0], wanted.float())


def test_spec_tells_the_truth(untrained):
    spec = untrained.spec
    tokens = untrained.encode(torch.randn(2, 1, 24_000) * 0.1)
    if spec.latent_dims:
        assert tokens.shape == (2, 25, 6)
        assert (spec.streams, spec.bitrate) == ((), 0)
    else:
        assert tokens.shape == (2, 3, 25)
        assert tokens.min() >= 0
        assert all(tokens[:, k].max() < s.size for k, s in enumerate(spec.streams))
        assert spec.bitrate == pytest.approx(3 * 25 * math.log2(spec.streams[0].size))
    assert spec.frame_rate == 25
    assert spec.latency_ms == 70
    assert type(spec).from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@pytest.mark.parametrize("samples", [1, 959, 960, 961, 10_000])
def test_any_length_is_padded_to_whole_frames(untrained, samples):
    tokens = untrained.encode(torch.randn(1, 1, samples) * 0.1)
    frames = tokens.shape[time_axis(untrained)]
    assert frames == untrained.spec.frames(samples) == math.ceil(samples / 960)
    assert untrained.decode(tokens).shape == (1, 1, frames * 960)


@pytest.mark.parametrize("size", [1, 3, 17])
def test_streamed_decoding_equals_offline(untrained, size):
    torch.manual_seed(1)
    tokens = random_tokens(untrained, 2, 40)
    whole = untrained.decode(tokens)
    parts = list(untrained.stream(tokens.split(size, dim=time_axis(untrained))))
    assert whole.abs().max() > 1e-3
    assert (whole - torch.cat(parts, dim=2)).abs().max() < 1e-4


@pytest.mark.parametrize("size", [100, 960, 3000])
def test_streamed_encoding_equals_offline(untrained, size):
    torch.manual_seed(1)
    wav = torch.randn(2, 1, 20_000) * 0.1
    state, parts = None, []
    for chunk in wav.split(size, dim=2):
        tokens, state = untrained.encode_chunk(chunk, state)
        parts.append(tokens)
    heard = sum(part.shape[time_axis(untrained)] for part in parts)
    assert heard == (20_000 - 720) // 960  # every frame whose look-ahead is there
    parts.append(untrained.encode_chunk(wav[..., :0], state, last=True)[0])
    whole = untrained.encode(wav)
    streamed = torch.cat(parts, dim=time_axis(untrained))
    assert streamed.shape == whole.shape
    if whole.is_floating_point():
        assert torch.allclose(streamed, whole, atol=1e-4)
    else:
        assert torch.equal(streamed, whole)


def test_a_stream_can_be_continued_twice_from_one_state(untrained):
    first, then = random_tokens(untrained, 1, 6), random_tokens(untrained, 1, 6)
    _, state = untrained.decode_chunk(first)
    once, _ = untrained.decode_chunk(then, state)
    again, _ = untrained.decode_chunk(then, state)
    assert torch.equal(once, again)
    wav = torch.randn(1, 1, 5000)
    _, state = untrained.encode_chunk(wav)
    once, _ = untrained.encode_chunk(wav, state)
    again, _ = untrained.encode_chunk(wav, state)
    assert torch.equal(once, again)


def test_a_stream_of_nothing_is_silent(untrained):
    nothing = random_tokens(untrained, 2, 0)
    assert untrained.decode(nothing).shape == (2, 1, 0)
    assert list(untrained.stream([])) == list(untrained.stream([nothing])) == []


def test_a_long_stream_keeps_its_phase(untrained):
    tokens = random_tokens(untrained, 1, 500)
    whole = untrained.decode(tokens)
    parts = list(untrained.stream(tokens.split(7, dim=time_axis(untrained))))
    assert (whole - torch.cat(parts, dim=2))[..., -9600:].abs().max() < 1e-4


def test_encoder_sees_no_further_than_its_lookahead():
    model = small(FSQConfig())
    wav = (torch.randn(1, 12 * 960) * 0.1).requires_grad_()
    latent, _ = model.encoder(log_mel(wav))
    latent[0, 5].sum().backward()
    horizon = 6 * 960 + 720
    assert wav.grad[0, horizon:].abs().max() == 0
    assert wav.grad[0, horizon - 240 : horizon].abs().max() > 0


def test_decoder_sees_no_later_frame(untrained):
    tokens = random_tokens(untrained, 1, 12)
    other = tokens.clone()
    frame = (0, 7) if untrained.spec.latent_dims else (0, slice(None), 7)
    other[frame] = (other[frame] + 7) % 31
    difference = (untrained.decode(tokens) - untrained.decode(other)).abs()[0, 0]
    assert difference[: 7 * 960].max() == 0
    assert difference[7 * 960 : 8 * 960].max() > 0


def test_batches_give_the_tokens_of_single_clips(untrained):
    wav = torch.randn(3, 1, 9600) * 0.1
    single = torch.cat([untrained.encode(row[None]) for row in wav])
    assert torch.allclose(untrained.encode(wav).double(), single.double(), atol=1e-4)


def test_tokens_keep_their_meaning_under_another_decoder(tmp_path):
    model = small(FSQConfig())
    marks = []
    for name, part in (("a", None), ("b", "decoder"), ("c", "encoder")):
        if part:
            next(getattr(model, part).parameters()).data += 1
        checkpoint.save(tmp_path / name, model.state_dict(), model.config, {})
        marks.append(token_fingerprint(checkpoint.load(tmp_path / name)))
    assert marks[0] == marks[1] != marks[2]
