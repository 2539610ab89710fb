"""What the tests share: real clips, and tiny models that went through the real commands."""

import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported; no test needs a network

import pytest
import torch

CLIPS = Path(__file__).parent / "data" / "clips" / "manifest.jsonl"

SMALL_BATCH = ["batch=2", "mixed_precision=no"]
TINY_SIDE = "{fast_width: 16, fast_depth: 1, slow_width: 16, slow_depth: 1}"
TINY_CODEC = [
    *("model.bottleneck={kind: fsq, groups: 2}", f"model.encoder={TINY_SIDE}"),
    *(f"model.decoder={TINY_SIDE}", "frames=64", *SMALL_BATCH),
]
TINY_VOCODER = ["model.width=16", "model.depth=1", "frames=64", *SMALL_BATCH]
TINY_TTS = [
    *("model.width=32", "model.depth=2", "model.heads=2", "model.inner=64"),
    *("model.text_width=16", "model.text_depth=1", "frames=200", "tracker=none", *SMALL_BATCH),
]


@pytest.fixture(scope="session")
def clips() -> Path:
    """The manifest of the test corpus."""
    return CLIPS


@pytest.fixture(scope="session")
def tiny() -> dict[str, list[str]]:
    """Settings that make each training take seconds."""
    return {"codec": TINY_CODEC, "vocoder": TINY_VOCODER, "tts": TINY_TTS}


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def runs(tmp_path_factory) -> Path:
    """A folder in which a codec, a vocoder, a prepared corpus and a speech model were made.

    Every one comes from its own command, for a few steps, at a size that takes seconds.
    """
    from codeclm.codecs.house import train, train_vocoder
    from codeclm.data_prep import prepare
    from codeclm.tts import train as train_tts

    folder = tmp_path_factory.mktemp("runs")
    corpus = f"corpora=[{{manifest: {CLIPS}, cache: {folder / 'cache'}}}]"
    train.run(None, ["name=tiny", corpus, f"out={folder / 'codec'}", "steps=4", *TINY_CODEC])
    vocoder = [f"out={folder / 'vocoder'}", "steps=4", "own_pitch_from=1", "adversarial.start=2"]
    train_vocoder.run(
        None, [corpus, *vocoder, f"codecs=[{folder / 'codec' / 'final'}]", *TINY_VOCODER]
    )
    (folder / "codec" / "vocoder").symlink_to(folder / "vocoder" / "final")
    prepared = [f"manifest={CLIPS}", f"codec={folder / 'codec' / 'final'}", "shard=4"]
    prepare.run(None, [*prepared, f"out={folder / 'data'}", "align_steps=20"])
    train_tts.run(
        None,
        ["name=tiny-tts", f"data={folder / 'data'}", f"out={folder / 'tts'}", "steps=3", *TINY_TTS],
    )
    return folder


@pytest.fixture
def codec(runs):
    from codeclm import load_codec

    return load_codec(runs / "codec" / "final")


@pytest.fixture
def tts(runs, codec):
    from codeclm.tts.generate import load_tts

    return load_tts(runs / "tts" / "final", codec=runs / "codec" / "final")
