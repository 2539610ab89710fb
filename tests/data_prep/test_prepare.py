"""From clips to training data: complete, resumable, and true to one codec."""

import json
import os

import pytest
import torch

from codeclm import load_codec
from codeclm.corpus import read_audio, read_manifest
from codeclm.data_prep import prepare
from codeclm.data_prep.shards import read_prepared, read_shard


@pytest.fixture
def settings(runs, tmp_path, clips):
    return [
        f"manifest={clips}",
        f"codec={runs / 'codec' / 'final'}",
        f"out={tmp_path}",
        "shard=4",
        "align_steps=2",
    ]


def test_every_utterance_arrives_whole(runs, codec, clips):
    prepared = read_prepared(runs / "data")
    utterances = read_manifest(clips)
    assert [item.id for item in prepared.items] == [u.id for u in utterances]
    assert prepared.spec == codec.spec
    for item, utterance in zip(prepared.items, utterances, strict=True):
        codes = codec.encode(read_audio(utterance, 24_000)[None])[0]
        assert torch.equal(item.tokens.long(), codes)
        assert sum(item.durations) == codes.shape[1]
        assert min(item.durations) >= 1
        assert len(item.ids) == len(item.durations)
        assert (item.speaker, item.split) == (utterance.speaker, utterance.split)


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(runs, settings, tmp_path):
    prepare.run(None, settings)
    before = {p.name: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    stamp = os.stat(tmp_path / "codes" / "00000.safetensors").st_mtime_ns
    (tmp_path / "codes" / "00002.safetensors").unlink()
    (tmp_path / "report.json").unlink()
    with pytest.raises(ValueError, match="no finished corpus"):
        read_prepared(tmp_path)
    prepare.run(None, settings)
    assert os.stat(tmp_path / "codes" / "00000.safetensors").st_mtime_ns == stamp
    assert {p.name: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_codes_of_another_codec_are_refused(runs, settings, tmp_path):
    prepare.run(None, settings)
    spec, _, _ = read_shard(tmp_path / "codes" / "00000.safetensors")
    with pytest.raises(ValueError, match="not of 0123456789abcdef"):
        read_shard(tmp_path / "codes" / "00000.safetensors", fingerprint="0123456789abcdef")
    assert spec.fingerprint == load_codec(runs / "codec" / "final").spec.fingerprint


@pytest.mark.parametrize("tokenizer", ["bytes", "sentencepiece"])
def test_other_tokenizers_go_the_same_way(settings, tmp_path, tokenizer):
    prepare.run(None, [*settings, f"tokenizer={tokenizer}", "vocabulary=300"])
    prepared = read_prepared(tmp_path)
    assert all(len(item.ids) > 3 for item in prepared.items)
    assert prepared.tokenizer.state()["kind"] == tokenizer


def test_an_unknown_tokenizer_is_named(settings):
    with pytest.raises(ValueError, match="tokenizer 'runes'"):
        prepare.run(None, [*settings, "tokenizer=runes"])


def test_a_speaker_in_train_and_unseen_is_refused(runs, settings, clips):
    rows = [json.loads(line) for line in clips.read_text().splitlines()]
    rows[-1]["speaker"] = rows[0]["speaker"]
    leaking = clips.with_name("leaking.jsonl")
    leaking.write_text("\n".join(map(json.dumps, rows)))
    try:
        with pytest.raises(ValueError, match="must not be trained on"):
            prepare.run(None, [*settings, f"manifest={leaking}"])
    finally:
        leaking.unlink()


def test_a_second_run_leaves_everything_as_it_is(settings, tmp_path):
    prepare.run(None, settings)
    stamp = os.stat(tmp_path / "durations.safetensors").st_mtime_ns
    prepare.run(None, settings)
    assert os.stat(tmp_path / "durations.safetensors").st_mtime_ns == stamp
    prepare.run(None, [*settings, "align_steps=3"])
    assert os.stat(tmp_path / "durations.safetensors").st_mtime_ns != stamp


def test_codes_of_other_utterances_are_refused(settings, clips):
    prepare.run(None, settings)
    rows = clips.read_text().splitlines()
    shorter = clips.with_name("shorter.jsonl")
    shorter.write_text("\n".join(rows[1:]))
    try:
        with pytest.raises(ValueError, match="holds other utterances than the manifest"):
            prepare.run(None, [*settings, f"manifest={shorter}"])
    finally:
        shorter.unlink()
