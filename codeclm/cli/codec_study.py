"""`codeclm codec probe`, `minimal-pairs`, `listen`, `listen-score`, `pick`: studies of codecs."""

from pathlib import Path
from typing import Annotated

import typer

from codeclm.cli import codec as codecs_verbs
from codeclm.cli.codec import CodecName
from codeclm.cli.common import Json, check_input, print_json, quiet_stdout, words

app = codecs_verbs.app  # these verbs stand beside those of codec.py
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
    from codeclm.codec_study import codec_probe
    from codeclm.codec_study.probe_bench import Plan

    plan = Plan(codec, data, out, items, swaps, alignment, frames, asr, seed)
    with quiet_stdout():
        page = codec_probe.run(plan)
    print(page)


@app.command("minimal-pairs")
def codec_minimal_pairs(
    codecs: Annotated[str, typer.Option(help="Codecs with commas between.")],
    audio: Annotated[
        Path, typer.Option(help="Manifest of words, or its folder: text, speaker, language.")
    ],
    out: Out,
    pairs: Annotated[
        Path | None, typer.Option(help="A list of pairs; without it that of the package.")
    ] = None,
    sound: Annotated[
        bool, typer.Option("--sound", help="Look at what the codecs sound like too.")
    ] = False,
) -> None:
    """Ask whether tokens still tell words apart that differ in one sound (ABX)."""
    if pairs is not None:
        check_input(pairs, "list of pairs")
    if not audio.exists():
        raise ValueError(f"recordings {audio}: no such file or folder")
    from codeclm.codec_study import minimal_pairs, pair_study

    with quiet_stdout():
        page = pair_study.run(words(codecs), pairs or minimal_pairs.LIST, audio, out, sound)
    print(page)


@app.command("listen")
def codec_listen(
    codecs: Annotated[str, typer.Option(help="Codecs with commas between; opus-12k too.")],
    data: Data,
    out: Annotated[Path, typer.Option(help="The HTML page to write.")],
    items: Annotated[int, typer.Option(min=1, help="Recordings to rate.")] = 8,
    abx: Annotated[
        Path | None,
        typer.Option("--words", help="Manifest of words, or its folder: adds an ABX test."),
    ] = None,
    pairs: Annotated[
        Path | None, typer.Option(help="Their list; without it that of the package.")
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Pairs of words, each through all.")] = 4,
    seed: Seed = 0,
) -> None:
    """Write a listening test, MUSHRA and ABX, as one page that needs no network."""
    check_input(data, "manifest")
    if out.suffix != ".html":
        raise ValueError(f"{out}: a page ends in .html")
    from codeclm.audio import check_folder
    from codeclm.codec_study import listen_page, minimal_pairs
    from codeclm.files import write_text

    check_folder(out)
    lists = pairs or minimal_pairs.LIST
    with quiet_stdout():
        page = listen_page.build(words(codecs), data, items, abx, lists, trials, seed)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, page)
    print(f"{out}: {len(page) / 1e6:.1f} MB; listeners open it and send back a CSV file")


@app.command("listen-score")
def codec_listen_score(
    answers: Annotated[list[Path], typer.Argument(metavar="ANSWERS", help="Files of listeners.")],
    as_json: Json = False,
) -> None:
    """Score the answers of a listening test."""
    from codeclm.codec_study import listen_score
    from codeclm.evaluation import report

    found = listen_score.tables(listen_score.read_answers(answers))
    if as_json:
        print_json(**report.values(found))
        return
    print(report.markdown(map(report.table, found)), end="")


@app.command("pick")
def codec_pick(
    task: Annotated[
        str, typer.Option(help="tts, duplex, music, fidelity, effects, editing or compression.")
    ] = "tts",
    streaming: Annotated[
        bool, typer.Option("--streaming", help="Sound has to come while it is made.")
    ] = False,
    max_latency_ms: Annotated[
        float | None, typer.Option(min=1, help="The longest wait of a stream (250 if streaming).")
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="Language of the speech, such as hi.")
    ] = None,
    results: Annotated[
        Path | None, typer.Option(help="report.json of a bench: measurements of your own.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many to show.")] = 5,
    as_json: Json = False,
) -> None:
    """Rank the codecs for a task, and say why."""
    from codeclm.codec_study import codec_facts, pick

    if task not in pick.TASKS:
        raise ValueError(f"no task {task!r}: choose one of {', '.join(pick.TASKS)}")
    if streaming and max_latency_ms is None:
        max_latency_ms = 250.0
    ask = pick.Ask(task, max_latency_ms, language)
    found = codec_facts.candidates(results)
    good, refused = pick.rank(found, ask)
    if as_json:
        print_json(
            task=task,
            what=pick.TASKS[task].what,
            ranked=[{"codec": c.name, "points": c.points, "reasons": c.reasons} for c in good],
            refused={c.name: c.refused for c in refused},
        )
        return
    sources = {c.name: c.source for c in found}
    print(f"{task}: {pick.TASKS[task].what}")
    for place, choice in enumerate(good[:top], start=1):
        print(f"{place}. {choice.name}, {choice.points:g} points")
        print(f"   {'; '.join(choice.reasons)}")
        print(f"   {sources[choice.name]}")
    if len(good) > top:
        print(f"then: {', '.join(f'{c.name} ({c.points:g})' for c in good[top:])}")
    for choice in refused:
        print(f"not {choice.name}: {choice.refused}")
