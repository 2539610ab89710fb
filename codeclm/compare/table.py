"""The table of a comparison: ground truth, codec ceiling, cell, and the gap that is the model's."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from codeclm import checkpoint
from codeclm.compare.cells import Training
from codeclm.evaluation import hard, stats
from codeclm.evaluation.items import Row
from codeclm.evaluation.stats import Interval
from codeclm.evaluation.tables import column

Cells = dict[str, str]

LED = {
    "led": "led by the truth",
    "true first": "stream 0 true, others predicted",
    "true rest": "stream 0 predicted, others true",
}
WHERE = {"sentences": "seen voices", "clones": "unseen voices", "hard": "hard set"}


def heard(rows: Sequence[Row], kind: str | None = None) -> Cells:
    """Word errors and failures of rows, part by part; `kind` picks one where there are several."""
    cells: Cells = {}
    for part, where in WHERE.items():
        own = [r for r in rows if r["part"] == part and kind in (None, r["kind"])]
        own = [row for row in own if row["words"] not in (None, "")]
        if not own:
            continue
        cells[f"WER, {where}"] = stats.ratio(column(own, "errors"), column(own, "words")).percent()
        if part == "hard":
            failed = Counter(kind for row in own for kind in row["failures"].split(", ") if kind)
            names = [f"{name} {failed[name]}" for name in hard.KINDS if failed[name]]
            cells["failures, hard set"] = ", ".join(names) or "none"
    return cells


def gap(rows: Sequence[Row], ceiling: Sequence[Row]) -> Cells:
    """Word errors that a cell makes beyond those after its codec, the same items paired."""
    cells: Cells = {}
    for part, where in WHERE.items():
        before = {row["id"]: row for row in ceiling if row["part"] == part}
        own = [row for row in rows if row["part"] == part and row["id"] in before]
        if own:
            paired = [before[row["id"]] for row in own]
            more = stats.ratio_change(
                column(own, "errors"), column(paired, "errors"), column(own, "words")
            )
            cells[f"of which the model's, {where}"] = points(more)
    return cells


def alike(rows: Sequence[Row], recordings: Sequence[Row]) -> Cells:
    """Similarity of clones to their voice, raw, and scaled between a stranger and the speaker."""
    clones = {row["id"]: row for row in rows if row["part"] == "clones"}
    if not clones:
        return {}
    floor, top = (
        {r["id"]: r for r in recordings if r["part"] == "clones" and r["kind"] == kind}
        for kind in ("impostor", "recording")
    )
    raw, low, high = ([float(d[i]["similarity"]) for i in clones] for d in (clones, floor, top))
    scaled = stats.ratio(
        [a - b for a, b in zip(raw, low, strict=True)],
        [a - b for a, b in zip(high, low, strict=True)],
    )
    return {"similarity": decimals(stats.mean(raw)), "scaled": decimals(scaled)}


def made(training: Training) -> Cells:
    """What a cell is and what its training took."""
    saved = checkpoint.load(training.final)
    lines = (training.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    cells = {"parameters": f"{sum(t.numel() for t in saved.tensors.values()) / 1e6:.1f} M"}
    cells["training"] = f"{json.loads(lines[-1])['seconds'] / 3600:.2f} h"
    if "dev_bits_per_second" in saved.meta:
        cells["bits a second, dev"] = f"{saved.meta['dev_bits_per_second']:.0f}"
    return cells


def diagnosis(rows: Sequence[Row]) -> Cells:
    """Word errors of the same sentences, said freely and led, and with streams exchanged."""
    led = {kind: [row for row in rows if row["kind"] == kind] for kind in LED}
    ids = {row["id"] for row in led["led"]}
    free = [row for row in rows if row["part"] == "sentences" and row["id"] in ids]
    groups = {"free": free} | {LED[kind]: own for kind, own in led.items()}
    return {
        f"WER, {name}": stats.ratio(column(own, "errors"), column(own, "words")).percent()
        for name, own in groups.items()
        if own
    }


def points(found: Interval) -> str:
    """A difference of rates, in points of a hundred."""
    return f"{100 * found.value:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"


def decimals(found: Interval) -> str:
    """A figure with two decimals."""
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def markdown(rows: dict[str, Cells]) -> str:
    """Rows of cells under the names of all columns there are."""
    columns: dict[str, Any] = dict.fromkeys(name for cells in rows.values() for name in cells)
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, cells in rows.items():
        lines.append(f"| {name} | " + " | ".join(cells.get(key, "") for key in columns) + " |")
    return "\n".join(lines)
