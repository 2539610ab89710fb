"""A comparison from end to end: `codeclm compare configs/compare/house.yaml --out runs/compare`.

Cells that are not legal are listed with the reason, one that fails is recorded and the others go
on. Whatever is finished is not done again, and the report tells of all that is.
"""

import shlex
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from codeclm.compare import report, speed
from codeclm.compare.cells import Comparison, Training, obstacle, stranger, train, trainings
from codeclm.compare.cost import cost
from codeclm.compare.scores import Scorer
from codeclm.compare.table import Scored
from codeclm.config import load_config

NOT_YET = "not trained or scored yet"


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
    missing = set(only) - set(comparison.cells)
    if missing:
        raise ValueError(
            f"no cell {', '.join(sorted(missing))} in {config}; there are "
            f"{', '.join(comparison.cells)}"
        )
    found = list(trainings(comparison, config, out))
    absent = {training.name: reason for training in found if (reason := obstacle(training))}
    legal = [training for training in found if training.name not in absent]
    chosen = [training for training in legal if not only or training.cell in only]
    absent = {name: f"not legal: {reason}" for name, reason in absent.items()}
    for number, training in enumerate(chosen, 1):
        print(f"cell {number} of {len(chosen)}: {training.name}")
        _try(absent, training, lambda training=training: train(training))  # type: ignore[misc]
    trained = len([t for t in chosen if t.name not in absent])
    print(f"{trained} cells trained, {len(absent)} not: " + "; ".join(absent) if absent else "")
    if not score:
        return None
    scorer = Scorer(comparison, out)
    recordings = scorer.recordings()
    scored = []
    for training in legal:
        if training.name in absent or not training.final.is_dir() or stranger(training):
            absent.setdefault(training.name, NOT_YET)
            continue
        wanted = training in chosen

        def take(training: Training = training, wanted: bool = wanted) -> str:
            ceiling, rows = scorer.codec(training, wanted), scorer.cell(training, wanted)
            if ceiling is None or rows is None:
                return NOT_YET
            told = ""
            if time and wanted:
                _, voice = scorer.items.sentences[0]
                told = speed.measure(training, speed.keep_voice(voice, scorer.out / "voice.wav"))
            made = cost(training)
            scored.append(Scored(training, made, rows, ceiling, speed.read(training)))
            return told

        _try(absent, training, take)
    command = ["codeclm", "compare", str(config), *overrides, "--out", str(out)]
    page = report.write(
        report.Found(
            comparison, recordings, scorer.items, scored, absent, scorer.facts, found,
            shlex.join(command),
        ),
        out,
    )  # fmt: skip
    print(f"{len(scored)} of {len(found)} cells scored; {page}")
    return page


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
        absent[training.name] = f"failed: {reason}" if reason != NOT_YET else reason
