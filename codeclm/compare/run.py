"""A comparison from end to end: `codeclm compare configs/compare/house.yaml --out runs/compare`.

Cells that are not legal are listed with the reason, one that fails is recorded and the others go
on. Whatever is finished is not done again.
"""

from collections.abc import Sequence
from pathlib import Path

from codeclm.compare import table
from codeclm.compare.cells import Comparison, Training, obstacle, spec_of, train, trainings
from codeclm.compare.scores import Scorer
from codeclm.config import load_config
from codeclm.evaluation import speech
from codeclm.files import write_text

RATE = 24_000  # of the recordings as they are judged


def run(
    config: Path,
    out: Path,
    overrides: Sequence[str] = (),
    only: Sequence[str] = (),
    score: bool = True,
) -> Path:
    """Trains, scores and tells; the page it writes.

    Args:
        config: a YAML file of `Comparison`.
        out: folder of everything.
        overrides: settings that replace those of the file.
        only: cells to take; none: all.
        score: afterwards, those that are trained.

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
    chosen = [t for t in trainings(comparison, config, out) if not only or t.cell in only]
    illegal = {training.name: reason for training in chosen if (reason := obstacle(training))}
    failed: dict[str, str] = {}
    ready: list[Training] = []
    for number, training in enumerate(chosen, 1):
        if training.name in illegal:
            continue
        print(f"cell {number} of {len(chosen)}: {training.name}")
        reason = train(training)
        if reason:
            failed[training.name] = reason
        else:
            ready.append(training)
    tables = scored(comparison, ready, out) if score else {}
    page = out / "compare.md"
    write_text(page, tell(comparison, tables, ready, illegal, failed))
    print(f"{len(ready)} cells trained, {len(failed)} failed, {len(illegal)} not legal; {page}")
    return page


def scored(
    comparison: Comparison, ready: Sequence[Training], out: Path
) -> dict[str, dict[str, table.Cells]]:
    """The tables: recordings, then each codec with its cells; and where the cells lose."""
    scorer = Scorer(comparison, out)
    recordings = scorer.recordings(RATE)
    rows = {"recordings": table.heard(recordings, "recording")}
    losses: dict[str, table.Cells] = {}
    groups: dict[str, list[Training]] = {}
    for training in ready:
        groups.setdefault(spec_of(training.load()).name, []).append(training)
    for name, group in groups.items():
        ceiling = scorer.codec(group[0])
        rows[f"{name}, resynthesis"] = table.heard(ceiling) | table.alike(ceiling, recordings)
        for training in group:
            own = scorer.cell(training)
            losses[training.name] = table.diagnosis(own)
            rows[training.name] = (
                table.heard(own)
                | table.gap(own, ceiling)
                | table.alike(own, recordings)
                | {"guards stepped in": speech.interventions(own)}
                | table.made(training)
            )
    losses = {name: cells for name, cells in losses.items() if cells}
    return {"Scores": rows} | ({"Where they lose": losses} if losses else {})


def tell(
    comparison: Comparison,
    tables: dict[str, dict[str, table.Cells]],
    ready: Sequence[Training],
    illegal: dict[str, str],
    failed: dict[str, str],
) -> str:
    """The page, as Markdown."""
    parts = [f"# {comparison.name}"]
    parts += [f"## {title}\n\n{table.markdown(rows)}" for title, rows in tables.items()]
    for title, reasons in (("Not legal", illegal), ("Failed", failed)):
        if reasons:
            lines = [f"- {name}: {reason}" for name, reason in reasons.items()]
            parts.append("\n".join([f"## {title}", "", *lines]))
    commands = [f"    {training.command}" for training in ready]
    parts.append("\n".join(["## Each again", "", *commands]))
    return "\n\n".join(parts) + "\n"
