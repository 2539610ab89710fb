"""The `codeclm` command, one verb a function.

Nothing heavy is imported before it is needed: `--help` and every mistake that can be seen without a
model answer at once. A mistake is one line on stderr and exit code 2; Ctrl-C is exit code 130; set
CODECLM_DEBUG=1 to see the traceback instead.
"""

import contextlib
import dataclasses
import importlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

import codeclm
from codeclm import audio

VOICE_SUFFIX = ".voice.safetensors"


class _OneLineErrors(TyperGroup):
    """Turns the errors of every verb into one line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # `codeclm ... | head` is not an error; typer ends it quietly
        except KeyboardInterrupt:
            _stop("interrupted", 130)
        except (ValueError, ImportError, OSError) as error:
            if os.environ.get("CODECLM_DEBUG"):
                raise
            _stop(f"error: {' '.join(str(error).split())}", 2)


class _PlainVerb(TyperGroup):
    """A verb with sub-commands that also works plainly: its first one takes any other words."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in self.commands:
            args = [next(iter(self.commands)), *args]
        return super().resolve_command(ctx, args)


def _stop(line: str, code: int) -> NoReturn:
    print(line, file=sys.stderr)
    raise typer.Exit(code)


_SETTINGS: dict[str, Any] = {
    "no_args_is_help": True,
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": "rich",
}
app = typer.Typer(
    cls=_OneLineErrors, help="Text-to-speech over neural codec tokens: speak, train.", **_SETTINGS
)
voice_app = typer.Typer(help="Make a voice from a recording, or list the stock ones.", **_SETTINGS)
codec_app = typer.Typer(help="List the codecs, or hear what one does to a recording.", **_SETTINGS)
prep_app = typer.Typer(
    cls=_PlainVerb,
    help="Turn a corpus into token shards ([b]prep CONFIG[/b]), or check it first.",
    **_SETTINGS,
)
train_app = typer.Typer(help="Train a codec, its vocoder, or a speaking model.", **_SETTINGS)
app.add_typer(voice_app, name="voice")
app.add_typer(codec_app, name="codec")
app.add_typer(prep_app, name="prep")
app.add_typer(train_app, name="train")

Model = Annotated[str, typer.Option(help="A model folder, a hub name, or [b]starter[/b].")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a line.")]
ConfigPath = Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Settings that replace those of the file."),
]


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


# --- speak ---


@app.command()
def speak(
    text: Annotated[
        str, typer.Argument(metavar="TEXT", help="What to say; [b]-[/b] reads it from stdin.")
    ],
    out: Annotated[
        Path, typer.Option(help="Sound file to write: wav, flac, ogg, opus or mp3.")
    ] = Path("speech.wav"),
    voice: Annotated[
        str | None,
        typer.Option(help=f"A recording, a {VOICE_SUFFIX} file, or the name of a stock voice."),
    ] = None,
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
    language: Annotated[
        str, typer.Option(help="Language of the text, as espeak names it: en-us, en-gb ...")
    ] = "en",
    codec: Annotated[
        str | None, typer.Option(help="Folder of the codec, for a model trained on your own one.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say a text and write it to a sound file."""
    audio.check_writable(out)
    _check_voice(voice)
    text = _read_text(text)
    _check_model(model)
    with _quiet_stdout():
        tts = codeclm.load_tts(model, codec)
        asked = {
            "temperature": temperature,
            "top_k": top_k,
            "top_p": top_p,
            "min_p": min_p,
            "guidance": guidance,
            "steps": steps,
            "noise": noise,
        }
        speech = tts.speak(
            text,
            voice=_voice(voice, tts),
            language=language,
            seed=seed,
            sampling=tts.sampling.model_copy(
                update={name: value for name, value in asked.items() if value is not None}
            ),
        )
        about = {"software": f"codeclm {codeclm.__version__}", "comment": "synthetic speech"}
        audio.write(out, speech.wav, speech.sample_rate, about)
    if as_json:
        _print_json(
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


def _check_voice(voice: str | None) -> None:
    if voice is not None and _is_file_name(voice):
        _check_input(voice, "voice")


def _check_input(path: str | Path, what: str) -> None:
    if os.path.isdir(path):
        raise ValueError(f"{what} {path} is a folder; name a file")
    if not os.path.exists(path):
        raise ValueError(f"{what} {path}: no such file")


def _check_model(model: str) -> None:
    from codeclm import checkpoint

    checkpoint.resolve(model)


def _voice(voice: str | None, tts: Any) -> Any:
    """The `Voice` that the user meant; None leaves the choice to the model."""
    if voice is None:
        return None
    if voice.endswith(VOICE_SUFFIX):
        return codeclm.Voice.load(voice)
    if _is_file_name(voice):
        return codeclm.Voice.from_audio(voice, tts.codec)
    if voice not in tts.voices:
        known = ", ".join(tts.voices) or "none"
        raise ValueError(f"no stock voice {voice!r}; there is {known}; or give a sound file")
    return tts.voices[voice]


# --- voice ---


@voice_app.command("make")
def voice_make(
    ref: Annotated[Path, typer.Argument(metavar="REF", help="A few seconds of one speaker.")],
    out: Annotated[
        Path | None, typer.Option(help=f"Where to write it; default REF with {VOICE_SUFFIX}.")
    ] = None,
    model: Model = "starter",
) -> None:
    """Make a voice file from a recording; every model of the same codec can use it."""
    _check_input(ref, "recording")
    out = out or Path(ref.stem + VOICE_SUFFIX)
    if not out.name.endswith(VOICE_SUFFIX):
        raise ValueError(f"{out}: a voice file ends in {VOICE_SUFFIX}")
    audio.check_folder(out)
    _check_model(model)
    tts = codeclm.load_tts(model)
    out.parent.mkdir(parents=True, exist_ok=True)
    codeclm.Voice.from_audio(ref, tts.codec).save(out)
    print(f'{out}: try it with codeclm speak "Hello." --voice {out}')


@voice_app.command("list")
def voice_list(model: Model = "starter") -> None:
    """List the stock voices of a model."""
    _check_model(model)
    for name in codeclm.load_tts(model).voices:
        print(name)


# --- codec ---


@codec_app.command("list")
def codec_list(as_json: Json = False) -> None:
    """List the codecs: those of this installation, and published ones to download."""
    from codeclm import codecs
    from codeclm.codecs.published import weights
    from codeclm.codecs.published.opus import Opus

    yardsticks = [Opus(name, bitrate) for name, bitrate in codecs.YARDSTICKS.items()]
    rows = [(name, codecs.load_codec(name).spec, "", "shipped") for name in codecs.HOUSE]
    for name, known in codecs.PUBLISHED.items():
        place = "downloaded" if weights.cached(known.hub, known.files) else "not downloaded"
        rows.append((name, known.spec, known.hub, place))
    if as_json:
        _print_json(
            **{
                name: {**spec.to_dict(), "hub": hub, "weights": place}
                for name, spec, hub, place in rows
            },
            **{opus.name: {**dataclasses.asdict(opus), "streams": []} for opus in yardsticks},
        )
        return
    for name, spec, hub, place in rows:
        tokens = (
            f"{spec.latent_dims} numbers a frame, continuous"
            if spec.latent_dims
            else f"{len(spec.streams)} streams, {spec.bitrate / 1000:.2f} kbit/s"
        )
        print(
            f"{name}: {spec.family}, {spec.sample_rate} Hz, {spec.frame_rate:.4g} frames a second, "
            f"{tokens}, {spec.latency_ms:.0f} ms" + (f", {hub} {place}" if hub else "")
        )
    for opus in yardsticks:
        print(
            f"{opus.name}: {opus.family}, {opus.sample_rate} Hz, {opus.sample_rate / opus.hop:.4g} "
            f"packets a second, {opus.bitrate / 1000:.2f} kbit/s, {opus.latency_ms:.0f} ms, "
            "no tokens: for roundtrip alone"
        )


CodecName = Annotated[
    str,
    typer.Argument(
        metavar="CODEC",
        help="A codec by name, folder or hub name; a published one also as NAME@FOLDER.",
    ),
]
Streams = Annotated[int | None, typer.Option(min=1, help="Codebooks to use of a published codec.")]


@codec_app.command("roundtrip")
def codec_roundtrip(
    codec: CodecName,
    source: Annotated[Path, typer.Argument(metavar="IN", help="A sound file.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The sound file to write.")],
    streams: Streams = None,
) -> None:
    """Encode a recording, decode it again, and write what is left of it."""
    _check_input(source, "recording")
    audio.check_writable(out)
    from codeclm.codecs import YARDSTICKS

    if codec in YARDSTICKS and streams is None:
        _through_opus(codec, YARDSTICKS[codec], source, out)
        return
    model = codeclm.load_codec(codec, streams=streams)
    wav = audio.read(source, model.spec.sample_rate)  # [1, N]
    tokens = model.encode(wav[None])
    decoded = model.decode(tokens)[0, :, : wav.shape[-1]]  # [1, N]
    audio.write(out, decoded, model.spec.sample_rate)
    seconds = wav.shape[-1] / model.spec.sample_rate
    print(f"{out}: {seconds:.1f} s through {_amount(tokens, model.spec)}")


def _through_opus(name: str, bitrate: int, source: Path, out: Path) -> None:
    from codeclm.codecs.published.opus import Opus

    opus = Opus(name, bitrate)
    wav = audio.read(source, opus.sample_rate)  # [1, N]
    audio.write(out, opus.roundtrip(wav[None])[0], opus.sample_rate)
    seconds, rate = wav.shape[-1] / opus.sample_rate, opus.measured_bitrate(wav[None])
    print(f"{out}: {seconds:.1f} s through packets of {rate / 1000:.2f} kbit/s")


@codec_app.command("encode")
def codec_encode(
    codec: CodecName,
    source: Annotated[Path, typer.Argument(metavar="IN", help="A sound file.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The .safetensors file to write.")],
    streams: Streams = None,
) -> None:
    """Write the tokens of a recording to a file that knows its codec."""
    _check_input(source, "recording")
    audio.check_folder(out)
    if out.suffix != ".safetensors":
        raise ValueError(f"{out}: a token file ends in .safetensors")
    from codeclm.codecs.tokens import write_tokens

    model = codeclm.load_codec(codec, streams=streams)
    wav = audio.read(source, model.spec.sample_rate)
    tokens = model.encode(wav[None])
    out.parent.mkdir(parents=True, exist_ok=True)
    write_tokens(out, tokens[0], model.spec, wav.shape[-1])
    print(f"{out}: {_amount(tokens, model.spec)}")


@codec_app.command("decode")
def codec_decode(
    source: Annotated[Path, typer.Argument(metavar="TOKENS", help="What encode wrote.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The sound file to write.")],
    codec: Annotated[
        str | None, typer.Option(help="The codec of these tokens, when its name does not find it.")
    ] = None,
) -> None:
    """Turn a token file into sound again."""
    _check_input(source, "token file")
    audio.check_writable(out)
    from codeclm.codecs import codec_of
    from codeclm.codecs.tokens import read_tokens

    tokens, spec, samples = read_tokens(source)
    model = codec_of(spec, codec, f"{source} holds tokens of")
    wav = model.decode(tokens[None])[0, :, :samples]
    audio.write(out, wav, spec.sample_rate)
    print(f"{out}: {samples / spec.sample_rate:.1f} s from {_amount(tokens[None], spec)}")


def _amount(tokens: Any, spec: Any) -> str:
    each = spec.latent_dims or len(spec.streams)
    what = "numbers" if spec.latent_dims else "codes"
    return f"{tokens.numel() // each} frames of {each} {what}"


# --- prep, plan and train ---


@prep_app.command("run")
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
    _run("codeclm.data_prep.prepare", config, [*(overrides or []), *more])


@prep_app.command("check")
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
    with _quiet_stdout():
        report = checking.check(manifest, tokenizer)
        if fix is not None:
            checking.mend(report, fix)
    if as_json:
        _print_json(**report.to_dict())
    else:
        print(checking.render(report))
        if fix is not None:
            print(
                f"{fix}: {len(report.kept)} utterances; what was mended or left out is in "
                f"{checking.beside(fix)}"
            )
    if report.findings:
        raise typer.Exit(1)


@app.command()
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
    _check_settings(config, overrides)
    from codeclm.tts import plan as planning

    try:
        with _quiet_stdout():
            found = planning.run(config, overrides or [], codec, steps)
    except planning.Illegal as error:
        if as_json:
            _print_json(legal=False, reason=str(error))
        else:
            print(f"not legal: {error}")
        raise typer.Exit(1) from None
    if as_json:
        _print_json(legal=True, **dataclasses.asdict(found))
    else:
        print(planning.render(found))


@train_app.command("codec")
def train_codec(config: ConfigPath, overrides: Overrides = None) -> None:
    """Train a codec: encoder, bottleneck and decoder to the spectrum."""
    _run("codeclm.codecs.house.train", config, overrides)


@train_app.command("vocoder")
def train_vocoder(config: ConfigPath, overrides: Overrides = None) -> None:
    """Train the vocoder, which turns the spectra of all house codecs into sound."""
    _run("codeclm.codecs.house.train_vocoder", config, overrides)


@train_app.command("tts")
def train_tts(config: ConfigPath, overrides: Overrides = None) -> None:
    """Train a speaking model on token shards."""
    _run("codeclm.tts.train", config, overrides, word_error_rate=_word_error_rate)


def _word_error_rate(said: Any) -> float:
    """How well a recognizer understands what a model in training says."""
    from codeclm.evaluation.asr import word_error_rate

    return word_error_rate(said)


def _run(module: str, config: Path, overrides: list[str] | None, **tools: Any) -> None:
    """Calls `run(config, overrides)` of a module that is heavy to import."""
    _check_settings(config, overrides)
    importlib.import_module(module).run(config, overrides or [], **tools)


def _check_settings(config: Path, overrides: list[str] | None) -> None:
    _check_input(config, "configuration")
    for override in overrides or []:
        if "=" not in override:
            raise ValueError(f"override {override!r}: write it as key=value, such as optim.lr=1e-4")


# --- output ---


@contextlib.contextmanager
def _quiet_stdout() -> Iterator[None]:
    """Sends what libraries print to stderr, so that stdout holds the result and nothing else."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def _print_json(**fields: object) -> None:
    print(json.dumps(fields, ensure_ascii=False))
