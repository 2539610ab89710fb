"""The house codec: frames line up, nothing looks ahead, streams equal wholes."""

import math

import pytest
import torch

from codeclm.codecs.house.autoencoder import Autoencoder, AutoencoderConfig
from codeclm.codecs.house.codec import HouseCodec
from codeclm.codecs.house.features import HOP, WINDOW, frame, hann, log_mel, overlap_add
from codeclm.codecs.house.vocoder import (
    Vocoder,
    VocoderConfig,
    likely_pitch,
    pitch_classes,
    pulse_frames,
)

SMALL = AutoencoderConfig(groups=3, fast_width=24, fast_depth=2, slow_width=32, slow_depth=2)


@pytest.fixture(scope="module")
def untrained():
    torch.manual_seed(0)
    vocoder = Vocoder(VocoderConfig(width=24, depth=2))
    torch.nn.init.normal_(vocoder.filters.weight, std=0.1)
    place = pitch_classes(torch.tensor(200.0))  # a clear pitch, as a trained vocoder finds it
    with torch.no_grad():
        vocoder.pitch.bias.copy_(-2 * (torch.arange(160) - place).square())
    return HouseCodec("house-test", Autoencoder(SMALL), vocoder, "0" * 16)


def test_overlap_add_undoes_framing():
    wav = torch.randn(2, 20 * HOP)
    back, tail = overlap_add(frame(wav) * hann().square())
    assert back.shape == wav.shape
    assert tail.shape == (2, WINDOW - HOP)
    assert torch.allclose(back[:, WINDOW - HOP :], wav[:, WINDOW - HOP :], atol=1e-5)


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


def test_spec_tells_the_truth(untrained):
    spec = untrained.spec
    codes = untrained.encode(torch.randn(2, 1, 24_000) * 0.1)
    assert codes.shape == (2, 3, 25)
    assert spec.frame_rate == 25
    assert spec.bitrate == pytest.approx(3 * 25 * math.log2(2016))
    assert spec.latency_ms == 70
    assert codes.min() >= 0
    assert codes.max() < 2016
    assert type(spec).from_dict(spec.to_dict()) == spec


@pytest.mark.parametrize("samples", [1, 959, 960, 961, 10_000])
def test_any_length_is_padded_to_whole_frames(untrained, samples):
    codes = untrained.encode(torch.randn(1, 1, samples) * 0.1)
    assert codes.shape[2] == untrained.spec.frames(samples) == math.ceil(samples / 960)
    assert untrained.decode(codes).shape == (1, 1, codes.shape[2] * 960)


@pytest.mark.parametrize("size", [1, 3, 17])
def test_streamed_decoding_equals_offline(untrained, size):
    codes = torch.randint(0, 2016, (2, 3, 40), generator=torch.Generator().manual_seed(1))
    whole = untrained.decode(codes)
    parts = torch.cat(list(untrained.stream(codes.split(size, dim=2))), dim=2)
    assert whole.abs().max() > 1e-3
    assert (whole - parts).abs().max() < 1e-4


def test_a_stream_can_be_continued_twice_from_one_state(untrained):
    codes = torch.randint(0, 2016, (1, 3, 12))
    _, state = untrained.decode_chunk(codes[..., :6])
    first, _ = untrained.decode_chunk(codes[..., 6:], state)
    again, _ = untrained.decode_chunk(codes[..., 6:], state)
    assert torch.equal(first, again)


def test_a_long_stream_keeps_its_phase(untrained):
    codes = torch.randint(0, 2016, (1, 3, 500))
    whole = untrained.decode(codes)
    parts = torch.cat(list(untrained.stream(codes.split(7, dim=2))), dim=2)
    assert (whole - parts)[..., -9600:].abs().max() < 1e-4


def test_encoder_sees_no_further_than_its_lookahead():
    torch.manual_seed(0)
    model = Autoencoder(SMALL)
    wav = (torch.randn(1, 12 * 960) * 0.1).requires_grad_()
    latent, _ = model.latent(log_mel(wav))
    latent[0, 5].sum().backward()
    horizon = 6 * 960 + 720
    assert wav.grad[0, horizon:].abs().max() == 0
    assert wav.grad[0, horizon - 240 : horizon].abs().max() > 0


def test_decoder_sees_no_later_frame(untrained):
    codes = torch.randint(0, 2016, (1, 3, 12))
    other = codes.clone()
    other[..., 7] = (other[..., 7] + 1000) % 2016
    difference = (untrained.decode(codes) - untrained.decode(other)).abs()[0, 0]
    assert difference[: 7 * 960].max() == 0
    assert difference[7 * 960 : 8 * 960].max() > 0


def test_batches_give_the_codes_of_single_clips(untrained):
    wav = torch.randn(3, 1, 9600) * 0.1
    single = torch.cat([untrained.encode(row[None]) for row in wav])
    assert torch.equal(untrained.encode(wav), single)
