"""The `codeclm` command, one verb a function.

Nothing heavy is imported before it is needed: `--help` and every mistake that can be seen without a
model answer at once. A mistake is one line on stderr and exit code 2; Ctrl-C is exit code 130; set
CODECLM_DEBUG=1 to see the traceback instead.
"""

from typing import Annotated

import typer

import codeclm
from codeclm.cli import bench, codec_study, compare, export, prep, serve, speak, train, voice
from codeclm.cli.common import SETTINGS, OneLineErrors

app = typer.Typer(
    cls=OneLineErrors, help="Text-to-speech over neural codec tokens: speak, train.", **SETTINGS
)
app.command("speak")(speak.speak)
app.add_typer(voice.app, name="voice")
app.add_typer(codec_study.app, name="codec")
app.add_typer(prep.app, name="prep")
app.command("bench")(bench.bench)
app.command("plan")(train.plan)
app.add_typer(train.app, name="train")
app.command("compare")(compare.compare)
app.command("export")(export.export)
app.command("serve")(serve.serve)


def main() -> None:
    """Runs the command line."""
    app(prog_name="codeclm")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"codeclm {codeclm.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    pass
