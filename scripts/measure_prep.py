"""Measures how fast `codeclm prep` makes tokens, beside the codecs alone on the same clips.

    python scripts/measure_prep.py corpus/manifest.jsonl --codecs house-rvq house-fsq --clips 400

Every round encodes the clips from memory, as bare as can be, and then makes shards of them from the
files: reading, checking, batches, writing. Rounds alternate, so that whatever else the machine does
falls on both alike; the last line has the medians. `--workers` measures how work spreads instead:
the same shards by one worker and by several, in processes or on Ray, once every worker has made its
first (which takes the start of a process, and its libraries and codecs). `--bf16` measures what
this precision is good for: the codecs alone in both, and the share of tokens that it changes.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor

from codeclm.codecs import Codec, load_codec
from codeclm.corpus import Utterance, read_audio, read_manifest
from codeclm.data_prep.distribute import spread
from codeclm.data_prep.encode import encode, one_processor
from codeclm.data_prep.shards import Precision
from codeclm.data_prep.tokenize import Part, Target, tokenize

PRECISIONS: tuple[Precision, ...] = get_args(Precision)


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
    add("--readers", type=int, default=2)
    add("--bf16", action="store_true")
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

        def bare(precision: Precision) -> float:
            begin = time.perf_counter()
            for codec in codecs:
                encode_pools(codec, wavs[codec.spec.sample_rate], precision)
            return time.perf_counter() - begin

        if args.bf16:
            for codec in codecs:
                print(codec.spec.name, changed(codec, wavs[codec.spec.sample_rate]))
            ways = {precision: partial(bare, precision) for precision in PRECISIONS}
        else:
            prep = partial(shards, args, utterances, 1)
            ways = {"codecs alone": partial(bare, "fp32"), "prep": prep}
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


def encode_pools(codec: Codec, wavs: Sequence[Tensor], precision: Precision) -> Tensor:
    """As `tokenize` calls it, 64 clips at a time; the tokens [rows, sum T]."""
    made: list[Tensor] = []
    with one_processor():
        for first in range(0, len(wavs), 64):
            made += encode(codec, wavs[first : first + 64], 30.0, "cpu", precision)
    return torch.cat(made, dim=1)


def changed(codec: Codec, wavs: Sequence[Tensor]) -> str:
    """What bf16 does to the tokens of a codec."""
    exact, low = (encode_pools(codec, wavs, precision).float() for precision in PRECISIONS)
    if codec.spec.latent_dims:
        error = (low - exact).square().mean().sqrt() / exact.square().mean().sqrt()
        return f"numbers off by {100 * error:.2f} % of their size"
    shares = (low != exact).float().mean(dim=1)
    return f"{100 * shares.mean():.2f} % changed, of the first codebook {100 * shares[0]:.2f} %"


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
            some = tuple(utterances[first : first + size])
            parts.append(Part(some, targets, readers=args.readers))
        begin = time.perf_counter()
        ends = [time.perf_counter() for _ in spread(tokenize, parts, args.engine, workers)]
    if args.workers == 1:
        return ends[-1] - begin
    return (ends[-1] - ends[workers - 1]) * len(parts) / (len(parts) - workers)


if __name__ == "__main__":
    main()
