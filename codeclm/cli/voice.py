"""`codeclm voice`: voices from recordings."""

import sys
from pathlib import Path
from typing import Annotated

import typer

import codeclm
from codeclm import audio
from codeclm.cli.common import SETTINGS, VOICE_SUFFIX, Model, check_input, check_model

app = typer.Typer(help="Make a voice from a recording, or list the stock ones.", **SETTINGS)


@app.command("make")
def voice_make(
    ref: Annotated[Path, typer.Argument(metavar="REF", help="A few seconds of one speaker.")],
    out: Annotated[
        Path | None, typer.Option(help=f"Where to write it; default REF with {VOICE_SUFFIX}.")
    ] = None,
    transcript: Annotated[
        str, typer.Option(help="Exactly what is said in REF: models then go on from it.")
    ] = "",
    language: Annotated[str, typer.Option(help="Language of the transcript.")] = "en",
    model: Model = "starter",
) -> None:
    """Make a voice file from a recording; every model of the same codec can use it.

    A voice is a person: make it only of people who agreed.
    """
    check_input(ref, "recording")
    out = out or Path(ref.stem + VOICE_SUFFIX)
    if not out.name.endswith(VOICE_SUFFIX):
        raise ValueError(f"{out}: a voice file ends in {VOICE_SUFFIX}")
    audio.check_folder(out)
    check_model(model)
    tts = codeclm.load_tts(model)
    out.parent.mkdir(parents=True, exist_ok=True)
    voice = tts.timed(codeclm.Voice.from_audio(ref, tts.codec, None, transcript, language))
    voice.save(out)
    for doubt in voice.doubts:
        print(f"{ref}: {doubt}", file=sys.stderr)
    print("a voice is a person: use it only if its owner agreed", file=sys.stderr)
    print(f'{out}: try it with codeclm speak "Hello." --voice {out}')


@app.command("list")
def voice_list(model: Model = "starter") -> None:
    """List the stock voices of a model."""
    check_model(model)
    for name in codeclm.load_tts(model).voices:
        print(name)
