"""Rules that choose a codec: each on codecs made for it, and all on the real list."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from codeclm.codec_study import pick
from codeclm.codec_study.codec_facts import Candidate, candidates, read_report
from codeclm.codec_study.pick import TASKS, Ask, rank
from codeclm.codecs import HOUSE, PUBLISHED, YARDSTICKS

PLAIN = Candidate(
    "plain", "rvq", 24_000, 25, 200, 2000, 80, 0, made_for=("speech",), measured={"pesq_wb": 2.6}
)


def points(codec: Candidate, ask: Ask) -> float:
    good, _ = rank([codec], ask)
    return good[0].points


def test_steps_take_the_first_grade() -> None:
    assert [pick.steps(x, (13, 3), (25, 2)) for x in (12.5, 13, 25, 26)] == [3, 3, 2, 0]


@pytest.mark.parametrize(
    ("change", "more"),
    [
        ({"frames": 12.5}, 1),
        ({"codes": 100}, 1),
        ({"semantic": True}, 1),
        ({"independent": True}, 1),
        ({"measured": {"pesq_wb": 3.0}}, 1),
        ({"measured": {"pesq_wb": 3.0, "people_pesq_wb": 1.8}}, -2),
        ({"measured": {}}, -1),
        ({"measured": {"pesq_wb": 2.6, "wer_change": 0.4}}, 1),
        ({"hours": 11}, -2),
        ({"hours": 20_000}, 0),
    ],
)
def test_what_counts_for_speech(change: dict[str, object], more: float) -> None:
    ask = Ask("tts")
    assert points(replace(PLAIN, **change), ask) - points(PLAIN, ask) == more


def test_languages_that_were_heard_or_not() -> None:
    ask = Ask("tts", language="hi")
    unknown = points(PLAIN, ask)
    assert points(replace(PLAIN, heard=("many",)), ask) == unknown + 1
    assert points(replace(PLAIN, heard=("en",)), ask) == unknown - 1
    measured = {"pesq_wb": 2.6, "abx_hi": 31.0, "abx_recordings_hi": 17.0}
    good, _ = rank([replace(PLAIN, heard=("hi", "en"), measured=measured)], ask)
    assert "trained on hi; minimal pairs: 31 % lost, 17 % in the recordings (+1)" in good[0].reasons


def test_limits_refuse_with_their_reason() -> None:
    slow = replace(PLAIN, name="slow", latency_ms=400)
    good, refused = rank([PLAIN, slow], Ask("tts", 250))
    assert [c.name for c in good] == ["plain"]
    assert refused[0].refused == "a stream waits 400 ms, more than 250"
    assert not rank([slow], Ask("tts"))[1]
    assert rank([slow], Ask("duplex"))[1]
    opus = replace(PLAIN, family="opus")
    assert rank([opus], Ask("tts"))[1][0].refused == "it has no tokens that a model could learn"
    assert rank([opus], Ask("compression"))[0]
    assert rank([replace(PLAIN, continuous=True)], Ask("compression"))[1]
    assert rank([PLAIN], Ask("music"))[1][0].refused == "it was not made for music"


def test_of_equals_the_one_of_fewer_bits() -> None:
    good, _ = rank([PLAIN, replace(PLAIN, name="small", bitrate=1900)], Ask("tts"))
    assert [c.name for c in good] == ["small", "plain"]


def test_every_codec_has_facts_and_a_place_in_every_task() -> None:
    found = {c.name: c for c in candidates()}
    assert set(found) == {*HOUSE, *PUBLISHED, *YARDSTICKS}
    assert all(c.made_for and c.source != "not known here" for c in found.values())
    assert found["mimi"].semantic
    assert found["house-fsq"].independent
    assert not found["house-rvq"].independent
    assert (found["mimi"].frames, found["mimi"].codes) == (12.5, 100)
    assert found["house-vae"].continuous
    for task in TASKS:
        good, refused = rank(list(found.values()), Ask(task))
        assert {c.name for c in good + refused} == set(found)
        assert good
    best = {task: rank(list(found.values()), Ask(task))[0][0].name for task in TASKS}
    assert best["music"] == "dac-44k"
    assert best["duplex"] == "mimi"


def test_the_docs_name_the_first_choice_of_every_task() -> None:
    text = (Path(__file__).parents[2] / "docs" / "choosing-a-codec.md").read_text("utf-8")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| `")]
    named = {row[0].split("`")[1]: row[2].split("`")[1] for row in rows}
    assert set(named) == set(TASKS)
    found = candidates()
    for task, name in named.items():
        assert rank(found, Ask(task))[0][0].name == name


def test_a_report_replaces_what_was_measured(tmp_path: Path) -> None:
    share = {"value": 2.0, "low": 0, "high": 5.0, "items": 3}
    tables = {
        "Sound: mine": {"mimi": {"PESQ-WB": {"value": 3.1, "low": 3, "high": 3.2, "items": 3}}},
        "Words": {"mimi": {"change, points": share, "WER, %": share}, "recordings": {}},
        "Sound: folded": {"mimi": {"PESQ-WB": {"value": 1.0}}, "gone": {"PESQ-WB": None}},
    }
    path = tmp_path / "report.json"
    path.write_text(json.dumps({"tables": tables}), "utf-8")
    assert read_report(path) == {"mimi": {"pesq_wb": 3.1, "wer_change": 2.0}}
    mimi = next(c for c in candidates(path) if c.name == "mimi")
    assert mimi.measured == {"pesq_wb": 3.1, "wer_change": 2.0}
    path.write_text("[]", "utf-8")
    with pytest.raises(ValueError, match="no report of codecs"):
        read_report(path)
    with pytest.raises(ValueError, match="no such report"):
        read_report(tmp_path / "gone.json")
