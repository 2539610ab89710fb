"""The codec recipe runs from clips to a codec, and a stopped run goes on bit for bit."""

import json
import signal

import pytest
import torch
from safetensors.torch import load_file

from codeclm import audio, load_codec
from codeclm.codecs.house import train, train_vocoder
from codeclm.codecs.house.discriminators import (
    discriminator_loss,
    discriminators,
    generator_loss,
)
from codeclm.codecs.house.train_vocoder import pitch_loss, spectral_loss
from codeclm.codecs.house.vocoder import pitch_classes


def test_a_trained_codec_loads_and_speaks(runs, codec, clips):
    wav = audio.read(next(clips.parent.glob("*.opus")), 24_000)
    codes = codec.encode(wav[None])
    assert codes.shape == (1, 2, codec.spec.frames(wav.shape[1]))
    assert torch.isfinite(codec.decode(codes)).all()
    assert load_codec(runs / "codec" / "final").spec == codec.spec


@pytest.mark.parametrize(
    ("module", "settings"),
    [(train, ["name=tiny"]), (train_vocoder, ["adversarial_from=1"])],
    ids=["codec", "vocoder"],
)
def test_a_stopped_run_goes_on_bit_for_bit(runs, tmp_path, clips, tiny, module, settings):
    size = tiny["codec"] if module is train else tiny["vocoder"]
    common = [f"manifest={clips}", f"cache={runs / 'cache'}", "steps=4", *settings, *size]

    def weights(name: str) -> dict[str, torch.Tensor]:
        folder = module.run(None, [*common, f"out={tmp_path / name}"])
        return load_file(folder / "weights.safetensors")

    whole = weights("whole")
    stop_after(module, 2, lambda: weights("parts"))
    assert torch.load(tmp_path / "parts" / "resume.pt", weights_only=True)["step"] == 2
    parts = weights("parts")
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def stop_after(module, steps, start):
    """Presses Ctrl-C in the middle of a step, as people do."""
    real, done = module.cosine, []

    def interrupting(*arguments):
        done.append(1)
        if len(done) == steps:
            signal.raise_signal(signal.SIGINT)
        return real(*arguments)

    module.cosine = interrupting
    try:
        with pytest.raises(KeyboardInterrupt):
            start()
    finally:
        module.cosine = real
    assert len(done) == steps


def test_another_corpus_does_not_get_a_wrong_cache(runs, tmp_path, clips):
    rows = clips.read_text().splitlines()[:3]
    other = clips.with_name("other.jsonl")
    other.write_text("\n".join(rows))
    try:
        with pytest.raises(ValueError, match="caches another corpus"):
            train.run(
                None, ["name=x", f"manifest={other}", f"cache={runs / 'cache'}", f"out={tmp_path}"]
            )
    finally:
        other.unlink()


def test_metrics_are_written(runs):
    rows = [json.loads(row) for row in (runs / "codec" / "metrics.jsonl").read_text().splitlines()]
    assert rows[0]["step"] == 0
    assert rows[0]["loss"] > 0


def test_a_perfect_copy_costs_nothing():
    wav = torch.randn(2, 9600) * 0.1
    assert spectral_loss(wav, wav).item() == 0
    assert spectral_loss(wav * 0.5, wav) > 0.5
    hertz = torch.tensor([[100.0, 0.0, 300.0]])
    place = pitch_classes(hertz.clamp(min=50))[..., None]
    sure = -0.5 * (torch.arange(160) - place).square()
    wrong = -0.5 * (torch.arange(160) - place - 20).square()
    assert pitch_loss(sure, hertz) < 2
    assert pitch_loss(wrong, hertz) > 50


def test_every_discriminator_judges_and_can_be_fooled():
    wav = torch.randn(2, 48 * 240) * 0.1
    for critic in discriminators(4):
        maps = critic(wav)
        assert all(torch.isfinite(m).all() for m in maps)
        perfect = [*maps[:-1], torch.ones_like(maps[-1])]
        adversarial, matching = generator_loss(perfect, perfect)
        assert adversarial.item() == 0
        assert matching.item() == 0
        assert discriminator_loss(perfect, perfect).item() == 1
