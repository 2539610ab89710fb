"""`codeclm serve`: speech over HTTP and WebSocket."""

import os
from pathlib import Path
from typing import Annotated

import typer

from codeclm.cli.common import Model, OwnCodec, check_input, check_model


def serve(
    model: Model = "starter",
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    voices: Annotated[
        Path | None,
        typer.Option(help="Folder that uploaded voices are kept in; default in your home."),
    ] = None,
    api_keys: Annotated[
        str | None,
        typer.Option(help="Keys of clients, between commas; better set CODECLM_API_KEYS."),
    ] = None,
    public: Annotated[
        bool, typer.Option(help="Serve other machines without keys: everybody who gets there.")
    ] = False,
    origin: Annotated[
        list[str] | None,
        typer.Option(help="Let pages of this origin use it, such as https://my.page; repeatable."),
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option(help="What clients call the model, such as tts-1; repeatable."),
    ] = None,
    together: Annotated[int, typer.Option(min=1, help="Talks spoken at once.")] = 16,
    waiting: Annotated[int, typer.Option(min=0, help="Answers that may wait beside them.")] = 64,
    longest: Annotated[int, typer.Option(min=1, help="Characters of a text.")] = 4096,
    upload: Annotated[int, typer.Option(min=1, help="Megabytes of a recording.")] = 10,
    grace: Annotated[
        float, typer.Option(min=0, help="Seconds to finish what is being said, when stopped.")
    ] = 60.0,
    report: Annotated[
        list[Path] | None,
        typer.Option(help="A page of a comparison to show beside the page; repeatable."),
    ] = None,
    codec: OwnCodec = None,
) -> None:
    """Serve speech: OpenAI's API, a WebSocket, and a page."""
    check_model(model)
    for file in report or []:
        check_input(file, "report")
    try:
        from codeclm.serve import run
    except ImportError as error:
        if (error.name or "").startswith("codeclm"):
            raise
        raise ImportError(
            f"{error.name} is needed to serve: pip install 'codeclm[serve]'"
        ) from error

    keys = run.keys_of(api_keys)
    run.check(host, keys, public)
    app = run.build(
        model,
        codec,
        tuple(name or ()),
        voices=voices or default_voices(),
        keys=keys,
        origins=tuple(origin or ()),
        any_host=bool(keys) or public,
        together=together,
        waiting=waiting,
        longest=longest,
        upload=upload * 1_000_000,
        reports=tuple(report or ()),
    )
    run.serve(app, host, port, grace)


def default_voices() -> Path:
    """Where uploaded voices are kept."""
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "codeclm" / "voices"
