"""Reproduce the figures of a model: word errors, voice similarity, speed, with 95 % intervals.

    python scripts/evaluate.py --model starter --corpus MANIFEST --out results/starter

Three questions. Words: 100 test sentences in voices of the training set, read back by Whisper; true
recordings and the codec's resynthesis of them are the ceilings. Voice: 40 clones of speakers that
were never trained on, from one other utterance of theirs. Speed: how many times real time.

The out folder holds `items.csv` (one row an item, appended as it is done), `run.json` (what was
measured with what), `summary.json` and `summary.md`. Run again after an interruption: rows that
are done are skipped. `codeclm codec bench` measures codecs alone.
"""

import argparse
import json
import shlex
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track

from codeclm.config import load_config
from codeclm.corpus import read_manifest
from codeclm.evaluation import asr, speech, stats
from codeclm.evaluation.items import Results, Row
from codeclm.tts.sampling import Sampling


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing, then write the summary."""
    args = parse(arguments)
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            run(args)
    except ValueError as error:
        sys.exit(f"error: {error}")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="starter", help="name or folder of a TTS model")
    parser.add_argument("--corpus", type=Path, required=True, help="manifest.jsonl of the corpus")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--sentences", type=int, default=100, help="test sentences (default 100)")
    parser.add_argument("--clones", type=int, default=40, help="clones (default 40)")
    parser.add_argument("--asr", default="tiny.en", help="Whisper: tiny.en, base, or a folder")
    parser.add_argument("--seed", type=int, default=0, help="of the selection and of speaking")
    parser.add_argument("--split", default="test", help="split of the sentences (default test)")
    parser.add_argument(
        "--sampling", action="append", metavar="KEY=VALUE,...",
        help="speak with this sampling, such as steps=4; give it again to compare several",
    )  # fmt: skip
    parser.add_argument("--save-audio", action="store_true", help="keep what was spoken")
    arguments = sys.argv[1:] if arguments is None else arguments
    args = parser.parse_args(arguments)
    args.command = shlex.join(["python", "scripts/evaluate.py", *arguments])
    return args


def run(args: argparse.Namespace) -> None:
    """The measurement, step by step."""
    # 1. what is measured with what
    import codeclm

    utterances = read_manifest(args.corpus)
    tts: Any = codeclm.load_tts(args.model)
    codec = tts.codec
    recognizer = asr.load_asr(args.asr)
    made_with = {
        "model": str(args.model),
        "model_fingerprint": fingerprint(args.model),
        "codec": codec.spec.name,
        "codec_fingerprint": codec.spec.fingerprint,
        "asr": recognizer.version,
        "seed": args.seed,
        "split": args.split,
    }

    # 2. the items, the same for every model
    items = speech.Items.pick(utterances, args.sentences, args.clones, False, args.split, args.seed)
    judge = speech.Judge(recognizer)

    # 3. one function an item and kind
    tasks = [
        *speech.of_recordings(items, judge, tts.sample_rate),
        *speech.of_codec(items, judge, lambda: codec),
    ]
    for given in args.sampling or [""]:
        keep = args.out / "audio" / given if args.save_audio else None
        kind, how = f"spoken {given}".strip(), sampling_of(tts, given)
        tasks += speech.of_model(items, judge, lambda: tts, kind, how, args.seed, keep)

    # 4. measure what is not there yet
    with Results(args.out, made_with, speech.COLUMNS) as results:
        missing = [task for task in tasks if task[0] not in results.rows]
        if any(kind.startswith("spoken") for (_, kind, _), _ in missing):
            tts.speak("This warms up.", seed=0)
        for key, measure in track(missing, description="measuring", disable=not missing):
            part, kind, item = key
            results.add({"part": part, "kind": kind, "id": item} | measure())
        wanted = [results.rows[key] for key, _ in tasks]

    # 5. the summary of the wanted rows
    figures = summarize(wanted)
    record = made_with | {"command": args.command, "figures": figures}
    (args.out / "summary.json").write_text(json.dumps(record, indent=2) + "\n")
    text = markdown(figures, made_with | {"command": f"`{args.command}`"})
    (args.out / "summary.md").write_text(text)
    print(text)


def sampling_of(tts: Any, given: str) -> Sampling | None:
    """The model's sampling with settings replaced, as `steps=4,noise=0.8` says; None: as it is."""
    if not given:
        return None
    plain = [f"{name}={value}" for name, value in tts.sampling.model_dump().items()]
    return load_config(Sampling, None, [*plain, *given.split(",")])


def fingerprint(name: str) -> str:
    """Of the weights of a model folder."""
    from codeclm import checkpoint

    return checkpoint.fingerprint(checkpoint.load(name).tensors)


# --- summary ------------------------------------------------------------------------------------


def summarize(rows: list[Row]) -> dict[str, dict[str, Any]]:
    """Figures with intervals: name -> {value, low, high, items, unit}."""
    table: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        table[row["part"], row["kind"]].append(row)

    def column(part: str, kind: str, name: str) -> list[float]:
        return [float(row[name]) for row in table.get((part, kind), [])]

    figures: dict[str, dict[str, Any]] = {}

    def add(name: str, interval: stats.Interval, unit: str = "") -> None:
        figures[name] = asdict(interval) | {"unit": unit}

    what = {"recording": "recordings", "codec": "through the codec"}
    for part, kind in table:
        if kind == "impostor":
            continue
        errors, words = column(part, kind, "errors"), column(part, kind, "words")
        add(f"{part}: WER, {what.get(kind, kind)}", stats.ratio(errors, words), "%")
    for name, label in {
        "pesq_wb": "PESQ-WB", "stoi": "STOI", "mel_db": "mel distance, dB",
        "codec_similarity": "similarity to the original",
    }.items():  # fmt: skip
        add(f"codec: {label}", stats.mean(column("sentences", "codec", name)))
    who = {
        "impostor": "two different speakers", "recording": "two recordings of one speaker",
        "codec": "recording through the codec",
    }  # fmt: skip
    for part, kind in table:
        of = column(part, kind, "similarity")
        add(f"{part}: similarity to the voice, {who.get(kind, clone(kind))}", stats.mean(of))
    if table.get(("clones", "impostor")):
        impostor = np.array(column("clones", "impostor", "similarity"))
        same = np.array(column("clones", "recording", "similarity")) - impostor
        for part, kind in table:
            if part == "clones" and kind not in ("impostor", "recording"):
                raw = np.array(column(part, kind, "similarity")) - impostor
                add(
                    f"clones: scaled similarity, {who.get(kind, clone(kind))}",
                    stats.ratio(raw, same),
                )
    for kind in dict.fromkeys(row["kind"] for row in rows if row["kind"].startswith("spoken")):
        spoken = [row for row in rows if row["kind"] == kind]
        how = kind.removeprefix("spoken")
        seconds = np.array([float(row["audio_seconds"]) for row in spoken])
        took = np.array([float(row["generation_seconds"]) for row in spoken])
        add(f"speed: median x real time{how}", stats.median(seconds / took))
        first = [float(row["first_audio_ms"]) for row in spoken]
        add(f"speed: median ms to first audio{how}", stats.median(first))
        rescued = [any(json.loads(row["interventions"]).values()) for row in spoken]
        add(f"spoken items with an intervention{how}", stats.mean(rescued), "%")
    return figures


def clone(kind: str) -> str:
    """`spoken steps=4` as `clone steps=4`."""
    return kind.replace("spoken", "clone", 1)


def markdown(figures: dict[str, dict[str, Any]], facts: dict[str, Any]) -> str:
    """The summary as one page."""
    lines = ["| figure | value | 95 % interval | items |", "|---|---|---|---|"]
    for name, figure in figures.items():
        scale, unit = (100, " %") if figure["unit"] == "%" else (1, "")
        value, low, high = (f"{scale * figure[key]:.3g}" for key in ("value", "low", "high"))
        lines.append(f"| {name} | {value}{unit} | {low} to {high} | {figure['items']} |")
    notes = [
        f"- {key.replace('_', ' ')}: {value}" for key, value in facts.items() if value is not None
    ]
    notes.append(
        "- similarity: cosine of Resemblyzer embeddings to the reference recording; scaled: 0 = "
        "two different speakers, 1 = two true recordings of one speaker"
    )
    notes.append("- intervals: bootstrap over items, 5,000 draws, seeded; WER pooled over words")
    return "\n".join([*lines, "", *notes, ""])


if __name__ == "__main__":
    main()
