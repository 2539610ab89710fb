"""`codeclm codec probe` from end to end: untrained codecs, a few clips, judges that are quick."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from codeclm import files
from codeclm.codec_study import codec_probe, probe_bench, samples
from codeclm.codec_study.probe_bench import Plan
from codeclm.corpus import read_manifest
from codeclm.data_prep import shards
from codeclm.data_prep.text import Phonemes, ipa_units


@pytest.fixture
def codecs(untrained: Callable[[int], list[str]]) -> list[str]:
    return untrained(3)


@pytest.fixture
def alignment(tmp_path: Path, clips: Path) -> Path:
    """The clips as `codeclm prep` leaves them, with all tokens of one length."""
    folder = tmp_path / "data"
    (folder / "codes").mkdir(parents=True)
    manifest = [json.loads(line) for line in clips.read_text("utf-8").splitlines()]
    tokenizer = Phonemes.build(row["phonemes"] for row in manifest)
    rows, lasts, codes = [], [], []
    for row in manifest:
        ids = [1] + [tokenizer.tokens.index(unit) for unit in ipa_units(row["phonemes"])]
        rows.append({key: row[key] for key in ("id", "speaker", "split")} | {"ids": ids})
        lasts += [2] * len(ids)
        codes.append(torch.zeros(1, 2 * len(ids), dtype=torch.int64))
    stream = shards.CodecSpec("old", "fsq", 24000, 960, (), True, 0, "0" * 16)
    shards.write_shard(folder / "codes/0.safetensors", [r["id"] for r in rows], codes, stream)
    durations = {"durations": torch.tensor(lasts, dtype=torch.int16)}
    files.write_tensors(folder / "durations.safetensors", durations, {})
    (folder / "text.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer.state()), "utf-8")
    (folder / "report.json").write_text("{}")
    return folder


@pytest.fixture
def judges(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Judges that take no time; the recognizer counts what it hears."""
    pytest.importorskip("jiwer")
    pytest.importorskip("pesq")
    heard: list[int] = []

    def transcribe(wav: np.ndarray, language: str) -> str:
        heard.append(len(wav))
        return "some words"

    listener = SimpleNamespace(version="stand-in", transcribe=transcribe)
    monkeypatch.setattr(probe_bench.asr, "load_asr", lambda name: listener)
    monkeypatch.setattr(codec_probe.speaker, "embed", lambda wav: np.abs(wav[:256]) + 1)
    monkeypatch.setattr(codec_probe.pitch, "track", lambda wav: np.abs(wav[::256]).astype(float))
    probe_bench.original.cache_clear()
    return heard


def test_all_parts_resumed(
    codecs: list[str], clips: Path, alignment: Path, judges: list[int], tmp_path: Path
) -> None:
    plan = Plan(codecs[0], clips, tmp_path / "out", items=2, swaps=1, alignment=alignment)
    page = codec_probe.run(plan)
    rows = (plan.out / "items.csv").read_text("utf-8")
    assert len(rows.splitlines()) == 1 + 2 * 4 + 4 + 3  # none and 3 streams; 0, 1, 2, 3 of A; 3
    assert len(judges) == 12
    noise, swapped, linear = json.loads((plan.out / "summary.json").read_text("utf-8"))[
        "tables"
    ].values()
    assert list(noise) == ["none", "0", "1", "2"]
    assert noise["none"]["items"] == 2
    assert all(1 <= cells["PESQ-WB"]["value"] <= 4.65 for cells in noise.values())
    assert list(swapped) == ["0 of 3", "1 of 3", "2 of 3", "3 of 3"]
    assert list(linear) == ["0", "1", "2"]
    assert 0 < linear["0"]["accuracy, %"]["value"] < 100
    assert codec_probe.run(plan) == page
    assert (plan.out / "items.csv").read_text("utf-8") == rows
    assert len(judges) == 12
    with pytest.raises(ValueError, match=r"results of another run \(codec differ\)"):
        codec_probe.run(Plan(codecs[1], clips, plan.out, items=1))


def test_latents_by_groups_of_dimensions(
    codecs: list[str], clips: Path, judges: list[int], tmp_path: Path
) -> None:
    plan = Plan(codecs[1], clips, tmp_path / "out", items=1, swaps=0)
    codec_probe.run(plan)
    tables = json.loads((plan.out / "summary.json").read_text("utf-8"))["tables"]
    (noise,) = tables.values()
    assert list(noise) == ["none", "dims 1-1", "dims 2-2", "dims 3-3", "dims 4-4"]


def test_swaps_at_both_ends_are_the_recordings_themselves(
    codecs: list[str], clips: Path, judges: list[int], tmp_path: Path
) -> None:
    bench = probe_bench.Bench(Plan(codecs[0], clips, tmp_path / "out", items=4))
    a, b = codec_probe.pairs_of(bench.chosen)[0]
    assert a.speaker != b.speaker
    seconds = [samples.seconds_of(u) for u in (a, b)]
    assert abs(seconds[0] - seconds[1]) < 1.5
    none, both = (codec_probe.swapped(bench, a, b, cut) for cut in (0, 3))
    assert none["similarity_b"] > none["similarity"] - 1
    frames = min(bench.matrix(a).shape[1], bench.matrix(b).shape[1])
    alone = bench.heard(bench.matrix(a)[:, :frames])
    voice = codec_probe.speaker.cosine(codec_probe.speaker.embed(alone), probe_bench.original(a)[1])
    assert both["similarity"] == pytest.approx(voice)
    assert (none["words"], none["words_b"]) == (both["words"], both["words_b"])


def test_pairs_are_of_two_speakers_and_used_once(clips: Path) -> None:
    pairs = codec_probe.pairs_of(read_manifest(clips))
    used = [u.id for pair in pairs for u in pair]
    assert len(used) == len(set(used))
    assert pairs
    assert all(a.speaker != b.speaker and a.text != b.text for a, b in pairs)


def test_an_alignment_of_another_corpus(
    codecs: list[str], clips: Path, alignment: Path, judges: list[int], tmp_path: Path
) -> None:
    rows = [json.loads(line) for line in clips.read_text("utf-8").splitlines()]
    other = tmp_path / "other.jsonl"
    text = [
        json.dumps(r | {"id": "x" + r["id"], "audio": str(clips.parent / r["audio"])}) for r in rows
    ]
    other.write_text("\n".join(text), "utf-8")
    plan = Plan(codecs[0], other, tmp_path / "out", items=1, swaps=0, alignment=alignment)
    with pytest.raises(ValueError, match="no aligned frames to learn from"):
        codec_probe.run(plan)
