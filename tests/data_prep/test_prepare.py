"""From clips to training data: complete, resumable, and true to one codec."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from codeclm.corpus import read_audio, read_manifest
from codeclm.data_prep import prepare
from codeclm.data_prep.shards import (
    prepared_codecs,
    read_durations,
    read_header,
    read_prepared,
    read_shard,
)
from codeclm.files import write_tensors
from codeclm.tts import train
from tests.conftest import TINY_TTS


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


def files(folder):
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder): path.read_bytes() for path in found}


def shard(folder, codec, number):
    return folder / "tokens" / codec.spec.name / f"{number:05d}.safetensors"


def test_a_stopped_run_goes_on_and_ends_with_the_same_bytes(codec, settings, tmp_path):
    prepare.run(None, settings)
    before = files(tmp_path)
    stamp = os.stat(shard(tmp_path, codec, 0)).st_mtime_ns
    shard(tmp_path, codec, 2).unlink()
    (tmp_path / "durations" / "24000-960" / "00001.safetensors").unlink()
    (tmp_path / "report.json").unlink()
    with pytest.raises(ValueError, match="no finished corpus"):
        read_prepared(tmp_path)
    prepare.run(None, settings)
    assert os.stat(shard(tmp_path, codec, 0)).st_mtime_ns == stamp
    assert files(tmp_path) == before


def test_a_run_killed_at_any_moment_ends_with_the_same_bytes(settings, tmp_path):
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    prepare.run(None, [*settings, f"out={undisturbed}"])
    again = [sys.executable, Path(__file__).with_name("again.py"), *settings, f"out={disturbed}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(again, env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout.split()[-1]) > 0
    assert files(disturbed) == files(undisturbed)


def test_codes_of_another_codec_are_refused(codec, settings, tmp_path):
    prepare.run(None, settings)
    spec, _, _ = read_shard(shard(tmp_path, codec, 0))
    with pytest.raises(ValueError, match="not of 0123456789abcdef"):
        read_shard(shard(tmp_path, codec, 0), fingerprint="0123456789abcdef")
    assert spec.fingerprint == codec.spec.fingerprint


def test_several_codecs_stand_side_by_side(codec, settings, tmp_path, runs):
    """One added later takes the texts and, its frames lying at the same times, their durations."""
    prepare.run(None, settings)
    alone, before = read_prepared(tmp_path), files(tmp_path)
    prepare.run(None, [*settings, f"codecs=[house-vae, {runs / 'codec' / 'final'}]"])
    after = files(tmp_path)
    assert before.items() - after.items() == {
        (name, before[name]) for name in map(Path, ("report.json", "report.html"))
    }
    assert set(prepared_codecs(tmp_path)) == {codec.spec.name, "house-vae"}
    with pytest.raises(ValueError, match=r"holds the tokens of tiny, house-vae: say which with"):
        read_prepared(tmp_path)
    with pytest.raises(ValueError, match="no tokens of 'house-rvq', only of tiny, house-vae"):
        read_prepared(tmp_path, "house-rvq")
    codes, latents = (read_prepared(tmp_path, name) for name in (codec.spec.name, "house-vae"))
    assert codes.scale is None
    assert latents.scale is not None
    for item, old, other in zip(codes.items, alone.items, latents.items, strict=True):
        assert torch.equal(item.tokens, old.tokens)
        assert item.tokens.shape[1] == other.tokens.shape[1]
        assert (item.ids, item.durations) == (other.ids, other.durations)
    made = ["name=t", f"data={tmp_path}", f"out={tmp_path / 'tts'}", "steps=1", *TINY_TTS]
    with pytest.raises(ValueError, match="say which with `tokens`"):
        train.run(None, made)
    train.run(None, [*made, f"tokens={codec.spec.name}"])


def test_a_codec_with_other_weights_is_refused(settings, runs, tmp_path):
    prepare.run(None, settings)
    shutil.copytree(runs / "codec", tmp_path / "codec", symlinks=False)
    weights = tmp_path / "codec" / "final" / "weights.safetensors"
    tensors = load_file(weights)
    changed = {name: tensor + 1e-3 for name, tensor in tensors.items()}
    save_file(changed, weights)
    with pytest.raises(ValueError, match=r"holds tokens of tiny \w+, not of"):
        prepare.run(None, [*settings, f"codec={tmp_path / 'codec' / 'final'}"])


def test_tokens_of_two_precisions_do_not_mix(codec, settings, tmp_path):
    prepare.run(None, [*settings, "precision=bf16"])
    assert read_header(shard(tmp_path, codec, 0)).precision == "bf16"
    with pytest.raises(ValueError, match=r"was made with precision=bf16, not fp32"):
        prepare.run(None, settings)


def test_two_codecs_of_one_name_are_refused(settings, runs):
    with pytest.raises(ValueError, match="both called tiny"):
        prepare.run(None, [*settings, f"codecs=[{runs}/codec/final, {runs}/codec/../codec/final]"])


def test_a_folder_of_an_earlier_version_is_read(settings, codec, tmp_path):
    prepare.run(None, settings)
    new = read_prepared(tmp_path)
    durations = sorted((tmp_path / "durations" / "24000-960").glob("*.safetensors"))
    flat = torch.cat([read_durations(path) for path in durations])
    write_tensors(tmp_path / "durations.safetensors", {"durations": flat}, {})
    (tmp_path / "tokens" / codec.spec.name).rename(tmp_path / "codes")
    (tmp_path / "report.json").write_text("{}")
    old = read_prepared(tmp_path, codec.spec.name)
    assert [item.durations for item in old.items] == [item.durations for item in new.items]
    assert all(torch.equal(a.tokens, b.tokens) for a, b in zip(old.items, new.items, strict=True))
    with pytest.raises(ValueError, match="by an earlier version"):
        prepare.run(None, settings)


def test_the_report_counts_what_there_is(settings, tmp_path, clips):
    prepare.run(None, settings)
    report = json.loads((tmp_path / "report.json").read_text())
    prepared = read_prepared(tmp_path)
    frames = sum(item.tokens.shape[1] for item in prepared.items)
    assert report["utterances"] == len(prepared.items)
    assert report["hours"] == pytest.approx(frames / 25 / 3600, abs=1e-3)
    assert report["speakers"] == len({item.speaker for item in prepared.items})
    assert sum(report["seconds_histogram"]) == len(prepared.items)
    assert report["splits"]["train"]["utterances"] == sum(
        item.split == "train" for item in prepared.items
    )
    first = torch.cat([item.tokens[0] for item in prepared.items])
    (use, *_) = report["codecs"][prepared.spec.name]["streams"]
    assert use["used"] == pytest.approx(len(first.unique()) / use["size"], abs=1e-4)
    assert sum(use["histogram"]) == pytest.approx(1, abs=1e-3)
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") == 1 + len(prepared.spec.streams)
    assert "http" not in page


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
    durations = tmp_path / "durations" / "24000-960" / "00000.safetensors"
    stamp, report = os.stat(durations).st_mtime_ns, (tmp_path / "report.json").read_bytes()
    prepare.run(None, settings)
    assert os.stat(durations).st_mtime_ns == stamp
    assert (tmp_path / "report.json").read_bytes() == report
    prepare.run(None, [*settings, "align_steps=3"])
    assert os.stat(durations).st_mtime_ns != stamp


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
