"""`codeclm codec minimal-pairs` from end to end, on two tones that anyone can tell apart."""

import json
from pathlib import Path

import pytest
import torch

from codeclm import audio
from codeclm.codec_study import pair_study

RATE = 24_000


@pytest.fixture
def spoken(tmp_path: Path) -> tuple[Path, Path]:
    """A list, and a folder in which two voices say it: low rises, and high rises; same is same."""
    pairs = tmp_path / "pairs.tsv"
    lines = ["language\tcontrast\ta\tb\tipa_a\tipa_b", "xx\tpitch\tlow\thigh\tl\th"]
    lines += ["xx\tnothing\tlow\tsame\tl\ts", "yy\tpitch\tlow\thigh\tl\th"]
    pairs.write_text("\n".join(lines), "utf-8")
    rows, time = [], torch.arange(RATE // 5) / RATE
    for voice, loud in {"anna": 0.2, "bo": 0.5}.items():
        for word, hertz in {"low": 300, "high": 3000, "same": 300}.items():
            wav = loud * torch.sin(2 * torch.pi * hertz * time)
            audio.write(tmp_path / f"{voice}-{word}.wav", wav[None], RATE)
            row = {"id": f"{voice}-{word}", "audio": f"{voice}-{word}.wav", "text": word}
            rows.append(row | {"speaker": voice, "language": "xx"})
    text = "\n".join(json.dumps(row) for row in rows)
    (tmp_path / "manifest.jsonl").write_text(text, "utf-8")
    return pairs, tmp_path


def test_tones_are_told_apart_and_one_from_itself_is_not(
    spoken: tuple[Path, Path], tmp_path: Path
) -> None:
    pairs, folder = spoken
    names = ("house-rvq", "house-vae", "opus-24k")
    out = tmp_path / "out"
    page = pair_study.run(names, pairs, folder, out, sound=True)
    tables = json.loads((out / "summary.json").read_text("utf-8"))["tables"]
    (table,) = tables.values()
    kinds = [
        "recordings", "house-rvq sound", "house-rvq tokens", "house-rvq tokens as symbols",
        "house-rvq codebook 0", "house-rvq codebook 0 as symbols", "house-vae sound",
        "house-vae tokens", "opus-24k sound",
    ]  # fmt: skip
    assert list(table) == kinds
    for kind in ("recordings", "house-vae tokens", "opus-24k sound"):
        assert table[kind]["pitch (1)"]["value"] == 0
        assert table[kind]["nothing (1)"]["value"] == 50
    assert "pairs without recordings: 1" in page
    assert "| recordings | 0 [0, 0] | 50 [50, 50] | 25 [0, 50] |" in page
    rows = (out / "items.csv").read_text("utf-8")
    assert len(rows.splitlines()) == 1 + 2 * len(kinds)
    assert pair_study.run(names, pairs, folder, out, sound=True) == page
    assert (out / "items.csv").read_text("utf-8") == rows
    pairs.rename(tmp_path / "others.tsv")
    with pytest.raises(ValueError, match="another run"):
        pair_study.run(names, tmp_path / "others.tsv", folder, out, True)


def test_words_that_nobody_says(spoken: tuple[Path, Path], tmp_path: Path) -> None:
    pairs, folder = spoken
    pairs.write_text("language\tcontrast\ta\tb\tipa_a\tipa_b\nxx\tx\tone\ttwo\to\tt\n", "utf-8")
    with pytest.raises(ValueError, match="no recordings of both words"):
        pair_study.run(("opus-6k",), pairs, folder, tmp_path / "out", sound=True)
    with pytest.raises(ValueError, match="opus-6k has no tokens: ask for its sound"):
        pair_study.run(("opus-6k",), pairs, folder, tmp_path / "out")
