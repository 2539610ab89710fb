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
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from codeclm.config import load_config
from codeclm.corpus import read_manifest
from codeclm.evaluation import asr, report, speech, stats
from codeclm.evaluation.items import Results, Row
from codeclm.evaluation.tables import Cell, Table, column
from codeclm.tts.sampling import Sampling

NOTES = (
    "similarity: cosine of Resemblyzer embeddings to the reference recording; scaled: 0 = "
    "two different speakers, 1 = two true recordings of one speaker",
    "intervals: bootstrap over items, 5,000 draws, seeded; WER pooled over words",
)


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
    import codeclm

    # 1. what is measured with what
    tts: Any = codeclm.load_tts(args.model)
    recognizer = asr.load_asr(args.asr)
    made_with = {
        "model": str(args.model),
        "model_fingerprint": fingerprint(args.model),
        "codec": tts.codec.spec.name,
        "codec_fingerprint": tts.codec.spec.fingerprint,
        "asr": recognizer.version,
        "seed": args.seed,
        "split": args.split,
    }

    # 2. the items, the same for every model, and a function for each of them and each kind
    utterances = read_manifest(args.corpus)
    items = speech.Items.pick(utterances, args.sentences, args.clones, False, args.split, args.seed)
    judge = speech.Judge(recognizer)

    @cache
    def warm() -> Any:
        tts.speak("This warms up.", seed=0)
        return tts

    tasks = [
        *speech.of_recordings(items, judge, tts.sample_rate),
        *speech.of_codec(items, judge, lambda: tts.codec),
    ]
    for given in args.sampling or [""]:
        keep = args.out / "audio" / given if args.save_audio else None
        kind, how = f"spoken {given}".strip(), sampling_of(tts, given)
        tasks += speech.of_model(items, judge, warm, kind, how, args.seed, keep)

    # 3. what is not there yet is measured, and all of it summed up
    figures = summarize(Results(args.out, made_with, speech.COLUMNS).complete(tasks))
    facts = made_with | {"command": f"`{args.command}`"}
    lines = [f"{key.replace('_', ' ')}: {fact}" for key, fact in facts.items() if fact is not None]
    parts = [report.table(table(figures)), report.points("", [*lines, *NOTES])]
    record = made_with | {"command": args.command, "figures": figures}
    print(report.write(args.out / "summary", record, parts))


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
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["part"], row["kind"]].append(row)
    figures: dict[str, dict[str, Any]] = {}

    def add(name: str, interval: stats.Interval, unit: str = "") -> None:
        figures[name] = asdict(interval) | {"unit": unit}

    what = {"recording": "recordings", "codec": "through the codec"}
    for (part, kind), own in groups.items():
        if kind != "impostor":
            source = what.get(kind, kind)
            errors = stats.ratio(column(own, "errors"), column(own, "words"))
            add(f"{part}: WER, {source}", errors, "%")
            if rated := column(own, "dnsmos"):
                add(f"{part}: DNSMOS, {source}", stats.mean(rated))
    for name, label in {
        "pesq_wb": "PESQ-WB", "stoi": "STOI", "mel_db": "mel distance, dB",
        "codec_similarity": "similarity to the original",
    }.items():  # fmt: skip
        add(f"codec: {label}", stats.mean(column(groups["sentences", "codec"], name)))
    alike = {key: np.array(column(own, "similarity")) for key, own in groups.items()}
    for (part, kind), raw in alike.items():
        add(f"{part}: similarity to the voice, {who(kind)}", stats.mean(raw))
    if ("clones", "impostor") in alike:
        floor = alike["clones", "impostor"]
        for (part, kind), raw in alike.items():
            if part == "clones" and kind not in ("impostor", "recording"):
                scaled = stats.ratio(raw - floor, alike["clones", "recording"] - floor)
                add(f"clones: scaled similarity, {who(kind)}", scaled)
    for kind in dict.fromkeys(kind for _, kind in groups if kind.startswith("spoken")):
        own = [row for row in rows if row["kind"] == kind]
        how = kind.removeprefix("spoken")
        seconds, took = (np.array(column(own, f"{n}_seconds")) for n in ("audio", "generation"))
        add(f"speed: median x real time{how}", stats.median(seconds / took))
        add(f"speed: median ms to first audio{how}", stats.median(column(own, "first_audio_ms")))
        rescued = [any(json.loads(row["interventions"]).values()) for row in own]
        add(f"spoken items with an intervention{how}", stats.mean(rescued), "%")
    return figures


def who(kind: str) -> str:
    """Whose voice is compared: `spoken steps=4` is `clone steps=4`."""
    known = {
        "impostor": "two different speakers", "recording": "two recordings of one speaker",
        "codec": "recording through the codec",
    }  # fmt: skip
    return known.get(kind, kind.replace("spoken", "clone", 1))


def table(figures: dict[str, dict[str, Any]]) -> Table:
    """The figures, a row each."""
    rows = {}
    for name, found in figures.items():
        scale, unit = (100, " %") if found["unit"] == "%" else (1, "")
        value, low, high = (f"{scale * found[key]:.3g}" for key in ("value", "low", "high"))
        rows[name] = {
            "value": Cell(found, value + unit),
            "95 % interval": Cell(found, f"{low} to {high}"),
            "items": Cell(found, str(found["items"])),
        }
    return Table("", rows, corner="figure")


if __name__ == "__main__":
    main()
