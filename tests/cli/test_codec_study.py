"""`codec probe` and its kin: what reaches the studies of codecs, and mistakes."""

import json
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.cli.conftest import mistake


@pytest.fixture
def study(run):
    return partial(run, "codec")


@pytest.fixture
def stand_in(monkeypatch):
    """Makes a module whose function `name` prints what libraries print; what it was asked."""
    from codeclm import codec_study
    from codeclm.codec_study import probe_bench

    asked = []

    def work(*wanted):
        print("a library talks")
        asked.append(wanted)
        return "the summary"

    def put(module, name):
        monkeypatch.setattr(probe_bench, "Plan", lambda *args: args)
        fake = SimpleNamespace(**{name: work})
        monkeypatch.setitem(sys.modules, f"codeclm.codec_study.{module}", fake)
        monkeypatch.setattr(codec_study, module, fake, raising=False)
        return asked

    return put


def test_probe(study, stand_in):
    asked = stand_in("codec_probe", "run")
    Path("m.jsonl").touch()
    found = study("probe", "mimi", "--data", "m.jsonl", "--out", "o", "--items", "3", "--seed", "7")
    assert found == (0, "the summary\n", "a library talks\n")
    plan = ("mimi", Path("m.jsonl"), Path("o"), 3, 24, None, 100_000, "tiny.en", 7)
    assert asked == [(plan,)]
    gone = study("probe", "x", "--data", "gone", "--out", "o")
    mistake(gone, "manifest gone: no such file")


def test_minimal_pairs(study, stand_in):
    from codeclm.codec_study.minimal_pairs import LIST

    asked = stand_in("pair_study", "run")
    Path("audio").mkdir()
    assert study("minimal-pairs", "--codecs", "a, b", "--audio", "audio", "--out", "o")[0] == 0
    assert asked == [(("a", "b"), LIST, Path("audio"), Path("o"), False)]
    gone = ("minimal-pairs", "--codecs", "a", "--audio", "gone", "--out", "o")
    mistake(study(*gone), "recordings gone: no such file or folder")
    listed = (*gone[:3], "--audio", "audio", "--out", "o", "--pairs", "none.tsv")
    mistake(study(*listed), "list of pairs none.tsv: no such file")


def test_listen(study, stand_in):
    asked = stand_in("listen_page", "build")
    Path("m.jsonl").touch()
    command = ("listen", "--codecs", "a,b", "--data", "m.jsonl", "--items", "2", "--out")
    code, out, _ = study(*command, "new/page.html")
    assert (code, out.split(":")[0]) == (0, "new/page.html")
    assert Path("new/page.html").read_text() == "the summary"
    assert asked[0][:4] == (("a", "b"), Path("m.jsonl"), 2, None)
    mistake(study(*command, "page.txt"), "a page ends in .html")


def test_listen_score(study):
    head = "listener,kind,item,system,value,about,seconds\n"
    Path("a.csv").write_text(head + "asha,mushra,1,reference,95,hi,3\nasha,abx,x,mimi,1,tone,2\n")
    code, out, _ = study("listen-score", "a.csv")
    assert code == 0
    assert "| reference | 95.0 [95.0, 95.0] | 1 |" in out
    tables = json.loads(study("listen-score", "a.csv", "--json")[1])
    assert tables["ABX, % right (50 is guessing)"]["mimi"]["tone"]["value"] == 100
    mistake(study("listen-score", "gone.csv"), "gone.csv: no such file of answers")


def test_pick(study):
    code, out, _ = study("pick", "--task", "music", "--top", "1")
    assert code == 0
    assert out.splitlines()[1].startswith("1. dac-44k, 5 points")
    assert "not mimi: it was not made for music" in out
    found = json.loads(study("pick", "--streaming", "--language", "hi", "--json")[1])
    assert found["ranked"][0]["codec"] == "mimi"
    assert found["refused"]["dac-16k"] == "a stream waits 396 ms, more than 250"
    mistake(study("pick", "--task", "speech"), "no task 'speech': choose one of tts, duplex")
    mistake(study("pick", "--results", "x.json"), "x.json: no such report")


def test_help_names_every_verb(study):
    _, out, err = study("--help")
    for verb in ("list", "roundtrip", "probe", "minimal-pairs", "listen", "listen-score", "pick"):
        assert verb in out + err
