"""`codeclm compare`: cells trained at one budget, scored on the same items."""

from pathlib import Path
from typing import Annotated

import typer

from codeclm.cli.common import ConfigPath, Overrides, check_settings


def compare(
    config: ConfigPath,
    overrides: Overrides = None,
    out: Annotated[Path, typer.Option(help="Folder of the runs, the scores and the page.")] = Path(
        "runs/compare"
    ),
    cells: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Only these cells; default: all.")
    ] = None,
    score: Annotated[bool, typer.Option(help="Score what is trained, and write the page.")] = True,
    speed: Annotated[
        bool, typer.Option(help="Time what is scored; best on a machine that does nothing else.")
    ] = True,
) -> None:
    """Train, score and time the cells of a comparison; what is finished is not done again."""
    check_settings(config, overrides)
    from codeclm.compare.run import run

    run(config, out, overrides or [], cells.split(",") if cells else [], score, speed)
