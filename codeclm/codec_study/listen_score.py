"""Scores of a listening test, from the answers of its listeners: `codeclm codec listen-score`.

A listener who gives the hidden reference less than 90 in more than 15 % of the recordings is left
out (ITU-R BS.1534-3). Ratings are averaged, with a bootstrap interval over ratings; ABX is the
share of right answers with Wilson's interval of a proportion (1927), where 50 % is guessing. So is
a preference between two systems (`ab`): `value` is 1 where `system` was preferred to `about`.
"""

import csv
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from codeclm.codec_study.listen_page import REFERENCE
from codeclm.evaluation import stats
from codeclm.evaluation.tables import Cells, Table, figure, number

COLUMNS = ("listener", "kind", "item", "system", "value", "about", "seconds")
LOW, MOST = 90, 0.15  # a rating of the reference that is too low, and the share that may be
Answer = dict[str, str]
Shares = dict[str, dict[str, list[int]]]


def read_answers(paths: Iterable[Path]) -> list[Answer]:
    """All rows of the files.

    Raises:
        ValueError: no such file, other columns, a value that is none, or one listener twice.
    """
    answers: list[Answer] = []
    owner: dict[str, Path] = {}
    for path in paths:
        if not path.is_file():
            raise ValueError(f"{path}: no such file of answers")
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise ValueError(
                    f"{path} holds no answers: its columns are not {', '.join(COLUMNS)}"
                )
            rows = list(reader)
        for line, row in enumerate(rows, start=2):
            if owner.setdefault(row["listener"], path) != path:
                raise ValueError(
                    f"{path} and {owner[row['listener']]} are both by {row['listener']!r}: give one"
                )
            highest = {"mushra": 100, "abx": 1, "ab": 1}.get(row["kind"])
            value = row["value"]
            if highest is None or not value.isdigit() or int(value) > highest:
                raise ValueError(f"{path} line {line}: {row['kind']} {value!r} is no answer")
        answers += rows
    if not answers:
        raise ValueError("no answers in these files")
    return answers


def refused(answers: Sequence[Answer]) -> dict[str, float]:
    """Listeners whose ratings do not count: how often they gave the hidden reference too little."""
    found: dict[str, list[bool]] = defaultdict(list)
    for row in answers:
        if row["kind"] == "mushra" and row["system"] == REFERENCE:
            found[row["listener"]].append(int(row["value"]) < LOW)
    shares = {listener: sum(low) / len(low) for listener, low in found.items()}
    return {listener: share for listener, share in shares.items() if share > MOST}


def wilson(right: int, total: int) -> stats.Interval:
    """A proportion with Wilson's 95 % interval."""
    assert total > 0
    z = 1.959964
    share, spread = right / total, z * z / total
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / total + spread / (4 * total)) / (1 + spread)
    return stats.Interval(share, max(0.0, middle - half), min(1.0, middle + half), total)


def tables(answers: Sequence[Answer]) -> list[Table]:
    """Ratings by system, the best first; right answers and preferences; who was left out."""
    out = refused(answers)
    ratings: dict[str, list[float]] = defaultdict(list)
    trials: Shares = defaultdict(lambda: defaultdict(list))
    liked: Shares = defaultdict(lambda: defaultdict(list))
    for row in answers:
        system, about, value = row["system"], row["about"], int(row["value"])
        if row["kind"] == "mushra" and row["listener"] not in out:
            ratings[system].append(value)
        elif row["kind"] == "abx":
            trials[system][about].append(value)
            trials[system]["all"].append(value)
        elif row["kind"] == "ab":
            for one, other, won in ((system, about, value), (about, system, 1 - value)):
                liked[one]["all others"].append(won)
                liked[one][other].append(won)
    ranked = sorted(ratings, key=lambda name: -sum(ratings[name]) / len(ratings[name]))
    rated = {
        name: {"score": figure(stats.mean(ratings[name]), 1), "ratings": number(len(ratings[name]))}
        for name in ranked
    }
    gone = {name: {"reference below 90, %": number(low, ".0f", 100)} for name, low in out.items()}
    found = (
        Table("MUSHRA, 0 to 100", rated),
        Table("ABX, % right (50 is guessing)", _shares(trials)),
        Table("A/B, % preferred to the system of the column (50 is no difference)", _shares(liked)),
        Table("Listeners left out of MUSHRA", gone),
    )
    return [table for table in found if table.rows]


def _shares(answers: Shares) -> dict[str, Cells]:
    """Of ones among answers, by system and what they are about."""
    return {
        system: {about: figure(wilson(sum(own), len(own)), 0, 100) for about, own in some.items()}
        for system, some in answers.items()
    }
