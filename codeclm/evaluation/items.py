"""What the evaluation scripts share: which items are taken, and a table of them that can go on.

A script measures items one by one, and a row that stands in `items.csv` is not measured again.
"""

import csv
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from codeclm.audio import resample
from codeclm.corpus import Utterance

RATE = 16000  # of every judge

Row = dict[str, Any]
Key = tuple[str, str, str]


def shuffled(utterances: Iterable[Utterance], seed: int) -> list[Utterance]:
    """In an order that depends on the ids and the seed only."""
    rows = sorted(utterances, key=lambda u: u.id)
    random.Random(seed).shuffle(rows)
    return rows


def base(language: str) -> str:
    """`en` of `en-gb`."""
    return language.partition("-")[0]


def at_16k(wav: Tensor, rate: int) -> NDArray[np.float32]:
    """[1, N] at `rate` to [N] at 16 kHz for the judges."""
    heard: NDArray[np.float32] = resample(wav, rate, RATE)[0].numpy()
    return heard


class Results:
    """`items.csv`: rows by (part, kind, id), appended one by one. A torn last line is dropped.

    `run.json` beside it says what they were made with. Facts may be added to it later, but none of
    them may change: rows of two runs are never mixed.
    """

    def __init__(self, folder: Path, made_with: Mapping[str, Any], columns: Sequence[str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.path, self.columns = folder, folder / "items.csv", columns
        self.facts: dict[str, Any] = {}
        if (folder / "run.json").is_file() and self.path.is_file():
            self.facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        self.state(made_with)
        header = ",".join(columns) + "\n"
        text = self.path.read_text(encoding="utf-8") if self.path.is_file() else ""
        text = text[: text.rfind("\n") + 1] or header
        if not text.startswith(header):
            raise ValueError(f"{self.path} has other columns: choose another --out or remove it")
        self.path.write_text(text, encoding="utf-8")
        self.rows: dict[Key, Row] = {
            (row["part"], row["kind"], row["id"]): row for row in csv.DictReader(text.splitlines())
        }

    def state(self, made_with: Mapping[str, Any]) -> None:
        """Write what rows are made with, before the first of them.

        Raises:
            ValueError: rows that are there were made with something else.
        """
        changed = [key for key, fact in made_with.items() if self.facts.get(key, fact) != fact]
        if changed:
            raise ValueError(
                f"{self.folder} holds results of another run ({', '.join(changed)} differ): "
                "choose another --out or remove that folder"
            )
        self.facts |= made_with
        text = json.dumps(self.facts, indent=2) + "\n"
        (self.folder / "run.json").write_text(text, encoding="utf-8")

    def __enter__(self) -> "Results":
        self._file = self.path.open("a", encoding="utf-8", newline="")
        self._writer = csv.DictWriter(self._file, self.columns, lineterminator="\n")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, row: Row) -> None:
        """Write one row at once."""
        row = {key: _cell(value) for key, value in row.items()}
        self._writer.writerow(row)
        self._file.flush()
        self.rows[row["part"], row["kind"], row["id"]] = row


def _cell(value: Any) -> Any:
    """Text on one line, numbers as short as they are sure."""
    if isinstance(value, str):
        return " ".join(value.split())
    return round(value, 5) if isinstance(value, float) else value
