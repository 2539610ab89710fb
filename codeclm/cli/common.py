"""What the verbs of the command line share: how they take words, check them, and answer."""

import contextlib
import importlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

VOICE_SUFFIX = ".voice.safetensors"
SETTINGS: dict[str, Any] = {
    "no_args_is_help": True,
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": "rich",
}
Model = Annotated[str, typer.Option(help="A model folder, a hub name, or [b]starter[/b].")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a line.")]
OwnCodec = Annotated[
    str | None, typer.Option(help="Folder of the codec, for a model trained on your own one.")
]
Voice = Annotated[
    str | None,
    typer.Option(help=f"A recording, a {VOICE_SUFFIX} file, or the name of a stock voice."),
]
Language = Annotated[
    str, typer.Option(help="Language of the text, as espeak names it: en-us, en-gb ...")
]
ConfigPath = Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Settings that replace those of the file."),
]


class OneLineErrors(TyperGroup):
    """Turns the errors of every verb into one line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # `codeclm ... | head` is not an error; typer ends it quietly
        except KeyboardInterrupt:
            stop("interrupted", 130)
        except (ValueError, ImportError, OSError) as error:
            if os.environ.get("CODECLM_DEBUG"):
                raise
            stop(f"error: {' '.join(str(error).split())}", 2)


def stop(line: str, code: int) -> NoReturn:
    """Ends with one line on stderr."""
    print(line, file=sys.stderr)
    raise typer.Exit(code)


def check_input(path: str | Path, what: str) -> None:
    """Refuses a file that is not there."""
    if os.path.isdir(path):
        raise ValueError(f"{what} {path} is a folder; name a file")
    if not os.path.exists(path):
        raise ValueError(f"{what} {path}: no such file")


def check_model(model: str) -> None:
    """Refuses a model that is not there, before anything heavy is imported."""
    from codeclm import checkpoint

    checkpoint.resolve(model)


def run_config(module: str, config: Path, overrides: list[str] | None, **tools: Any) -> None:
    """Calls `run(config, overrides)` of a module that is heavy to import."""
    check_settings(config, overrides)
    importlib.import_module(module).run(config, overrides or [], **tools)


def check_settings(config: Path, overrides: list[str] | None) -> None:
    """Refuses a configuration file that is not there, and overrides without a value."""
    check_input(config, "configuration")
    for override in overrides or []:
        if "=" not in override:
            raise ValueError(f"override {override!r}: write it as key=value, such as optim.lr=1e-4")


@contextlib.contextmanager
def quiet_stdout() -> Iterator[None]:
    """Sends what libraries print to stderr, so that stdout holds the result and nothing else."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def words(text: str) -> tuple[str, ...]:
    """What stands between commas."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def print_json(**fields: object) -> None:
    """Answers with one JSON object."""
    print(json.dumps(fields, ensure_ascii=False))
