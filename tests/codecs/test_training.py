"""The codec recipe runs from clips to a codec, and a stopped run goes on bit for bit."""

import json
import signal

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from codeclm import audio, load_codec
from codeclm.codecs.house import teacher, train, train_vocoder
from codeclm.codecs.house.data import Cache, CorpusConfig, Crops
from codeclm.codecs.house.discriminators import (
    discriminator_loss,
    discriminators,
    generator_loss,
)
from codeclm.codecs.house.losses import pitch_loss, spectral_loss, spectrum_loss
from codeclm.codecs.house.vocoder import pitch_classes


def test_a_trained_codec_loads_and_speaks(runs, codec, clips):
    wav = audio.read(next(clips.parent.glob("*.opus")), 24_000)
    codes = codec.encode(wav[None])
    assert codes.shape == (1, 2, codec.spec.frames(wav.shape[1]))
    assert torch.isfinite(codec.decode(codes)).all()
    assert load_codec(runs / "codec" / "final").spec == codec.spec


def corpus(runs, clips):
    return f"corpora=[{{manifest: {clips}, cache: {runs / 'cache'}}}]"


def sizes(tiny, settings):
    """The tiny sizes, without their bottleneck where the settings bring one."""
    own = any(setting.startswith("model.bottleneck") for setting in settings)
    return [size for size in tiny["codec"] if not (own and "bottleneck" in size)]


SOUND = "sound={model: {width: 16, depth: 1}, own_pitch_from: 2, adversarial: {start: 1}}"
SMALL_CROPS = ["frames=64", "batch=2", "mixed_precision=no"]
END_TO_END = ["name=e2e", SOUND, "learn=[encoder, bottleneck, decoder, vocoder]"]


@pytest.mark.parametrize(
    ("module", "settings"),
    [
        (train, ["name=tiny"]),
        (train, ["name=rvq", "model.bottleneck={kind: rvq, codebooks: 2, size: 16}"]),
        pytest.param(train, END_TO_END, marks=pytest.mark.slow),
        (train_vocoder, ["adversarial.start=1"]),
    ],
    ids=["codec", "moving-averages", "end-to-end", "vocoder"],
)
def test_a_stopped_run_goes_on_bit_for_bit(runs, tmp_path, clips, tiny, module, settings):
    size = sizes(tiny, settings) if module is train else tiny["vocoder"]
    common = [corpus(runs, clips), "steps=4", *size, *settings]

    def weights(name: str) -> dict[str, torch.Tensor]:
        folder = module.run(None, [*common, f"out={tmp_path / name}"])
        return load_file(folder / "weights.safetensors")

    whole = weights("whole")
    stop_after(module, 2, lambda: weights("parts"))
    assert torch.load(tmp_path / "parts" / "resume.pt", weights_only=True)["step"] == 2
    parts = weights("parts")
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


@pytest.mark.parametrize(
    "bottleneck",
    [
        "{kind: rvq, codebooks: 2, size: 16}",
        "{kind: semantic, codebooks: 2, size: 16, teacher_dims: 4}",
        "{kind: vae, dims: 4}",
    ],
    ids=["rvq", "semantic", "vae"],
)
def test_every_bottleneck_trains_from_a_trunk(runs, tmp_path, clips, tiny, monkeypatch, bottleneck):
    monkeypatch.setattr(teacher, "load_teacher", lambda name: loudness)
    settings = [f"model.bottleneck={bottleneck}", f"init={runs / 'codec' / 'final'}", "steps=2"]
    if "semantic" in bottleneck:
        settings.append("teacher=loudness")
    size = sizes(tiny, settings)
    folder = train.run(
        None, ["name=x", corpus(runs, clips), f"out={tmp_path / 'x'}", *size, *settings]
    )
    (tmp_path / "x" / "vocoder").symlink_to(runs / "vocoder" / "final")
    codec = load_codec(folder)
    tokens = codec.encode(torch.randn(1, 1, 9600) * 0.1)
    assert torch.isfinite(codec.decode(tokens)).all()
    assert json.loads((folder / "meta.json").read_text())["dev_spectrum"] > 0


def loudness(wav):
    """A teacher that hears four numbers every 20 ms."""
    frames = np.resize(wav, (-(-len(wav) // 320), 320))
    return np.stack([frames.std(1), frames.mean(1), frames.max(1), frames.min(1)], axis=1)


def test_the_teacher_is_heard_once_and_in_step_with_the_frames(runs, clips, monkeypatch):
    heard = []

    def counted(wav):
        heard.append(1)
        return loudness(wav)

    monkeypatch.setattr(
        teacher, "load_teacher", lambda name: lambda w: heard.append(1) or loudness(w)
    )
    cache = Cache(CorpusConfig(manifest=clips, cache=runs / "cache"))
    features, starts = teacher.cache_teacher(cache, "counted")
    assert features.astype(np.float32).mean(0) == pytest.approx(0, abs=0.01)
    assert features.astype(np.float32).std(0) == pytest.approx(1, abs=0.01)
    assert starts[-1] + -(-cache.lengths[-1] // 4) == len(features)
    once = len(heard)
    teacher.cache_teacher(cache, "counted")
    assert len(heard) == once == len(cache.lengths)
    loud = np.abs(cache.pcm[: cache.lengths[0] // 4 * 4].reshape(-1, 960)).mean(1)
    assert np.corrcoef(loud, features[: len(loud), 0])[0, 1] > 0.8


def test_an_unknown_teacher_is_named(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="cannot load the teacher 'no/such'"):
        teacher.load_teacher("no/such")


def test_a_transformers_model_can_teach(tmp_path):
    from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

    config = HubertConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
        conv_dim=(8,) * 7,
    )  # fmt: skip
    HubertModel(config).save_pretrained(tmp_path)
    Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
    hear = teacher.load_teacher(str(tmp_path))
    features = teacher.listen(hear, np.ones((101, 240), np.int16))
    assert features.shape == (26, 16)


def test_a_frozen_part_does_not_move(runs, tmp_path, clips, tiny):
    before = load_file(runs / "codec" / "final" / "weights.safetensors")
    settings = ["learn=[decoder]", f"init={runs / 'codec' / 'final'}", "sound={}", "steps=3"]
    settings.append("every=1")  # validating and writing samples must not wake it either
    folder = train.run(
        None,
        [
            *("name=x", corpus(runs, clips), f"out={tmp_path}", *SMALL_CROPS, *settings),
            f"vocoder={runs / 'vocoder' / 'final'}",
        ],
    )
    after = load_file(folder / "weights.safetensors")
    moved = {name.split(".")[0] for name in after if not torch.equal(before[name], after[name])}
    assert moved == {"decoder"}
    assert len(list((tmp_path / "samples").glob("*.wav"))) == 2


def test_joint_tuning_leaves_the_tokens_as_they_are(runs, tmp_path, clips, tiny):
    before = runs / "codec" / "final"
    settings = ["joint=true", f"codecs=[{before}]", f"init={runs / 'vocoder' / 'final'}"]
    settings += ["steps=2", "own_pitch_from=0", "adversarial.start=1"]
    train_vocoder.run(None, [corpus(runs, clips), f"out={tmp_path}", *tiny["vocoder"], *settings])
    old, new = (load_file(f / "weights.safetensors") for f in (before, tmp_path / "tiny"))
    moved = {name.split(".")[0] for name in new if not torch.equal(old[name], new[name])}
    assert moved == {"decoder"}
    tuned, untuned = load_codec(tmp_path / "tiny"), load_codec(before)
    assert tuned.spec.fingerprint == untuned.spec.fingerprint
    wav = torch.randn(1, 1, 4800) * 0.1
    assert torch.equal(tuned.encode(wav), untuned.encode(wav))
    assert not torch.equal(tuned.decode(tuned.encode(wav)), untuned.decode(untuned.encode(wav)))


def test_end_to_end_leaves_a_codec_that_speaks(runs, tmp_path, clips, tiny):
    folder = train.run(
        None,
        [corpus(runs, clips), f"out={tmp_path}", "steps=3", "every=2", *tiny["codec"], *END_TO_END],
    )
    codec = load_codec(folder)
    assert codec.decode(codec.encode(torch.randn(1, 1, 4800))).shape == (1, 1, 4800)
    assert (tmp_path / "vocoder" / "weights.safetensors").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["frames=66"], "multiple of 4"),
        (["learn=[vocoder]"], "only learn from `sound`"),
        (["sound={}"], "needs a finished `vocoder`"),
        (["teacher=wavlm"], "need each other"),
        (["model=null"], "give a `model`"),
        (["model.bottleneck={kind: pq}"], "kind"),
    ],
)
def test_settings_that_do_not_fit_are_named(clips, tmp_path, settings, message):
    common = [
        *("name=x", "model={}", f"corpora=[{{manifest: {clips}, cache: {tmp_path}}}]"),
        f"out={tmp_path}",
    ]
    with pytest.raises(ValueError, match=message):
        train.run(None, [*common, *settings])


def test_a_trunk_of_another_size_is_refused(runs, tmp_path, clips):
    settings = [f"init={runs / 'codec' / 'final'}", "model.encoder.fast_width=24"]
    settings += ["model.encoder.slow_width=24", "mixed_precision=no"]
    with pytest.raises(ValueError, match="encoder or decoder of other sizes"):
        train.run(None, ["name=x", corpus(runs, clips), f"out={tmp_path}", *settings])


def test_corpora_are_drawn_by_their_shares(runs, clips):
    one = CorpusConfig(manifest=clips, cache=runs / "cache", share=3)
    crops = Crops([Cache(one), Cache(one.model_copy(update={"share": 1.0}))], "train")
    numbers = [crops.rows[i][0] for i in np.searchsorted(crops.bounds, np.linspace(0, 0.999, 400))]
    assert abs(numbers.count(0) - 300) <= 2


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
            train.run(None, ["name=x", "model={}", corpus(runs, other), f"out={tmp_path}"])
    finally:
        other.unlink()


def test_metrics_are_written(runs):
    rows = [json.loads(row) for row in (runs / "codec" / "metrics.jsonl").read_text().splitlines()]
    assert rows[0]["step"] == 0
    assert rows[0]["spectrum"] > 0
    assert rows[0]["audio_seconds_per_second"] > 0


def test_a_perfect_copy_costs_nothing():
    wav = torch.randn(2, 9600) * 0.1
    assert spectral_loss(wav, wav).item() == 0
    assert spectral_loss(wav * 0.5, wav) > 0.5
    mel = torch.randn(2, 8, 100)
    assert spectrum_loss(mel, mel).item() == 0
    loud, soft = torch.full_like(mel, 1.0), torch.full_like(mel, -2.0)
    assert spectrum_loss(soft + 0.5, soft).item() == pytest.approx(0.1)
    assert spectrum_loss(loud + 0.5, loud).item() == pytest.approx(0.5)
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
