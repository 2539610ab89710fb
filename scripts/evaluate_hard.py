"""Count what goes wrong with the hard set: sixty texts, with the guards on and off.

    python scripts/evaluate_hard.py --model starter --out runs/hard

Every text is said in the first stock voice (or `--voice`), read back by Whisper, and its failures
are counted by kind (`codeclm.evaluation.hard`). The out folder holds `items.csv`, one row a text,
which is appended as it is done, and `summary.md`. Run again after an interruption: rows that are
done are skipped.
"""

import argparse
import json
import shlex
import sys
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

import codeclm
from codeclm.evaluation import asr, hard, report, stats
from codeclm.evaluation.items import Results, Row
from codeclm.evaluation.speech import Judge, interventions
from codeclm.evaluation.tables import Cell, Cells, Table, column, number
from codeclm.tts.guard import OFF, Guards

GUARDS = {"guarded": Guards(), "unguarded": OFF}
COLUMNS = (
    "part", "kind", "id", "text", "heard", "errors", "words", "char_errors", "chars", "failures",
    "audio_seconds", "generation_seconds", "interventions",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing, then write the summary."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="starter", help="name or folder of a TTS model")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--voice", type=Path, help="a recording; default: the first stock voice")
    parser.add_argument("--asr", default="base", help="Whisper: tiny.en, base, or a folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--kinds", nargs="+", choices=sorted({kind for _, kind, _ in hard.items()}), default=[],
        help="only these kinds of text",
    )  # fmt: skip
    arguments = sys.argv[1:] if arguments is None else arguments
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        rows, made_with = measure(args)
    except ValueError as error:
        sys.exit(f"error: {error}")
    command = shlex.join(["python", "scripts/evaluate_hard.py", *arguments])
    facts = [*(f"{key}: {fact}" for key, fact in made_with.items()), f"command: `{command}`"]
    page = report.markdown([report.table(summary(rows)), report.points("", facts)])
    (args.out / "summary.md").write_text(page, encoding="utf-8")
    print(page)


def measure(args: argparse.Namespace) -> tuple[list[Row], dict[str, Any]]:
    """All items, those that are done already aside, and what they were made with."""
    tts = codeclm.load_tts(args.model)
    voice = codeclm.Voice.from_audio(args.voice, tts.codec) if args.voice else None
    recognizer = asr.load_asr(args.asr)
    made_with = {"model": args.model, "asr": recognizer.version, "seed": args.seed}
    say = partial(spoken, tts, voice, Judge(recognizer), args.seed)
    tasks = [
        ((kind, guards, name), partial(say, text, GUARDS[guards]))
        for name, kind, text in hard.items()
        for guards in GUARDS
        if not args.kinds or kind in args.kinds
    ]
    return Results(args.out, made_with, COLUMNS).complete(tasks, "speaking"), made_with


def spoken(tts: Any, voice: Any, judge: Judge, seed: int, text: str, guards: Guards) -> Row:
    """One text, said and heard."""
    speech = tts.speak(text, voice=voice, seed=seed, guards=guards)
    made = {
        "generation_seconds": speech.generation_seconds,
        "interventions": json.dumps(speech.interventions),
    }
    wav = torch.from_numpy(speech.wav)[None]
    return judge.words(text, wav, speech.sample_rate, "en") | made


def summary(rows: Sequence[Row]) -> Table:
    """Failures by kind, with the guards on and off, and what the guards did."""
    table: dict[str, Cells] = defaultdict(dict)
    for name in GUARDS:
        own = [row for row in rows if row["kind"] == name]
        errors = stats.ratio(column(own, "errors"), column(own, "words"))
        helped = [f"{kind} {count}" for kind, count in interventions(own).most_common()]
        for title, cell in {
            "texts": number(len(own)),
            "without any failure": number(sum(not row["failures"] for row in own)),
            **{kind: number(sum(kind in row["failures"] for row in own)) for kind in hard.KINDS},
            "WER": Cell(errors, errors.percent()),
            "seconds of audio": number(round(sum(column(own, "audio_seconds")))),
            "guards stepped in": Cell(helped, ", ".join(helped) or "never"),
        }.items():
            table[title][name] = cell
    return Table("", table)


if __name__ == "__main__":
    with torch.inference_mode():
        main()
