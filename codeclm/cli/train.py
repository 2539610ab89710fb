"""`codeclm train` and `codeclm plan`: trainings, and what they will cost."""

import dataclasses
from typing import Annotated, Any

import typer

from codeclm.cli.common import (
    SETTINGS,
    ConfigPath,
    Json,
    Overrides,
    check_settings,
    print_json,
    quiet_stdout,
    run_config,
)

app = typer.Typer(help="Train a codec, its vocoder, or a speaking model.", **SETTINGS)


def plan(
    config: ConfigPath,
    overrides: Overrides = None,
    codec: Annotated[
        str | None,
        typer.Option(help="Plan for this codec, whatever the prepared data hold."),
    ] = None,
    steps: Annotated[int, typer.Option(min=0, help="Training steps to time; 0: none.")] = 20,
    as_json: Json = False,
) -> None:
    """Say what training a speaking model will cost, or why it cannot be (exit code 1)."""
    check_settings(config, overrides)
    from codeclm.tts import plan as planning

    try:
        with quiet_stdout():
            found = planning.run(config, overrides or [], codec, steps)
    except planning.Illegal as error:
        if as_json:
            print_json(legal=False, reason=str(error))
        else:
            print(f"not legal: {error}")
        raise typer.Exit(1) from None
    if as_json:
        print_json(legal=True, **dataclasses.asdict(found))
    else:
        print(planning.render(found))


@app.command("codec")
def train_codec(config: ConfigPath, overrides: Overrides = None) -> None:
    """Train a codec: encoder, bottleneck and decoder to the spectrum."""
    run_config("codeclm.codecs.house.train", config, overrides)


@app.command("vocoder")
def train_vocoder(config: ConfigPath, overrides: Overrides = None) -> None:
    """Train the vocoder, which turns the spectra of all house codecs into sound."""
    run_config("codeclm.codecs.house.train_vocoder", config, overrides)


@app.command("tts")
def train_tts(config: ConfigPath, overrides: Overrides = None) -> None:
    """Train a speaking model on token shards."""
    run_config("codeclm.tts.train", config, overrides, word_error_rate=_word_error_rate)


def _word_error_rate(said: Any) -> float:
    """How well a recognizer understands what a model in training says."""
    from codeclm.evaluation.asr import word_error_rate

    return word_error_rate(said)
