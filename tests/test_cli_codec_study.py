"""The verbs that study codecs: what reaches the library, and one line for every mistake."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from codeclm import cli

Result = tuple[int, str, str]
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `codeclm codec ...` in an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*args: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["codeclm", "codec", *args])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capsys.readouterr()
        code = stop.value.code or 0
        assert isinstance(code, int)
        return code, out, err

    return run


def mistake(result: Result) -> str:
    code, out, err = result
    assert (code, out, err.count("\n")) == (2, "", 1)
    return err


def stand_in(monkeypatch: pytest.MonkeyPatch, module: str, name: str, asked: list[Any]) -> None:
    """A module whose function `name` keeps what it is asked and prints what libraries print."""
    from codeclm import codec_study
    from codeclm.codec_study import probe_bench

    def work(*wanted: Any) -> str:
        print("a library talks")
        asked.append(wanted)
        return "the summary"

    monkeypatch.setattr(probe_bench, "Plan", lambda *args: args)
    fake = SimpleNamespace(**{name: work})
    monkeypatch.setitem(sys.modules, f"codeclm.codec_study.{module}", fake)
    monkeypatch.setattr(codec_study, module, fake, raising=False)


def test_probe(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    stand_in(monkeypatch, "codec_probe", "run", asked)
    Path("m.jsonl").touch()
    found = run("probe", "mimi", "--data", "m.jsonl", "--out", "o", "--items", "3", "--seed", "7")
    assert found == (0, "the summary\n", "a library talks\n")
    plan = ("mimi", Path("m.jsonl"), Path("o"), 3, 24, None, 100_000, "tiny.en", 7)
    assert asked == [(plan,)]
    assert "manifest gone: no such file" in mistake(
        run("probe", "x", "--data", "gone", "--out", "o")
    )


def test_minimal_pairs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from codeclm.codec_study.minimal_pairs import LIST

    asked: list[Any] = []
    stand_in(monkeypatch, "pair_study", "run", asked)
    Path("audio").mkdir()
    assert run("minimal-pairs", "--codecs", "a, b", "--audio", "audio", "--out", "o")[0] == 0
    assert asked == [(("a", "b"), LIST, Path("audio"), Path("o"), False)]
    gone = ("minimal-pairs", "--codecs", "a", "--audio", "gone", "--out", "o")
    assert "recordings gone: no such file or folder" in mistake(run(*gone))
    listed = (*gone[:3], "--audio", "audio", "--out", "o", "--pairs", "none.tsv")
    assert "list of pairs none.tsv: no such file" in mistake(run(*listed))


def test_listen(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    stand_in(monkeypatch, "listen_page", "build", asked)
    Path("m.jsonl").touch()
    command = ("listen", "--codecs", "a,b", "--data", "m.jsonl", "--items", "2", "--out")
    code, out, _ = run(*command, "new/page.html")
    assert (code, out.split(":")[0]) == (0, "new/page.html")
    assert Path("new/page.html").read_text() == "the summary"
    assert asked[0][:4] == (("a", "b"), Path("m.jsonl"), 2, None)
    assert "a page ends in .html" in mistake(run(*command, "page.txt"))


def test_listen_score(run: Run) -> None:
    head = "listener,kind,item,system,value,about,seconds\n"
    Path("a.csv").write_text(head + "asha,mushra,1,reference,95,hi,3\nasha,abx,x,mimi,1,tone,2\n")
    code, out, _ = run("listen-score", "a.csv")
    assert code == 0
    assert "| reference | 95.0 [95.0, 95.0] | 1 |" in out
    tables = json.loads(run("listen-score", "a.csv", "--json")[1])
    assert tables["ABX, % right (50 is guessing)"]["mimi"]["tone"]["value"] == 100
    assert "gone.csv: no such file of answers" in mistake(run("listen-score", "gone.csv"))


def test_pick(run: Run) -> None:
    code, out, _ = run("pick", "--task", "music", "--top", "1")
    assert code == 0
    assert out.splitlines()[1].startswith("1. dac-44k, 5 points")
    assert "not mimi: it was not made for music" in out
    found = json.loads(run("pick", "--streaming", "--language", "hi", "--json")[1])
    assert found["ranked"][0]["codec"] == "mimi"
    assert found["refused"]["dac-16k"] == "a stream waits 396 ms, more than 250"
    assert "no task 'speech': choose one of tts, duplex" in mistake(run("pick", "--task", "speech"))
    assert "x.json: no such report" in mistake(run("pick", "--results", "x.json"))


def test_help_names_every_verb(run: Run) -> None:
    _, out, err = run("--help")
    for verb in ("list", "roundtrip", "probe", "minimal-pairs", "listen", "listen-score", "pick"):
        assert verb in out + err
