"""A model of latents end to end: prepared, trained, spoken, streamed, cloned, distilled."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from codeclm import Voice, load_codec, load_tts
from codeclm.codecs.house import train as train_codec
from codeclm.corpus import read_audio, read_manifest
from codeclm.data_prep import prepare
from codeclm.data_prep.shards import read_prepared
from codeclm.tts import train
from codeclm.tts.plan import run as plan
from codeclm.tts.sampling import Sampling

HEADS = {
    "flow": ["model.head=flow", "model.patch=2"],
    "consistency": ["model.head=consistency", "model.input_noise=0.3"],
}


@pytest.fixture(scope="module")
def made(runs, tiny, clips, tmp_path_factory):
    """A VAE codec, a corpus prepared with it, and a model for each head."""
    folder = tmp_path_factory.mktemp("latents")
    sizes = [s for s in tiny["codec"] if "bottleneck" not in s]
    train_codec.run(
        None,
        [
            *("name=tiny-vae", f"corpora=[{{manifest: {clips}, cache: {runs / 'cache'}}}]"),
            *(f"out={folder / 'codec'}", "steps=3", "model.bottleneck={kind: vae, dims: 4}"),
            *sizes,
        ],
    )
    (folder / "codec" / "vocoder").symlink_to(runs / "vocoder" / "final")
    given = [f"manifest={clips}", f"codec={folder / 'codec' / 'final'}", "align_steps=20"]
    prepare.run(None, [*given, f"out={folder / 'data'}"])
    for name in HEADS:
        train.run(None, settings(folder, name, tiny))
    return folder


def settings(folder, name, tiny, **changes):
    local = "model.local={width: 16, depth: 1, heads: 2, inner: 32}"
    given = {"data": folder / "data", "out": folder / name, "steps": 4, "every": 2} | changes
    own = [*HEADS[name], "model.layout=patch", local]
    return [f"name={name}", *tiny["tts"], *own, *(f"{k}={v}" for k, v in given.items())]


@pytest.fixture
def codec(made):
    return load_codec(made / "codec" / "final")


def test_latents_arrive_with_their_scale(made, codec, clips):
    prepared = read_prepared(made / "data")
    trained = [item.tokens for item in prepared.items if item.split == "train"]
    together = torch.cat(trained, dim=1)
    assert together.mean(1) == pytest.approx(torch.zeros(4), abs=1e-2)
    assert together.std(1) == pytest.approx(torch.ones(4), abs=1e-2)
    for item, utterance in zip(prepared.items, read_manifest(clips), strict=True):
        latents = codec.encode(read_audio(utterance, 24_000)[None])[0].T
        assert item.tokens.shape == latents.shape
        assert torch.allclose(prepared.scale.leave(item.tokens), latents, atol=1e-2)
        assert sum(item.durations) == latents.shape[1]


@pytest.mark.parametrize("name", HEADS)
def test_a_model_speaks_and_its_stream_is_the_whole(made, codec, clips, name):
    tts = load_tts(made / name / "final", codec=made / "codec" / "final")
    assert tts.meta["dev_velocity_error"] > 0
    assert tts.sound.scale == read_prepared(made / "data").scale
    reference = read_audio(read_manifest(clips)[0], 24_000)
    voice = Voice.from_wav(reference, codec)
    voice.save(made / "me.voice.safetensors")
    kept = Voice.load(made / "me.voice.safetensors")
    assert np.allclose(kept.tokens, voice.tokens, atol=1e-2)
    for how in (Sampling(), Sampling(guidance=2.0, steps=2, schedule="sway")):
        given = {"voice": kept, "seed": 7, "sampling": how}
        speech = tts.speak("So it is. Is it so?", **given)
        chunks = list(tts.stream("So it is. Is it so?", **given))
        assert len(chunks) > 1
        assert np.array_equal(np.concatenate(chunks), speech.wav)
        assert np.isfinite(speech.wav).all()
        again = tts.speak("So it is. Is it so?", **given)
        assert np.array_equal(again.wav, speech.wav)
    told = tts.timed(replace(kept, transcript="So it is."))
    assert bool(told.durations) == tts.network.takes_times == (name == "consistency")
    assert np.isfinite(tts.speak("Is it so?", voice=told, seed=7).wav).all()
    other = tts.speak("So it is. Is it so?", voice=kept, seed=8)
    assert not np.array_equal(other.wav[:4000], speech.wav[:4000])


@pytest.mark.parametrize("name", HEADS)
def test_the_same_seed_trains_the_same_weights(made, tiny, tmp_path, name):
    train.run(None, settings(made, name, tiny, out=tmp_path / name, steps=4))
    a, b = (folder / name / "final" / "weights.safetensors" for folder in (made, tmp_path))
    assert a.read_bytes() == b.read_bytes()


def test_codes_and_latents_are_not_mixed_up(made, runs, tiny):
    with pytest.raises(ValueError, match="draws continuous latents, and tiny has codes"):
        train.run(None, settings(made, "flow", tiny, data=runs / "data", out=made / "x"))
    with pytest.raises(ValueError, match="tiny-vae has continuous latents and no codes"):
        train.run(None, ["name=x", f"data={made / 'data'}", f"out={made / 'x'}", *tiny["tts"]])
    with pytest.raises(ValueError, match="was trained on"):
        load_tts(made / "flow" / "final", codec=runs / "codec" / "final")


def test_a_plan_counts_latents(made, tiny):
    found = plan(None, settings(made, "flow", tiny), steps=1)
    assert (found.steps_per_second, found.small_steps_per_second) == (12.5, 125)
    assert found.measured.step_seconds > 0


def test_a_student_learns_what_guidance_says(made, codec, tiny, tmp_path):
    teacher = made / "consistency" / "final"
    own = {"distil": f"{{teacher: {teacher}, guidance: 2.0}}", "init": teacher, "steps": 30}
    same = {"mixed_precision": "no", "warmup": 1, "learning_rate": "3e-3", "every": 100}
    train.run(
        None,
        [
            *settings(made, "consistency", tiny, out=tmp_path / "student", **own, **same),
            *("model.frame_dropout=0.0", "model.input_noise=0.0", "advance_weight=0.0"),
        ],
    )
    lines = (tmp_path / "student" / "metrics.jsonl").read_text().splitlines()
    losses = [row["loss"] for row in map(json.loads, lines) if "loss" in row]
    assert losses[-1] < 0.6 * losses[0]
    before, after = (
        load_tts(f, made / "codec" / "final") for f in (teacher, tmp_path / "student/final")
    )
    heads = [tts.network.model.head.state_dict() for tts in (before, after)]
    assert all(torch.equal(heads[0][key], heads[1][key]) for key in heads[0])


def test_a_teacher_must_fit(made, tiny, tmp_path):
    def distil(teacher, *more):
        own = {"distil": f"{{teacher: {teacher}}}", "out": tmp_path / "student"}
        train.run(None, [*settings(made, "consistency", tiny, **own), *more])

    with pytest.raises(ValueError, match="only the guidance of `consistency`"):
        distil(made / "flow" / "final")
    with pytest.raises(ValueError, match="needs the head of its teacher"):
        distil(made / "consistency" / "final", "model.local={width: 8, depth: 1, inner: 16}")
