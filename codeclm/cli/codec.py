"""`codeclm codec`: the codecs, and what they make of a recording."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

import codeclm
from codeclm import audio
from codeclm.cli.common import SETTINGS, Json, check_input, print_json

app = typer.Typer(help="List the codecs, or hear what one does to a recording.", **SETTINGS)


@app.command("list")
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
        print_json(
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
