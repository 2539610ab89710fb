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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.progress import track

import codeclm
from codeclm.evaluation import asr, hard, stats
from codeclm.evaluation.items import Results, Row
from codeclm.evaluation.speech import Judge, interventions
from codeclm.evaluation.tables import column
from codeclm.tts.guard import OFF, Guards

GUARDS = {"guarded": Guards(), "unguarded": OFF}
COLUMNS = (
    "part", "kind", "id", "text", "heard", "errors", "words", "failures",
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
    parser.add_argument("--kinds", nargs="+", default=[], help="only these kinds of text")
    arguments = sys.argv[1:] if arguments is None else arguments
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        table = measure(args)
    except ValueError as error:
        sys.exit(f"error: {error}")
    command = shlex.join(["python", "scripts/evaluate_hard.py", *arguments])
    page = f"{table}\n- command: `{command}`\n"
    (args.out / "summary.md").write_text(page, encoding="utf-8")
    print(page)


def measure(args: argparse.Namespace) -> str:
    """All items, those that are done already aside; the summary as Markdown."""
    tts = codeclm.load_tts(args.model)
    voice = codeclm.Voice.from_audio(args.voice, tts.codec) if args.voice else None
    recognizer = asr.load_asr(args.asr)
    judge = Judge(recognizer)
    made_with = {"model": args.model, "asr": recognizer.version, "seed": args.seed}
    texts = [item for item in hard.items() if not args.kinds or item[1] in args.kinds]
    keys = [(kind, guards, name) for name, kind, _ in texts for guards in GUARDS]
    with Results(args.out, made_with, COLUMNS) as results:
        for name, kind, text in track(texts, description="speaking"):
            for guards in GUARDS:
                if (kind, guards, name) not in results.rows:
                    row = say(tts, voice, judge, text, GUARDS[guards], args.seed)
                    results.add({"part": kind, "kind": guards, "id": name} | row)
        rows = [results.rows[key] for key in keys]
    return summary(rows, made_with)


def say(tts: Any, voice: Any, judge: Judge, text: str, guards: Guards, seed: int) -> Row:
    """One text, said and heard."""
    speech = tts.speak(text, voice=voice, seed=seed, guards=guards)
    made = {
        "generation_seconds": speech.generation_seconds,
        "interventions": json.dumps(speech.interventions),
    }
    wav = torch.from_numpy(speech.wav)[None]
    return judge.words(text, wav, speech.sample_rate, "en") | made


def summary(rows: Sequence[Row], made_with: dict[str, Any]) -> str:
    """Failures by kind, with the guards on and off, and what the guards did."""
    lines = ["| | " + " | ".join(GUARDS) + " |", "|---|" + "---|" * len(GUARDS)]
    groups = {name: [row for row in rows if row["kind"] == name] for name in GUARDS}

    def line(title: str, cell: Any) -> None:
        lines.append(f"| {title} | " + " | ".join(str(cell(g)) for g in groups.values()) + " |")

    line("texts", len)
    line("without any failure", lambda group: sum(not row["failures"] for row in group))
    for kind in hard.KINDS:
        line(kind, lambda group, kind=kind: sum(kind in row["failures"] for row in group))
    line("WER", word_error_rate)
    line("seconds of audio", lambda group: round(sum(column(group, "audio_seconds"))))
    line("guards stepped in", interventions)
    return "\n".join([*lines, "", *(f"- {key}: {fact}" for key, fact in made_with.items())])


def word_error_rate(rows: Sequence[Row]) -> str:
    """Pooled over words, with its interval."""
    return stats.ratio(column(rows, "errors"), column(rows, "words")).percent()


if __name__ == "__main__":
    with torch.inference_mode():
        main()
