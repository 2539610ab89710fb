"""Sound to tokens: batches equal single sounds, bad sounds are skipped with their reason."""

import json
import shutil

import pytest
import torch

from codeclm import audio, load_codec
from codeclm.codecs import HOUSE
from codeclm.corpus import read_audio, read_manifest
from codeclm.data_prep import prepare
from codeclm.data_prep.encode import batches, encode, read_ahead
from codeclm.data_prep.shards import prepared_codecs, read_prepared


@pytest.mark.parametrize("pad", [True, False])
def test_batches_hold_every_sound_once_and_have_room(pad):
    frames = [5, 90, 7, 5, 30, 6, 5, 31]
    made = list(batches(frames, 40, pad))
    assert sorted(i for batch in made for i in batch) == list(range(8))
    for batch in made:
        lengths = [frames[i] for i in batch]
        assert len(batch) == 1 or len(batch) * max(lengths) <= 40
        assert pad or len(set(lengths)) == 1
    assert list(batches([], 40, pad)) == []


@pytest.mark.parametrize("name", HOUSE)
def test_together_is_one_by_one(name, clips):
    """A code may differ where rounding decides between two: fewer than 1 in 1000."""
    codec = load_codec(name)
    assert codec.paddable
    wavs = [read_audio(u, 24_000) for u in read_manifest(clips)]
    together = encode(codec, wavs, 30.0, "cpu")
    for wav, matrix in zip(wavs, together, strict=True):
        alone = codec.spec.matrix(codec.encode(wav[None]))[0]
        assert matrix.shape == alone.shape
        if codec.spec.latent_dims:
            assert torch.allclose(matrix, alone, atol=1e-4)
        else:
            assert (matrix != alone).float().mean() < 1e-3


def test_bf16_is_near_and_not_the_same(clips):
    codec = load_codec("house-vae")
    wavs = [read_audio(u, 24_000) for u in read_manifest(clips)[:3]]
    exact, low = (encode(codec, wavs, 30.0, "cpu", precision) for precision in ("fp32", "bf16"))
    for a, b in zip(exact, low, strict=True):
        assert 0 < (a - b).square().mean() < 1e-3 * a.square().mean()


def test_sound_comes_in_its_order_and_bad_sound_as_a_reason(clips, tmp_path):
    manifest, _ = damaged(clips, tmp_path)
    utterances = read_manifest(manifest)
    found = [pair for pool in read_ahead(utterances, [16_000, 24_000], 3) for pair in pool]
    assert [utterance for utterance, _ in found] == utterances
    reasons = {u.id: sound for u, sound in found if isinstance(sound, str)}
    assert [reason.partition(":")[0] for reason in reasons.values()] == [
        "unreadable",
        "silence",
        "too short",
    ]
    for utterance, sound in found:
        if not isinstance(sound, str):
            assert torch.equal(sound[16_000], read_audio(utterance, 16_000))


def damaged(clips, folder, bad=3):
    """The clips again, the first of them unreadable, silent, and too short; the bad ids."""
    shutil.copytree(clips.parent, folder, dirs_exist_ok=True)
    rows = [json.loads(line) for line in clips.read_text().splitlines()]
    for i, row in enumerate(rows[:bad]):
        row["audio"] = f"bad{i}.wav"
        audio.write(folder / row["audio"], torch.zeros(2000 if i == 2 else 24_000), 24_000)
    (folder / "bad0.wav").write_bytes(b"RIFF nothing")
    manifest = folder / "damaged.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return manifest, [row["id"] for row in rows[:bad]]


def test_a_bad_utterance_is_skipped_and_told(clips, tmp_path):
    manifest, bad = damaged(clips, tmp_path / "corpus")
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    rows[3] |= {"text": "—", "phonemes": ""}
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = tmp_path / "out"
    given = [f"manifest={manifest}", f"out={out}", "shard=3", "align_steps=1"]
    prepare.run(None, [*given, "codecs=[house-fsq,house-vae]", "tokenizer=bytes"])
    report = json.loads((out / "report.json").read_text())
    assert list(report["skipped"]) == [rows[3]["id"], *bad]
    assert report["utterances"] == len(rows) - 4
    kept = [row["id"] for row in rows[4:]]
    for name in prepared_codecs(out):
        prepared = read_prepared(out, name)
        assert [item.id for item in prepared.items] == kept
        for item in prepared.items:
            assert sum(item.durations) in (0, item.tokens.shape[1])
    assert "silence" in (out / "report.html").read_text()


def test_a_codec_is_not_added_when_the_sound_has_changed(clips, tmp_path):
    manifest, _ = damaged(clips, tmp_path / "corpus", bad=1)
    given = [f"manifest={manifest}", f"out={tmp_path / 'out'}", "tokenizer=bytes", "align_steps=1"]
    prepare.run(None, [*given, "codec=house-fsq"])
    (manifest.parent / "bad0.wav").unlink()
    audio.write(manifest.parent / "bad0.wav", torch.rand(24_000) - 0.5, 24_000)
    with pytest.raises(ValueError, match="are not of the same utterances"):
        prepare.run(None, [*given, "codec=house-vae"])
    assert list(prepared_codecs(tmp_path / "out")) == ["house-fsq"]


def test_a_corpus_that_is_mostly_bad_is_an_error(clips, tmp_path):
    manifest, _ = damaged(clips, tmp_path / "corpus", bad=8)
    given = [f"manifest={manifest}", f"out={tmp_path / 'out'}", "tokenizer=bytes"]
    with pytest.raises(ValueError, match=r"8 of 14 utterances cannot be used \(6 silence, 1 unre"):
        prepare.run(None, [*given, "codec=house-fsq"])


@pytest.mark.parametrize("name", HOUSE)
def test_a_codec_moves_to_a_device_whole(name):
    """A tensor that stayed behind would not go together with those of another device."""
    codec = load_codec(name).to("meta")
    tokens = codec.encode(torch.zeros(2, 1, 30_000, device="meta"))
    assert codec.spec.matrix(tokens).shape == (2, codec.spec.rows, 32)
