"""Measures how fast `codeclm prep` makes tokens, beside the codecs alone on the same clips.

    python scripts/measure_prep.py corpus/manifest.jsonl --codecs house-rvq house-fsq --clips 400

Every round encodes the clips from memory, as bare as can be, and then makes shards of them from the
files: reading, checking, batches, writing. Rounds alternate, so that whatever else the machine does
falls on both alike; the last line has the medians. `--workers` measures how work spreads instead:
the same shards by one worker and by several, in processes or on Ray, once every worker has made its
first (which takes the start of a process, and its libraries and codecs).
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from torch import Tensor

from codeclm.codecs import load_codec
from codeclm.corpus import Utterance, read_audio, read_manifest
from codeclm.data_prep.distribute import spread
from codeclm.data_prep.encode import encode, one_processor
from codeclm.data_prep.tokenize import Part, Target, tokenize


def main() -> None:
    """Prints hours of audio an hour."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("manifest", type=Path)
    add("--codecs", nargs="+", default=["house-fsq"])
    add("--clips", type=int, default=400)
    add("--rounds", type=int, default=5)
    add("--shard", type=int, default=100, help="clips a part, with --workers")
    add("--workers", type=int, default=1)
    add("--engine", choices=["local", "ray"], default="local")
    args = parser.parse_args()
    utterances = read_manifest(args.manifest)[: args.clips]
    hours = sum(read_audio(u, 24_000).shape[1] for u in utterances) / 24_000 / 3600
    if args.workers > 1:
        one, several = (partial(shards, args, utterances, n) for n in (1, args.workers))
        ways = {"one worker": one, f"{args.workers} workers": several}
    else:
        codecs = [load_codec(name) for name in args.codecs]
        rates = {codec.spec.sample_rate for codec in codecs}
        wavs = {rate: [read_audio(u, rate) for u in utterances] for rate in rates}

        def bare() -> float:
            begin = time.perf_counter()
            with one_processor():
                for codec in codecs:
                    encode_pools(partial(encode, codec), wavs[codec.spec.sample_rate])
            return time.perf_counter() - begin

        ways = {"codecs alone": bare, "prep": partial(shards, args, utterances, 1)}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(args.rounds):
        for name, way in ways.items():
            times[name].append(way())
        print(
            f"round {number}:",
            {name: round(taken[-1], 2) for name, taken in times.items()},
            flush=True,
        )
    speeds = {name: 3600 * hours / statistics.median(taken) for name, taken in times.items()}
    first, second = times.values()
    ratio = statistics.median(a / b for a, b in zip(first, second, strict=True))
    told = ", ".join(f"{name} {speed:.0f}" for name, speed in speeds.items())
    print(f"{', '.join(args.codecs)}: hours of audio an hour: {told}; second to first {ratio:.3f}")


def encode_pools(encoder: Callable[..., list[Tensor]], wavs: Sequence[Tensor]) -> None:
    """As `tokenize` calls it, 64 clips at a time."""
    for first in range(0, len(wavs), 64):
        encoder(wavs[first : first + 64], 30.0, "cpu")


def shards(args: argparse.Namespace, utterances: Sequence[Utterance], workers: int) -> float:
    """Makes shards of the clips in a folder that does not outlive it; the seconds it takes."""
    size = len(utterances) if args.workers == 1 else args.shard
    with tempfile.TemporaryDirectory() as folder:
        parts = []
        for first in range(0, len(utterances), size):
            targets = tuple(
                Target(
                    name, load_codec(name).spec, Path(folder) / name / f"{first:05d}.safetensors"
                )
                for name in args.codecs
            )
            parts.append(Part(tuple(utterances[first : first + size]), targets))
        begin = time.perf_counter()
        ends = [time.perf_counter() for _ in spread(tokenize, parts, args.engine, workers)]
    if args.workers == 1:
        return ends[-1] - begin
    return (ends[-1] - ends[workers - 1]) * len(parts) / (len(parts) - workers)


if __name__ == "__main__":
    main()
