"""`prep check` finds every fault of every line, and `--fix` mends what can be mended."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from codeclm import cli
from codeclm.corpus import read_manifest
from codeclm.data_prep.check import check, mend, render

RATE = 16_000
RNG = np.random.default_rng(0)
SECONDS = 1.5
# As loud and soft as speech: syllables of noise, four a second.
SPEECH = np.concatenate([RNG.normal(0, 0.1 * (i % 2) + 1e-4, RATE // 8) for i in range(12)])
GOOD = {"text": "The birch canoe slid.", "speaker": "anna"}


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """A good line, and one line of every fault."""
    for name, wav in {
        "good": SPEECH,
        "silent": np.zeros(RATE),
        "clipped": np.clip(20 * SPEECH, -1, 1),
        "noise": RNG.normal(0, 0.1, RATE),
        "long": np.zeros(121 * 400),
        "blip": SPEECH[:100],
    }.items():
        soundfile.write(tmp_path / f"{name}.wav", wav, 400 if name == "long" else RATE)
    (tmp_path / "zero.wav").touch()
    (tmp_path / "broken.wav").write_bytes(b"RIFF....WAVE")
    rows = [
        {"audio": "good.wav", **GOOD},
        {"audio": "gone.wav", **GOOD},
        {"audio": "zero.wav", **GOOD},
        {"audio": "broken.wav", **GOOD},
        {"id": "a", "audio": "good.wav", **GOOD, "text": " "},
        {"id": "b", "audio": "good.wav", **GOOD, "duration": 3},
        {"id": "c", "audio": "good.wav", **GOOD, "duration": "long"},
        {"id": "good", "audio": "good.wav", **GOOD},
        {"id": "d", "audio": "good.wav", **GOOD, "text": "สวัสดีครับ"},
        {"id": "e", "audio": "good.wav", **GOOD, "text": "Fast! " * 20},
        {"audio": "clipped.wav", **GOOD},
        {"audio": "silent.wav", **GOOD},
        {"audio": "noise.wav", **GOOD, "text": "Noise all over."},
        {"audio": "long.wav", **GOOD},
        {"audio": "blip.wav", **GOOD},
        {"id": "f", "audio": "good.wav", **GOOD, "split": "unseen"},
        {"id": "g", "audio": "good.wav", **GOOD, "speaker": "bo", "split": "unseen"},
    ]
    path = tmp_path / "manifest.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\nno json\n")
    return path


def test_every_fault_is_found_by_line(bad: Path) -> None:
    report = check(bad)
    assert [(f.line, f.kind) for f in sorted(report.findings, key=lambda f: f.line)] == [
        (2, "missing file"), (3, "unreadable"), (4, "unreadable"), (5, "no text"),
        (6, "wrong duration"), (7, "wrong duration"), (8, "duplicate id"), (9, "text not covered"),
        (10, "speaking rate"), (11, "clipping"), (12, "silence"), (13, "noise"), (14, "too long"),
        (15, "too short"), (16, "speaker in train and unseen"), (18, "bad line"),
    ]  # fmt: skip
    assert report.lines == 18
    assert report.bad_seconds["speaker in train and unseen"] == pytest.approx(SECONDS, abs=1e-3)
    assert f"{bad}:8: good: 'good' stands already on line 1" in render(report)
    assert "Thai letters 'สวัสดีครับ' are not read" in render(report)


def test_what_can_be_mended_is_and_nothing_is_lost_silently(bad: Path) -> None:
    before = bad.read_bytes()
    report, out = check(bad), bad.parent / "fixed" / "fixed.jsonl"
    mend(report, out)
    assert bad.read_bytes() == before
    mended = read_manifest(out)
    assert [u.id for u in mended] == ["good", "b", "c", "good-2", "f", "g"]
    assert [u.duration for u in mended] == [None, SECONDS, SECONDS, None, None, None]
    assert [u.split for u in mended] == ["train"] * 4 + ["test", "unseen"]
    assert check(out).findings == []
    listed = json.loads((out.parent / "fixed.report.json").read_text())
    assert listed["lines"] == len(mended) + len(
        {f["line"] for f in listed["findings"] if not listed["problems"][f["kind"]]["mended"]}
    )
    assert listed["problems"]["unreadable"]["count"] == 2
    with pytest.raises(ValueError, match="is there already"):
        mend(report, out)
    with pytest.raises(ValueError, match="end its name in"):
        mend(report, out.with_suffix(".csv"))


def test_scripts_that_a_tokenizer_covers(bad: Path, runs: Path) -> None:
    def covered(tokenizer: str) -> bool:
        return "text not covered" not in {f.kind for f in check(bad, tokenizer).findings}

    assert covered("bytes")
    assert not covered(str(runs / "data" / "tokenizer.json"))
    with pytest.raises(ValueError, match="tokenizer 'runes'"):
        check(bad, "runes")
    with pytest.raises(ValueError, match="is no tokenizer"):
        check(bad, str(bad))


@pytest.mark.parametrize(
    ("text", "language", "covered"),
    [
        ("мой объект", "ru", True), ("नमस्ते दुनिया, hello", "hi", True), ("你好", "cmn", True),
        ("WWW", "en", True), ("하나", "ko", True), ("漢字です", "ja", False), ("ஒன்று", "ta", True),
        ("Hello 你好", "en", False), ("ꦗꦮ word", "en", False), ("hello", "zz", False),
    ],
)  # fmt: skip
def test_letters_that_espeak_would_spell(text: str, language: str, covered: bool) -> None:
    from codeclm.data_prep.coverage import coverage

    assert (coverage("phonemes")(text, language) is None) == covered


def test_the_command(bad: Path, clips: Path, capsys, monkeypatch) -> None:
    def run(*args: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["codeclm", "prep", "check", *args])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return stop.value.code or 0, capsys.readouterr().out

    code, out = run(str(bad), "--json", "--fix", str(bad.with_name("fixed.jsonl")))
    assert code == 1
    assert json.loads(out)["problems"]["wrong duration"]["mended"] == "measured"
    assert len(read_manifest(bad.with_name("fixed.jsonl"))) == 6
    code, out = run(str(clips))
    assert code == 0
    assert "0 problem(s)" in out
    assert run(str(bad), "--fix", str(bad))[0] == 2
    assert run("gone.jsonl")[0] == 2
