"""`codeclm codec`: the codecs, and what they make of a recording."""

import dataclasses
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

import codeclm
from codeclm import audio
from codeclm.cli.common import (
    SETTINGS,
    Json,
    check_input,
    print_json,
    quiet_stdout,
    words,
)

app = typer.Typer(help="List the codecs, hear and measure what they do to speech.", **SETTINGS)


@app.command("list")
def codec_list(as_json: Json = False) -> None:
    """List the codecs: those of this installation, and published ones to download."""
    from codeclm import codecs
    from codeclm.codecs.published import weights
    from codeclm.codecs.published.opus import Opus

    yardsticks = [Opus(name, bitrate) for name, bitrate in codecs.YARDSTICKS.items()]
    rows = [(name, codecs.load_codec(name).spec, "", "shipped") for name in codecs.HOUSE]
    for name, known in codecs.PUBLISHED.items():
        here = not known.hub or weights.cached(known.hub, known.files)
        place = "downloaded" if here else "not downloaded"
        rows.append((name, known.spec, known.hub, place))
    if as_json:
        about = {n: {**spec.to_dict(), "hub": hub, "weights": at} for n, spec, hub, at in rows}
        about |= {opus.name: {**dataclasses.asdict(opus), "streams": []} for opus in yardsticks}
        print_json(**about)
        return
    for name, spec, hub, place in rows:
        tokens = f"{len(spec.streams)} streams, {spec.bitrate / 1000:.2f} kbit/s"
        if spec.latent_dims:
            tokens = f"{spec.latent_dims} numbers a frame, continuous"
        print(
            f"{name}: {spec.family}, {spec.sample_rate} Hz, {spec.frame_rate:.4g} frames a second, "
            f"{tokens}, {spec.latency_ms:.0f} ms" + (f", {hub} {place}" if hub else "")
        )
    for opus in yardsticks:
        print(
            f"{opus.name}: {opus.family}, {opus.sample_rate} Hz, {opus.sample_rate / opus.hop:.4g} "
            f"packets a second, {opus.bitrate / 1000:.2f} kbit/s, {opus.latency_ms:.0f} ms, "
            "no tokens: for roundtrip and bench alone"
        )


CodecName = Annotated[
    str,
    typer.Argument(
        metavar="CODEC",
        help="A codec by name, folder or hub name; a published one also as NAME@FOLDER.",
    ),
]
Streams = Annotated[int | None, typer.Option(min=1, help="Codebooks to use of a published codec.")]


@app.command("roundtrip")
def codec_roundtrip(
    codec: CodecName,
    source: Annotated[Path, typer.Argument(metavar="IN", help="A sound file.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The sound file to write.")],
    streams: Streams = None,
) -> None:
    """Encode a recording, decode it again, and write what is left of it."""
    check_input(source, "recording")
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


@app.command("encode")
def codec_encode(
    codec: CodecName,
    source: Annotated[Path, typer.Argument(metavar="IN", help="A sound file.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The .safetensors file to write.")],
    streams: Streams = None,
) -> None:
    """Write the tokens of a recording to a file that knows its codec."""
    check_input(source, "recording")
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


@app.command("decode")
def codec_decode(
    source: Annotated[Path, typer.Argument(metavar="TOKENS", help="What encode wrote.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The sound file to write.")],
    codec: Annotated[
        str | None, typer.Option(help="The codec of these tokens, when its name does not find it.")
    ] = None,
) -> None:
    """Turn a token file into sound again."""
    check_input(source, "token file")
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


@app.command("bench")
def codec_bench(
    codecs: Annotated[
        str, typer.Option(help="Names or folders, with commas between; Opus by opus-6k and others.")
    ],
    data: Annotated[
        list[str],
        typer.Option(
            metavar="[NAME=]MANIFEST", help="Recordings with their texts; may be repeated."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the report; a run goes on where it was.")],
    items: Annotated[
        list[str] | None,
        typer.Option(metavar="[NAME=]N", help="Recordings of each language of a set."),
    ] = None,
    asr: Annotated[
        str | None,
        typer.Option(
            help="The Whisper that listens, or [b]none[/b]; else tiny.en where all is English, "
            "base elsewhere."
        ),
    ] = None,
    streams: Annotated[
        str, typer.Option(help="Residual codecs also by their first codebooks, such as 1,2,4.")
    ] = "",
    splits: Annotated[
        str, typer.Option(help="Of the manifests; else test and unseen where there are any.")
    ] = "",
    listen: Annotated[int, typer.Option(min=0, help="Recordings to listen to on the page.")] = 4,
    seed: Annotated[int, typer.Option(help="Of the selection.")] = 0,
    as_json: Json = False,
) -> None:
    """Measure codecs side by side on your recordings, and write a page about it."""
    names = words(codecs)
    if not names:
        raise ValueError("--codecs names no codec: give names with commas between them")
    sets = {name or _set_name(path): Path(path) for name, path in map(_named, data)}
    if len(sets) < len(data):
        raise ValueError("two sets have one name: write --data NAME=MANIFEST")
    for path in sets.values():
        if not path.exists():
            raise ValueError(f"manifest {path}: no such file")
    counts = {name: _count(n, "--items") for name, n in map(_named, items or [])}
    if unknown := set(counts) - {*sets, ""}:
        raise ValueError(f"--items {unknown.pop()}: no such set (known: {', '.join(sets)})")
    from codeclm.codec_study import bench, bench_report
    from codeclm.codec_study.measured import Plan

    plan = Plan(
        codecs=names, data=sets, out=out, items=counts, asr=asr,
        streams=tuple(_count(n, "--streams") for n in words(streams)),
        splits=words(splits) or None, seed=seed, listen=listen,
        command=shlex.join(["codeclm", *sys.argv[1:]]),
    )  # fmt: skip
    with quiet_stdout():
        report = bench_report.write(bench.run(plan))
    if as_json:
        print_json(**report)
    else:
        print(f"{out / 'report.html'}, report.md, report.json, items.csv")


def _named(text: str) -> tuple[str, str]:
    """`NAME=VALUE` or a value alone."""
    name, equals, value = text.partition("=")
    return (name, value) if equals else ("", text)


def _set_name(path: str) -> str:
    """What a manifest is called that was given no name: its folder."""
    place = Path(path).resolve()
    return place.parent.name if place.stem == "manifest" else place.stem


def _count(text: str, option: str) -> int:
    if not (text.strip().isdecimal() and int(text)):
        raise ValueError(f"{option} {text!r}: write a whole number above 0")
    return int(text)
