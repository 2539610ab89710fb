"""A bench from end to end: untrained codecs and Opus, real clips, a stand-in for the recognizer."""

import csv
import html.parser
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from codeclm import audio, checkpoint
from codeclm.codec_study import bench, bench_report, scores, summary, systems
from codeclm.codec_study.measured import Plan
from codeclm.codecs.published import weights
from codeclm.corpus import read_manifest

HINDI, URDU = "भारत एक बड़ा देश है", "بھارت ایک بڑا دیش ہے"


class Heard:
    """Writes Hindi in the script of Urdu, repeats itself in Telugu."""

    version = "a stand-in"

    def __init__(self, name: str) -> None:
        self.asked: list[str] = []

    def transcribe(self, wav: NDArray[np.float32], language: str) -> str:
        self.asked.append(language)
        return {"hi": URDU, "te": "na na na na na na"}.get(language, "the birch canoe slid")


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jiwer")
    monkeypatch.setattr(bench, "_load_asr", Heard)
    monkeypatch.setattr(scores, "at_hand", lambda: (["pesq_wb", "mel_db"], ["pystoi"]))
    told = scores.MEASURES["pesq_wb"]._replace(take=lambda a, b: 2.0)
    monkeypatch.setitem(scores.MEASURES, "pesq_wb", told)

    def refuse(name: str, wanted: list[str], missing: str, remedy: str) -> Path:
        raise ValueError(missing)

    monkeypatch.setattr(checkpoint, "download", refuse)
    monkeypatch.setattr(weights, "cached", lambda *_: None)


@pytest.fixture
def codecs(untrained: Callable[[int], list[str]]) -> list[str]:
    return untrained(2)


@pytest.fixture
def sets(tmp_path: Path, clips: Path) -> dict[str, Path]:
    """Real clips in English, and the same kind of sound under Hindi and Telugu texts."""
    rows = []
    for i, (language, text) in enumerate([("hi", HINDI), ("hi", HINDI), ("te", "నేను బడికి వెళ్తాను")]):
        wav = audio.read(read_manifest(clips)[i].audio, 16_000)
        audio.write(tmp_path / f"{i}.wav", wav[:, :24_000], 16_000)
        rows.append(
            {"audio": f"{i}.wav", "text": text, "speaker": "s", "language": language, "split": "x"}
        )
    other = tmp_path / "indic.jsonl"
    other.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return {"clips": clips, "indic": other}


def test_a_bench_resumed_and_reported(
    codecs: list[str], sets: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summary, "FEWEST", 1)
    names = (*codecs, "opus-6k", "snac-24k")
    out, residual = tmp_path / "out", codecs[0]
    plan = Plan(names, sets, out, {"clips": 1}, streams=(1, 2), command="codeclm codec bench")
    found = bench.run(plan)
    assert found.order == [residual, f"{residual}:1", codecs[1], "opus-6k", "snac-24k"]
    assert found.absent == {"snac-24k": "the weights of snac-24k are not here"}
    first = (out / "items.csv").read_text("utf-8")
    rows = list(csv.DictReader(first.splitlines()))
    assert len(rows) == (1 + 3) * 5 + 2  # and how two codecs use their tokens

    # An interrupted run goes on, and more items are added to those that are there.
    (out / "items.csv").write_text(first[: first.rindex(",opus-6k,")], "utf-8")
    assert bench.run(plan).rows.keys() == found.rows.keys()
    more = bench.run(Plan(names, sets, out, {"clips": 2}, streams=(1, 2)))
    assert more.rows.keys() > found.rows.keys()
    with pytest.raises(ValueError, match=r"another run \(seed differ\)"):
        bench.run(Plan(names, sets, out, seed=1))

    report = bench_report.write(found)
    tables = report["tables"]
    assert tables["What was compared"]["snac-24k"] == {"family": None}
    assert tables["Sound: all sets"]["opus-6k"]["bandwidth, kHz"]["value"] < 5  # kHz
    assert tables["What was compared"][f"{residual}:1"]["bit/s"] == 125
    assert tables["What was compared"][residual]["a code each"] == 500
    assert 1 <= tables["Perplexity, by codebook"][residual]["0"] <= 32
    trust = tables["Can the recognizer be believed?"]
    assert trust["indic, hi"]["counted"] == ["phonemes"]
    assert trust["indic, te"]["counted"] == []
    assert "wrong script in 2 of 2" in trust["indic, hi"]["why not"]
    words = tables["Words and melody: indic"][residual]
    assert "WER, %" not in words
    assert words["phoneme errors, %"]["value"] == 0  # the same sounds in another script
    vowels = tables["Phoneme errors by class, %: indic, hi"][residual]["long vowel (10)"]
    assert vowels["items"] == 2
    points = {point["name"]: point for point in report["charts"]["clips: PESQ-WB"]}
    assert points[codecs[1]]["x"] is None
    assert "clips: WER, %" not in report["charts"]  # the stand-in says nothing of what was said
    assert (out / "report.md").read_text("utf-8").count("weights not present") >= 2
    check_page((out / "report.html").read_text("utf-8"), sounds=4 * 3)


def check_page(page: str, sounds: int) -> None:
    """It is whole, needs nothing from elsewhere, and has all sounds."""

    class Tags(html.parser.HTMLParser):
        sources: list[str]

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.sources += [str(v) for k, v in attrs if k in ("src", "href")]
            assert tag not in ("script", "link")

    tags = Tags()
    tags.sources = []
    tags.feed(page)
    assert all(source.startswith("data:") for source in tags.sources)
    assert sum(source.startswith("data:audio/ogg") for source in tags.sources) == sounds
    assert "prefers-color-scheme" in page
    assert 'name="viewport"' in page
    assert page.count("<svg") == page.count("</svg>") >= 2
    assert not re.search(r"nan|inf\b", "".join(re.findall(r'd="[^"]*"', page)))


def test_selection_is_by_language_split_and_seed(clips: Path, tmp_path: Path) -> None:
    plan = Plan((), {"clips": clips}, tmp_path, {"": 1}, splits=("train",))
    (chosen,) = bench.choose(plan)["clips"]
    assert chosen.split == "train"
    usual = bench.choose(Plan((), {"clips": clips}, tmp_path))["clips"]
    assert {u.split for u in usual} <= {"test", "unseen"}
    with pytest.raises(ValueError, match=r"has no split none \(it has .*train"):
        bench.choose(Plan((), {"clips": clips}, tmp_path, splits=("none",)))


def test_first_codebooks_of_residual_codecs_alone(codecs: list[str]) -> None:
    assert systems.names(["house-fsq", "house-rvq", "snac-24k", "encodec-24k"], [1, 4, 8]) == [
        "house-fsq", *("house-rvq", "house-rvq:1", "house-rvq:4"), "snac-24k",
        *("encodec-24k", "encodec-24k:1", "encodec-24k:4"),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="named twice: house-rvq"):
        systems.names(["house-rvq", "house-rvq"], [])
    wav = torch.randn(1, 4800) / 10
    whole, part = systems.load(codecs[0]).through(wav), systems.load(f"{codecs[0]}:1").through(wav)
    assert whole.tokens is not None
    assert part.tokens is not None
    assert torch.equal(whole.tokens[:1], part.tokens)
    assert part.wav.shape == wav.shape
    assert not torch.equal(whole.wav, part.wav)
    with pytest.raises(ValueError, match="has 2 codebooks"):
        systems.load(f"{codecs[0]}:3")
    with pytest.raises(ValueError, match="no model"):
        systems.load("none-such")


def test_opus_counts_its_bits() -> None:
    wav = torch.randn(1, 24_000) / 10
    passed = systems.load("opus-12k").through(wav)
    assert passed.wav.shape == wav.shape
    assert passed.bits is not None
    assert 6_000 < passed.bits < 24_000
    assert passed.tokens is None
