"""A comparison from end to end: `codeclm compare configs/compare/house.yaml --out runs/compare`.

Cells that are not legal are listed with the reason, one that fails is recorded and the others go
on. Whatever is finished is not done again, and the report tells of all that is.
"""

import shlex
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from codeclm.compare import report, speed
from codeclm.compare.cells import (
    Comparison,
    Model,
    Training,
    model,
    obstacle,
    stranger,
    train,
    trainings,
)
from codeclm.compare.found import ILLEGAL, Found, Scored, cost
from codeclm.compare.scores import Scorer
from codeclm.config import load_config
from codeclm.evaluation.items import Row

NOT_YET = "trained, but not scored yet"


def run(
    config: Path,
    out: Path,
    overrides: Sequence[str] = (),
    only: Sequence[str] = (),
    score: bool = True,
    time: bool = True,
) -> Path | None:
    """Trains, scores, times and tells; the page it writes.

    Args:
        config: a YAML file of `Comparison`.
        out: folder of everything.
        overrides: settings that replace those of the file.
        only: cells to take; none: all.
        score: afterwards, those that are trained, and write the page.
        time: measure the speed of those that are trained.

    Raises:
        ValueError: a setting is wrong, or there is no such cell.
    """
    comparison = load_config(Comparison, config, overrides)
    if missing := sorted(set(only) - set(comparison.cells)):
        known = ", ".join(comparison.cells)
        raise ValueError(f"no cell {', '.join(missing)} in {config}; there are {known}")
    found = list(trainings(comparison, config, out))
    absent = {t.name: f"{ILLEGAL}: {reason}" for t in found if (reason := obstacle(t))}
    legal = [training for training in found if training.name not in absent]
    chosen = [training for training in legal if not only or training.cell in only]
    for number, training in enumerate(chosen, 1):
        print(f"cell {number} of {len(chosen)}: {training.name}")
        _try(absent, training, partial(train, training))
    print("\n".join(f"{name}: {reason}" for name, reason in absent.items()))
    if not score:
        return None
    scorer = Scorer(comparison, out)
    recordings = scorer.recordings()
    scored: list[Scored] = []
    for training in legal:
        if training.name in absent:
            continue
        saved = model(training)
        if saved is None or stranger(training, saved):
            absent[training.name] = "not trained yet"
            continue
        measure = training in chosen and training.final.is_dir()
        _try(absent, training, partial(_score, scorer, training, saved, measure, scored))
        if time and measure and training.name not in absent:
            arguments = training, saved.mark, scorer.items, scorer.out / "voice.wav"
            _try(absent, training, partial(speed.measure, *arguments))
    cells = [
        replace(cell, speed=speed.read(cell.training, cell.mark, scorer.items)) for cell in scored
    ]
    command = shlex.join(["codeclm", "compare", str(config), *overrides, "--out", str(out)])
    page = report.write(
        Found(recordings, scorer.items, cells, absent, scorer.facts, found, comparison, command),
        out,
    )
    print(f"{sum(bool(c.rows) for c in cells)} of {len(found)} cells scored; {page}")
    return page


def _score(
    scorer: Scorer, training: Training, saved: Model, measure: bool, scored: list[Scored]
) -> str:
    """Scores a cell, or takes its scores from the folder; why there are none, or nothing."""
    ceiling, rows = scorer.codec(training, measure), scorer.cell(training, saved.mark, measure)
    done = ceiling is not None and rows is not None
    taken = cost(training, saved.meta)
    known: Sequence[Row] = (rows or ()) if done else ()
    scored.append(Scored(training, saved.mark, taken, known, ceiling or (), None))
    return "" if done else NOT_YET


def _try(absent: dict[str, str], training: Training, do: Callable[[], str]) -> None:
    """Does something for a cell; records why it failed, so that the others go on."""
    try:
        reason = do()
    except Exception as error:
        training.folder.mkdir(parents=True, exist_ok=True)
        log = training.folder / "error.log"
        log.write_text(traceback.format_exc(), encoding="utf-8")
        reason = f"{type(error).__name__}: {error}; see {log}"
    if reason:
        absent[training.name] = reason if reason == NOT_YET else f"failed: {reason}"
