"""The listening test: the page, its anchor, and the scores of answers."""

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from codeclm import audio
from codeclm.codec_study import listen_page, listen_score
from codeclm.codec_study.listen_page import ANCHOR, REFERENCE
from codeclm.codec_study.minimal_pairs import LIST


def test_the_anchor_is_that_of_the_standard() -> None:
    for rate in (24_000, 44_100):
        click = torch.zeros(1, rate)
        click[0, rate // 2] = 1
        response = np.abs(np.fft.rfft(listen_page.anchor(click, rate)[0].numpy()))  # 1 Hz each
        decibels = 20 * np.log10(response + 1e-12)
        assert np.abs(decibels[:3_500]).max() < 0.1
        assert decibels[4_000:].max() < -25
        assert decibels[4_500:].max() < -50


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """Two words by two voices."""
    rows = []
    for voice in ("anna", "bo"):
        for word in ("ताल", "टाल"):
            name = f"{voice}-{word}.wav"
            audio.write(tmp_path / name, 0.1 * torch.randn(1, 6000), 24_000)
            rows.append({"audio": name, "text": word, "speaker": voice, "language": "hi"})
    manifest = tmp_path / "words.jsonl"
    manifest.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    return manifest


def test_the_page_holds_all_it_needs(clips: Path, words: Path) -> None:
    wanted = (("opus-6k", "opus-24k"), clips, 2, words, LIST, 4)
    page = listen_page.build(*wanted, seed=1)
    assert not re.findall(r"(?:src|href)=|https?:|@import|url\(", page)
    found = re.search(r'type="application/json">(.*?)</script>', page, re.DOTALL)
    assert found
    test: dict[str, Any] = json.loads(found[1])
    assert len(test["items"]) == 2
    for item in test["items"]:
        assert [s["system"] for s in item["sounds"]] == [REFERENCE, ANCHOR, "opus-6k", "opus-24k"]
        assert "data" not in item["sounds"][0]
        sounds = [item["reference"], *(s["data"] for s in item["sounds"][1:])]
        lengths = {soundfile.info(io.BytesIO(base64.b64decode(s))).frames for s in sounds}
        assert len(lengths) == 1
        assert len(set(sounds)) == 4
    assert [trial["system"] for trial in test["abx"]] == ["recordings", "opus-6k", "opus-24k"]
    assert {trial["id"] for trial in test["abx"]} == {"ताल टाल"}
    assert test["abx"][0]["contrast"] == "hi: dental or retroflex"
    assert listen_page.build(*wanted, seed=1) == page


def answers(folder: Path, listener: str, rows: list[tuple[str, str, str, int]]) -> Path:
    path = folder / f"{listener}.csv"
    lines = [",".join(listen_score.COLUMNS)]
    lines += [
        f"{listener},{kind},{item},{system},{value},about,3" for kind, item, system, value in rows
    ]
    path.write_text("\n".join([*lines, ""]), "utf-8")
    return path


def test_scores(tmp_path: Path) -> None:
    good = [("mushra", str(n), REFERENCE, 100) for n in range(6)] + [("mushra", "6", REFERENCE, 80)]
    good += [("mushra", str(n), "a", 60 + 10 * (n % 2)) for n in range(6)]
    good += [("abx", str(n), "a", int(n < 8)) for n in range(10)]
    deaf = [("mushra", str(n), REFERENCE, 100 if n else 89) for n in range(6)]
    deaf += [("mushra", "0", "a", 0)]
    files = [answers(tmp_path, "asha", good), answers(tmp_path, "ravi", deaf)]
    rows = listen_score.read_answers(files)
    assert listen_score.refused(rows) == {"ravi": pytest.approx(1 / 6)}  # asha: 1 of 7 is 14 %
    mushra, abx, out = (table.to_dict() for table in listen_score.tables(rows))
    assert list(mushra) == [REFERENCE, "a"]
    assert mushra["a"]["score"]["value"] == 65
    assert 60 < mushra["a"]["score"]["low"] < 65 < mushra["a"]["score"]["high"] < 70
    assert mushra["a"]["ratings"] == 6
    assert abx["a"]["all"] == abx["a"]["about"]
    assert abx["a"]["all"]["value"] == pytest.approx(80)
    assert list(out) == ["ravi"]


def test_a_preference_is_counted_from_both_sides(tmp_path: Path) -> None:
    rows = [("ab", str(n), "x", int(n < 8)) for n in range(10)]
    found = listen_score.tables(listen_score.read_answers([answers(tmp_path, "asha", rows)]))
    preferred = found[0].to_dict()
    assert found[0].title.startswith("A/B, % preferred")
    assert preferred["x"]["about"]["value"] == pytest.approx(80)
    assert preferred["about"]["x"]["value"] == pytest.approx(20)
    assert preferred["x"]["all others"] == preferred["x"]["about"]


def test_the_interval_of_a_proportion() -> None:
    found = listen_score.wilson(8, 10)  # Brown, Cai and DasGupta 2001 give [0.490, 0.943]
    assert (found.low, found.high) == (
        pytest.approx(0.4902, abs=1e-4),
        pytest.approx(0.9433, abs=1e-4),
    )
    assert listen_score.wilson(0, 5).low == 0
    assert listen_score.wilson(5, 5).high == pytest.approx(1)


def test_answers_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file"):
        listen_score.read_answers([tmp_path / "gone.csv"])
    bad = answers(tmp_path, "x", [("mushra", "1", "a", 101)])
    with pytest.raises(ValueError, match=r"line 2: mushra '101' is no answer"):
        listen_score.read_answers([bad])
    good = answers(tmp_path, "y", [("mushra", "1", "a", 100)])
    copy = tmp_path / "z.csv"
    copy.write_text(good.read_text("utf-8"), "utf-8")
    with pytest.raises(ValueError, match="are both by 'y'"):
        listen_score.read_answers([good, copy])
    copy.write_text("a,b\n1,2\n", "utf-8")
    with pytest.raises(ValueError, match="holds no answers"):
        listen_score.read_answers([copy])
