"""`prep`, `train` and `plan`: settings on their way, and what is refused."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.cli.conftest import mistake

PLANNED = ["name=x", "data=gone", "out=o", "model.width=32", "model.depth=1", "model.heads=2"]


@pytest.mark.parametrize(
    ("verb", "module"),
    [
        (["prep"], "codeclm.data_prep.prepare"),
        (["train", "codec"], "codeclm.codecs.house.train"),
        (["train", "vocoder"], "codeclm.codecs.house.train_vocoder"),
        (["train", "tts"], "codeclm.tts.train"),
    ],
)
def test_prep_and_train(run, monkeypatch, verb, module):
    asked = []
    fake = SimpleNamespace(run=lambda config, overrides, **_: asked.append((config, overrides)))
    monkeypatch.setitem(sys.modules, module, fake)
    Path("c.yaml").touch()
    assert run(*verb, "c.yaml") == (0, "", "")
    assert run(*verb, "c.yaml", "a.b=1", "c=[2, 3]") == (0, "", "")
    assert asked == [(Path("c.yaml"), []), (Path("c.yaml"), ["a.b=1", "c=[2, 3]"])]
    mistake(run(*verb, "gone.yaml"), "configuration gone.yaml: no such file")
    mistake(run(*verb, "c.yaml", "lr"), "override 'lr': write it as key=value")
    assert len(asked) == 2


def test_prep_takes_engine_and_workers(run, monkeypatch):
    asked = []
    fake = SimpleNamespace(run=lambda _, overrides: asked.append(overrides))
    monkeypatch.setitem(sys.modules, "codeclm.data_prep.prepare", fake)
    Path("c.yaml").touch()
    assert run("prep", "c.yaml", "a=1", "--engine", "ray", "--workers", "8") == (0, "", "")
    assert asked == [["a=1", "engine=ray", "workers=8"]]


def test_plan(run):
    Path("c.yaml").write_text("{}")
    asked = ("plan", "c.yaml", *PLANNED, "--codec", "house-fsq", "--steps", "0")
    code, out, err = run(*asked)
    assert (code, err) == (0, "")
    assert out.startswith("x: legal; house-fsq (8 x 25 codes a second) x parallel x linear")
    assert "time to train    not measured" in out
    found = json.loads(run(*asked, "--json", "model.layout=delay")[1])
    assert found["legal"]
    assert (found["layout"], found["first_audio_ms"], found["measured"]) == ("delay", 320, None)
    assert not Path("o").exists()


def test_plan_of_an_illegal_cell_says_why_with_exit_code_1(run):
    Path("c.yaml").write_text("{}")
    asked = ("plan", "c.yaml", *PLANNED, "--codec", "house-rvq", "--steps", "0")
    code, out, err = run(*asked)
    assert (code, err) == (1, "")
    assert out.startswith("not legal: layout `parallel` with head `linear` draws streams 0 and 1")
    code, out, err = run(*asked, "--json", "--codec", "house-vae")
    assert (code, err) == (1, "")
    assert json.loads(out)["reason"].startswith("house-vae has continuous latents and no codes")


def test_plan_mistakes(run):
    mistake(run("plan", "gone.yaml"), "configuration gone.yaml: no such file")
    Path("c.yaml").write_text("{}")
    mistake(run("plan", "c.yaml", "lr"), "override 'lr': write it as key=value")
    mistake(run("plan", "c.yaml", *PLANNED), "gone is not there", "--codec")
    mistake(run("plan", "c.yaml", *PLANNED, "model.nose=1"), "unknown key 'model.nose'")
