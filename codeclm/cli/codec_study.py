"""`codeclm codec probe`, `minimal-pairs`, `listen`, `listen-score`, `pick`: studies of codecs."""

from pathlib import Path
from typing import Annotated, Any

import typer

from codeclm.cli.codec import CodecName, app
from codeclm.cli.common import check_input, quiet_stdout

Data = Annotated[Path, typer.Option(help="The manifest of recordings with their texts.")]
Out = Annotated[Path, typer.Option(help="Folder for the results; a run goes on where it was.")]
Seed = Annotated[int, typer.Option(help="Of the selection and of all that is random.")]


@app.command("probe")
def codec_probe(
    codec: CodecName,
    data: Data,
    out: Out,
    items: Annotated[int, typer.Option(min=1, help="Recordings to fill with noise.")] = 24,
    swaps: Annotated[int, typer.Option(min=0, help="Pairs of recordings to mix.")] = 24,
    alignment: Annotated[
        Path | None, typer.Option(help="Folder that prep made of the same corpus: phonemes too.")
    ] = None,
    frames: Annotated[int, typer.Option(min=1, help="Frames that phonemes are learned from.")] = (
        100_000
    ),
    asr: Annotated[str, typer.Option(help="The Whisper that listens.")] = "tiny.en",
    seed: Seed = 0,
) -> None:
    """Show what each codebook carries: words, voice, melody or sound."""
    check_input(data, "manifest")
    from codeclm.evaluation import codec_probe

    plan = codec_probe.Plan(codec, data, out, items, swaps, alignment, frames, asr, seed)
    with quiet_stdout():
        page = codec_probe.run(plan, _progress)
    print(page)


@app.command("minimal-pairs")
def codec_minimal_pairs(
    codecs: Annotated[str, typer.Option(help="Codecs with commas between; opus-12k too.")],
    audio: Annotated[
        Path, typer.Option(help="Manifest of words, or its folder: text, speaker, language.")
    ],
    out: Out,
    pairs: Annotated[
        Path | None, typer.Option(help="A list of pairs; without it that of the package.")
    ] = None,
) -> None:
    """Ask whether tokens still tell words apart that differ in one sound (ABX)."""
    if pairs is not None:
        check_input(pairs, "list of pairs")
    if not audio.exists():
        raise ValueError(f"recordings {audio}: no such file or folder")
    from codeclm.evaluation import minimal_pairs, pair_study

    names = tuple(name.strip() for name in codecs.split(",") if name.strip())
    plan = pair_study.Plan(names, pairs or minimal_pairs.LIST, audio, out)
    with quiet_stdout():
        page = pair_study.run(plan, _progress)
    print(page)


def _progress(tasks: list[Any]) -> Any:
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(tasks, "measuring", console=console, disable=not tasks)
