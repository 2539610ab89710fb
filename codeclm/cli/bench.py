"""`codeclm bench`: how fast models speak on this machine."""

import dataclasses
from typing import Annotated

import typer

import codeclm
from codeclm.cli.common import (
    Json,
    Language,
    OwnCodec,
    Voice,
    check_model,
    print_json,
    quiet_stdout,
)
from codeclm.cli.speak import check_voice, voice_of


def bench(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL[@STEPS,...]",
            help="Model folders, hub names, or [b]starter[/b], measured in turn; of models of "
            "latents with the numbers of steps to compare.",
        ),
    ] = None,
    batch: Annotated[
        str, typer.Option(metavar="N,...", help="Numbers of texts spoken at once.")
    ] = "1,4,16",
    runs: Annotated[int, typer.Option(min=1, help="First sounds to time for each row.")] = 30,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads; otherwise the fastest number is found.")
    ] = None,
    voice: Voice = None,
    codec: OwnCodec = None,
    text: Annotated[
        list[str] | None, typer.Option(help="What to say; may be given several times.")
    ] = None,
    language: Language = "en",
    as_json: Json = False,
) -> None:
    """Measure speed, time to the first audio, a step and its roofline, and memory."""
    batches = _numbers(batch, "--batch")
    asked = []
    for given in models or ["starter"]:
        name, at, steps = given.rpartition("@")
        if not at or not steps.replace(",", "").isdigit():
            name, steps = given, ""  # perhaps a hub name with its revision
        check_model(name)
        asked.append((name, _numbers(steps, "steps") if steps else [None]))
    check_voice(voice)
    with quiet_stdout():
        from codeclm import checkpoint
        from codeclm.tts import bench as benching

        setups = []
        for name, counts in asked:
            tts = codeclm.load_tts(name, codec)
            spoken = voice_of(voice, tts)
            for count in counts:
                label = f"{name} {count}" if count else name
                how = tts.sampling.model_copy(update={"steps": count} if count else {})
                folder = checkpoint.resolve(name)
                setups.append(benching.Setup(label, tts, folder, how, spoken, language))
        rows = benching.bench(setups, batches, runs, threads, text or benching.SENTENCES)
    if as_json:
        print_json(rows=[dataclasses.asdict(row) for row in rows])
    else:
        print(benching.render(rows))


def _numbers(text: str, where: str) -> list[int]:
    """Whole numbers from 1, separated by commas."""
    numbers = [int(part) if part.strip().isdigit() else 0 for part in text.split(",")]
    if min(numbers) < 1:
        raise ValueError(f"{where} {text!r}: write whole numbers from 1, such as 1,4,16")
    return numbers
