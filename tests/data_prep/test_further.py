"""Data for training a finished model further: its tokenizer, its codec, its aligner."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from codeclm.checkpoint import ALIGNER
from codeclm.data_prep import prepare
from codeclm.data_prep.align import train_aligner
from codeclm.data_prep.durations import header
from codeclm.data_prep.further import Further
from codeclm.data_prep.shards import read_prepared
from codeclm.files import write_tensors
from codeclm.tts import train
from tests.conftest import TINY_TTS


@pytest.fixture
def one_voice(clips, tmp_path):
    """A corpus of fewer sounds than the one the model was trained on."""
    rows = [json.loads(line) for line in clips.read_text("utf-8").splitlines()][:3]
    for row, split in zip(rows, ("train", "train", "dev"), strict=True):
        row |= {"audio": str(clips.parent / row["audio"]), "split": split, "speaker": "me"}
    manifest = tmp_path / "me.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return manifest


@pytest.fixture
def settings(runs, one_voice, tmp_path):
    codec, out = runs / "codec" / "final", tmp_path / "data"
    return [f"manifest={one_voice}", f"codec={codec}", f"out={out}", "align_steps=2"]


def test_a_model_is_trained_further_on_data_made_for_it(runs, settings, tmp_path):
    model = runs / "tts" / "final"
    data = prepare.run(None, [*settings, f"model={model}"])
    before, prepared = read_prepared(runs / "data"), read_prepared(data)
    assert prepared.tokenizer.state() == before.tokenizer.state()
    assert prepared.spec == before.spec
    again = [f"data={data}", f"out={tmp_path / 'tts'}", f"init={model}", "steps=2", "name=mine"]
    final = train.run(None, [*again, *TINY_TTS])
    assert load_file(final / "weights.safetensors").keys() == (
        load_file(model / "weights.safetensors").keys()
    )


def test_data_made_without_it_have_another_vocabulary(runs, settings, tmp_path):
    data = prepare.run(None, settings)
    again = [f"data={data}", f"out={tmp_path / 'tts'}", f"init={runs / 'tts' / 'final'}"]
    with pytest.raises(ValueError, match="another vocabulary"):
        train.run(None, [*again, "steps=2", "name=mine", *TINY_TTS])


def test_a_model_keeps_the_aligner_of_its_data(runs):
    theirs = next((runs / "data" / "durations").glob("*.aligner.safetensors"))
    own = runs / "tts" / "final" / ALIGNER
    assert header(own) == header(theirs)
    kept = load_file(own)
    for name, tensor in load_file(theirs).items():
        assert torch.equal(kept[name], tensor.half())


def test_an_aligner_of_another_codec_is_not_taken(runs, tmp_path):
    model = shutil.copytree(runs / "tts" / "final", tmp_path / "model")
    path = model / ALIGNER
    assert Further.of(str(model)).aligner == path
    made = header(path)
    made["spec"]["fingerprint"] = "another"
    write_tensors(path, load_file(path), {"made": json.dumps(made)})
    assert Further.of(str(model)).aligner is None


def test_an_aligner_goes_on_from_where_it_was(runs):
    prepared = read_prepared(runs / "data")
    rows = [item.tokens.long() for item in prepared.items]
    ids = [item.ids for item in prepared.items]
    given = (prepared.spec, len(prepared.tokenizer.tokens), rows, ids)
    learnt, reached = train_aligner(*given, steps=20, batch=4)
    _, further = train_aligner(*given, steps=2, batch=4, begin=learnt.state_dict())
    _, fresh = train_aligner(*given, steps=2, batch=4)
    assert further < (reached + fresh) / 2


def test_what_is_no_speech_model_is_refused(runs, settings):
    with pytest.raises(ValueError, match="not a speech model"):
        prepare.run(None, [*settings, f"model={runs / 'codec' / 'final'}"])


def test_a_model_speaks_one_codec(runs, settings):
    with pytest.raises(ValueError, match="leave out `codecs`"):
        prepare.run(
            None, [*settings, f"model={runs / 'tts' / 'final'}", "codecs=[house-fsq, house-vae]"]
        )
