"""`codeclm prep`: corpora to token shards."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from codeclm import audio
from codeclm.cli.common import (
    SETTINGS,
    ConfigPath,
    Json,
    Overrides,
    print_json,
    quiet_stdout,
    run_config,
)


class _PlainVerb(TyperGroup):
    """A verb with sub-commands that also works plainly: its first one takes any other words."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in self.commands:
            args = [next(iter(self.commands)), *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_PlainVerb,
    help="Turn a corpus into token shards ([b]prep CONFIG[/b]), or check it first.",
    **SETTINGS,
)


@app.command("run")
def prep(
    config: ConfigPath,
    overrides: Overrides = None,
    engine: Annotated[
        str | None, typer.Option(help="[b]local[/b] processes, or [b]ray[/b] for a cluster.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Shards made at a time.")] = None,
) -> None:
    """Turn a corpus into token shards of one or several codecs; [b]run[/b] can be left out."""
    given = {"engine": engine, "workers": workers}
    more = [f"{key}={value}" for key, value in given.items() if value is not None]
    run_config("codeclm.data_prep.prepare", config, [*(overrides or []), *more])


@app.command("check")
def prep_check(
    manifest: Annotated[
        str,
        typer.Argument(
            metavar="MANIFEST", help="A manifest, folder, or hf:owner/name of a corpus."
        ),
    ],
    tokenizer: Annotated[
        str,
        typer.Option(help="phonemes, sentencepiece, bytes, or the tokenizer.json of a model."),
    ] = "phonemes",
    fix: Annotated[
        Path | None,
        typer.Option(metavar="OUT", help="Write a mended manifest; what it lacks is listed."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List all that is wrong with a corpus (exit code 1 if anything is)."""
    from codeclm.data_prep import check as checking

    if fix is not None:
        checking.check_out(manifest, fix)
        audio.check_folder(fix)
    with quiet_stdout():
        report = checking.check(manifest, tokenizer)
        if fix is not None:
            checking.mend(report, fix)
    if as_json:
        print_json(**report.to_dict())
    else:
        print(checking.render(report))
        if fix is not None:
            print(
                f"{fix}: {len(report.kept)} utterances; what was mended or left out is in "
                f"{checking.beside(fix)}"
            )
    if report.findings:
        raise typer.Exit(1)
