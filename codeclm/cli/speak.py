"""`codeclm speak`: a text to a sound file."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

import codeclm
from codeclm import audio
from codeclm.cli.common import (
    VOICE_SUFFIX,
    Json,
    Language,
    Model,
    OwnCodec,
    Voice,
    check_input,
    check_model,
    print_json,
    quiet_stdout,
)


def speak(
    text: Annotated[
        str, typer.Argument(metavar="TEXT", help="What to say; [b]-[/b] reads it from stdin.")
    ],
    out: Annotated[
        Path, typer.Option(help="Sound file to write: wav, flac, ogg, opus or mp3.")
    ] = Path("speech.wav"),
    voice: Voice = None,
    model: Model = "starter",
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**32 - 1, help="Same seed, same speech.")
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(min=0, help="Lower is calmer, higher is livelier.")
    ] = None,
    top_k: Annotated[int | None, typer.Option(min=0, help="Draw from the k likeliest.")] = None,
    top_p: Annotated[
        float | None, typer.Option(min=0.01, max=1, help="Draw from this much of the probability.")
    ] = None,
    min_p: Annotated[
        float | None,
        typer.Option(min=0, max=0.99, help="Draw from what is near the likeliest."),
    ] = None,
    guidance: Annotated[
        float | None, typer.Option(min=0, help="Above 1 follows text and voice more closely.")
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Of a model of latents: steps from noise to a latent."),
    ] = None,
    noise: Annotated[
        float | None, typer.Option(min=0, help="Of a model of latents: scale of that noise.")
    ] = None,
    language: Language = "en",
    codec: OwnCodec = None,
    guards: Annotated[
        bool, typer.Option(help="Keep the speech on its text, however badly the model goes astray.")
    ] = True,
    check: Annotated[
        bool,
        typer.Option(help="Let Whisper listen, and say again what it does not understand."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Say a text and write it to a sound file."""
    audio.check_writable(out)
    check_voice(voice)
    text = _read_text(text)
    check_model(model)
    asked = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p}
    asked |= {"guidance": guidance, "steps": steps, "noise": noise}
    with quiet_stdout():
        tts = codeclm.load_tts(model, codec)
        given = {name: value for name, value in asked.items() if value is not None}
        speech = tts.speak(
            text,
            voice=voice_of(voice, tts),
            language=language,
            seed=seed,
            sampling=tts.sampling.model_copy(update=given),
            guards=None if guards else _no_guards(),
            listener=_listener(language) if check else None,
        )
        who = f"model {tts.meta['name']}, voice {voice or 'stock'}, seed {speech.seed}"
        about = {
            "software": f"codeclm {codeclm.__version__}",
            "comment": f"synthetic speech: {who}",
        }
        audio.write(out, speech.wav, speech.sample_rate, about)
    if as_json:
        print_json(
            audio_seconds=speech.audio_seconds,
            speed=speech.speed,
            first_audio_ms=speech.first_audio_ms,
            seed=speech.seed,
            out=str(out),
            sample_rate=speech.sample_rate,
            interventions=speech.interventions,
        )
    else:
        print(f"{out}: {speech.audio_seconds:.1f} s of speech, {speech.speed:.1f}x real time")


def _read_text(text: str) -> str:
    """The text itself, or stdin for `-`; it must have something to say."""
    if text == "-":
        text = sys.stdin.buffer.read().decode("utf-8-sig", errors="surrogateescape")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("the text is not valid UTF-8; save or type it as UTF-8") from None
    if not text.strip():
        raise ValueError("the text is empty; give some words to say")
    return text.strip()


def _is_file_name(voice: str) -> bool:
    """A voice with a folder or a suffix is a file; a bare word names a stock voice."""
    return os.path.basename(voice) != voice or Path(voice).suffix != ""


def check_voice(voice: str | None) -> None:
    """Refuses a voice file that is not there."""
    if voice is not None and _is_file_name(voice):
        check_input(voice, "voice")


def voice_of(voice: str | None, tts: Any) -> Any:
    """The `Voice` that the user meant; None leaves the choice to the model."""
    if voice is None:
        return None
    if voice.endswith(VOICE_SUFFIX):
        return codeclm.Voice.load(voice)
    if _is_file_name(voice):
        made = codeclm.Voice.from_audio(voice, tts.codec)
        for doubt in made.doubts:
            print(f"{voice}: {doubt}", file=sys.stderr)
        return made
    if voice not in tts.voices:
        known = ", ".join(tts.voices) or "none"
        raise ValueError(f"no stock voice {voice!r}; there is {known}; or give a sound file")
    return tts.voices[voice]


def _no_guards() -> Any:
    from codeclm.tts.guard import OFF

    return OFF


def _listener(language: str) -> Any:
    """Whisper, counting word errors."""
    from codeclm.evaluation.asr import listener, usual

    return listener(usual([language]))
