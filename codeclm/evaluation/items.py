"""Which items are measured, and a table of them that can go on."""

import csv
import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
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
Task = tuple[Key, Callable[[], Row]]  # a row, and what measures it


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


def installed(*packages: str) -> dict[str, str | None]:
    """Versions of the packages that judge; None where one is missing."""
    found: dict[str, str | None] = {}
    for package in packages:
        try:
            found[f"package {package}"] = version(package)
        except PackageNotFoundError:
            found[f"package {package}"] = None
    return found


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
        self.rows: dict[Key, Row] = {_key(row): row for row in csv.DictReader(text.splitlines())}

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

    def complete(self, tasks: Iterable[Task], title: str = "measuring") -> list[Row]:
        """The rows of all tasks, of which those that are missing are measured, with a bar."""
        from rich.console import Console
        from rich.progress import track

        tasks = list(tasks)
        missing = [task for task in tasks if task[0] not in self.rows]
        for key, measure in track(
            missing, title, console=Console(stderr=True), disable=not missing
        ):
            self.add(dict(zip(("part", "kind", "id"), key, strict=True)) | measure())
        return [self.rows[key] for key, _ in tasks]

    def add(self, row: Row) -> None:
        """Write one row at once."""
        row = {key: _cell(value) for key, value in row.items()}
        with self.path.open("a", encoding="utf-8", newline="") as file:
            csv.DictWriter(file, self.columns, lineterminator="\n").writerow(row)
        self.rows[_key(row)] = row


def _key(row: Row) -> Key:
    return row["part"], row["kind"], row["id"]


def _cell(value: Any) -> Any:
    """Text on one line, numbers as short as they are sure."""
    if isinstance(value, str):
        return " ".join(value.split())
    return round(value, 5) if isinstance(value, float) else value
