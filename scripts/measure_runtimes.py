"""Measure a model in torch and as ONNX graphs in 32 and in 8 bits, in turns in one process.

    python scripts/measure_runtimes.py --model starter
    python scripts/measure_runtimes.py --model starter --corpus MANIFEST

Prints one row a runtime: times real time and milliseconds to the first sound, each the median of
all rounds, by the clock and by the CPU time of this process, which other work on the machine does
not count in; and what `codeclm speak` takes in a process of its own, from command to file. All
run on one thread.

With a corpus it prints the word errors of both precisions instead (extra `eval`): test sentences of
6 to 20 words, in the stock voices by turns, the same seeds for both.
"""

import argparse
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
TEXT = "The birch canoe slid on the smooth planks."
CLOCKS: dict[str, Callable[[], float]] = {"clock": time.perf_counter, "CPU": time.process_time}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="starter")
    parser.add_argument("--codec", help="folder of the codec, for a model trained on your own one")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--corpus", type=Path, help="count word errors on its test sentences")
    parser.add_argument("--sentences", type=int, default=100)
    args = parser.parse_args()
    from codeclm.tts.exported import run, write

    with tempfile.TemporaryDirectory() as temporary:
        folders = {}
        for precision in write.PRECISIONS:
            folder = Path(temporary) / precision
            folders[precision] = write.export(args.model, folder, args.codec, precision)
        models = {name: run.load(folder) for name, folder in folders.items()}
        if args.corpus:
            word_errors(models, args.corpus, args.sentences)
        else:
            speeds(models, folders, args)


def word_errors(models: dict[str, Any], corpus: Path, count: int) -> None:
    """Prints the word errors of each model, and of the second against the first."""
    import torch

    from codeclm.audio import resample
    from codeclm.corpus import read_manifest
    from codeclm.evaluation import asr, stats

    sentences = [
        one.text
        for one in read_manifest(corpus)
        if one.split == "test" and 6 <= len(one.text.split()) <= 20
    ]
    random.Random(0).shuffle(sentences)
    listener = asr.load_asr("tiny.en")
    errors: dict[str, list[float]] = {name: [] for name in models}
    words: list[float] = []
    for number, text in enumerate(sentences[:count]):
        for name, model in models.items():
            voices = list(model.voices.values())
            speech = model.speak(text, voice=voices[number % len(voices)], seed=number)
            wav = resample(torch.from_numpy(speech.wav), speech.sample_rate, asr.SAMPLE_RATE)
            found = asr.word_errors(text, listener.transcribe(wav.numpy()))
            errors[name].append(found.errors)
        words.append(found.words)
    rows = {name: stats.ratio(own, words) for name, own in errors.items()}
    one, other = errors.values()
    away = [b - a for a, b in zip(one, other, strict=True)]
    rows["the second less the first"] = stats.ratio(away, words)
    for name, row in rows.items():
        value, low, high = (100 * x for x in (row.value, row.low, row.high))
        print(f"{name}: {value:.2f} % [{low:.2f}, {high:.2f}] of {row.items} sentences")


def speeds(models: dict[str, Any], folders: dict[str, Path], args: argparse.Namespace) -> None:
    """Prints the speed of each model, and of torch."""
    from codeclm.tts import network

    models["torch"] = network.load(args.model, args.codec)
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for turn in range(args.rounds + 1):  # the first warms up
        for name, model in models.items():
            marks = {clock: [now()] for clock, now in CLOCKS.items()}
            samples = 0
            for chunk in model.stream(TEXT, seed=1):
                samples += len(chunk)
                for clock, now in CLOCKS.items():
                    marks[clock].append(now())
            for clock, times in marks.items():
                speed = samples / model.sample_rate / (times[-1] - times[0])
                if turn:
                    first = 1000 * (times[1] - times[0])
                    found.setdefault((name, clock), []).append((speed, first))
    cold = {name: command(str(folder)) for name, folder in folders.items()}
    cold["torch"] = command(str(folders["fp32"]), "--codec", str(folders["fp32"] / "codec"))
    columns = [
        f"{what}, {clock}" for clock in CLOCKS for what in ("x real time", "first ms", "cold s")
    ]
    print("| | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for name in models:
        cells = []
        for place, clock in enumerate(CLOCKS):
            speed, first = (statistics.median(x) for x in zip(*found[name, clock], strict=True))
            cells += [f"{speed:.1f}", f"{first:.0f}", f"{cold[name][place]:.2f}"]
        print(f"| {name} | " + " | ".join(cells) + " |")


def command(model: str, *options: str) -> tuple[float, float]:
    """Seconds that the best of three `codeclm speak` takes, by the clock and of CPU time."""
    taken = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(3):
            before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            asked = ["speak", TEXT, "--seed", "1", "--model", model, "--out", f"{folder}/a.wav"]
            subprocess.run(
                [sys.executable, "-m", "codeclm", *asked, *options],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            taken.append((time.perf_counter() - began, spent))
    return min(row[0] for row in taken), min(row[1] for row in taken)


if __name__ == "__main__":
    main()
