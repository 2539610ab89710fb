"""The table of items: it can go on, and never mixes two runs."""

from pathlib import Path

import numpy as np
import pytest
import torch

from codeclm.corpus import Utterance
from codeclm.evaluation import items

COLUMNS = ("part", "kind", "id", "score", "heard")
KEY = {"part": "a", "kind": "b", "id": "1"}


def test_rows_are_kept_and_a_torn_one_is_dropped(tmp_path: Path) -> None:
    results = items.Results(tmp_path, {"seed": 0}, COLUMNS)
    results.add(KEY | {"score": 1 / 3, "heard": "two\nlines"})
    results.add(KEY | {"id": "2", "score": None})
    path = tmp_path / "items.csv"
    whole = path.read_text("utf-8")
    assert whole.splitlines()[1:] == ["a,b,1,0.33333,two lines", "a,b,2,,"]
    path.write_text(whole[:-2], "utf-8")
    again = items.Results(tmp_path, {"seed": 0, "more": 1}, COLUMNS)
    assert list(again.rows) == [("a", "b", "1")]
    assert again.facts == {"seed": 0, "more": 1}


def test_only_rows_that_are_missing_are_measured(tmp_path: Path) -> None:
    results = items.Results(tmp_path, {}, COLUMNS)
    results.add(KEY | {"score": 1})
    tasks = [(("a", "b", str(i)), lambda i=i: {"score": 10 * i}) for i in (3, 1, 2)]
    assert [row["score"] for row in results.complete(tasks)] == [30, 1, 20]
    again = items.Results(tmp_path, {}, COLUMNS).complete(tasks)
    assert [row["score"] for row in again] == ["30", "1", "20"]


def test_another_run_is_refused(tmp_path: Path) -> None:
    items.Results(tmp_path, {"seed": 0, "model": "x"}, COLUMNS)
    with pytest.raises(ValueError, match=r"another run \(model differ\)"):
        items.Results(tmp_path, {"model": "y"}, COLUMNS)
    with pytest.raises(ValueError, match="other columns"):
        items.Results(tmp_path, {"seed": 0}, COLUMNS[:-1])


def test_order_depends_on_ids_and_seed_only() -> None:
    rows = [Utterance(str(i), "a", "b", "c", "en", None, Path("x")) for i in range(20)]
    assert items.shuffled(rows, 0) == items.shuffled(rows[::-1], 0)
    assert items.shuffled(rows, 0) != items.shuffled(rows, 1)


def test_judges_hear_16_khz() -> None:
    heard = items.at_16k(torch.ones(1, 2400), 24000)
    assert heard.shape == (1600,)
    assert heard.dtype == np.float32
