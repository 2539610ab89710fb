r"""Measure codecs side by side: sound, words, codebooks, speed.

    python scripts/evaluate_codecs.py --codecs house-rvq house-fsq house-semantic house-vae \
        --corpus corpus/manifest.jsonl --human runs/human/test/manifest.jsonl \
        --out runs/codec-scores

Four parts; `--parts` chooses some of them:

    quality    utterances of the splits test and unseen through each codec, against the recordings
    human      the same on real human speech, language by language (--human)
    codebooks  how many codes are used, and how evenly
    speed      encoding, decoding, and decoding frame by frame, on two threads

What each codebook holds is told by `codeclm codec probe`.

The out folder holds `items.csv` (one row an item and codec, appended as it is done), `run.json`
(what was measured with what), `summary.json` and `summary.md`. Run again after an interruption, or
with other parts: rows that are done are skipped, and the summary shows all that are there.
"""

import argparse
import json
import os
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from importlib.metadata import PackageNotFoundError, version
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor, nn

from codeclm import checkpoint
from codeclm.codecs import codec_folder
from codeclm.corpus import Utterance, read_audio, read_manifest
from codeclm.evaluation import asr, audio_metrics, codebooks, speaker, stats
from codeclm.evaluation.items import RATE, Key, Results, Row, at_16k, shuffled

PARTS = ("quality", "human", "codebooks", "speed")
SPLITS = ("test", "unseen")  # of the corpus, for quality
RECORDINGS = "recordings"
CLIP_SECONDS, TURNS, SPEED_THREADS = 10, 5, 2
MEASURES = {  # column of items.csv: title and decimals
    "pesq_wb": ("PESQ-WB", 2), "stoi": ("STOI", 3), "visqol": ("ViSQOL", 2),
    "mel_db": ("mel distance, dB", 2), "similarity": ("similarity", 3),
}  # fmt: skip
COLUMNS = (
    "part", "kind", "id", "text", "heard", "errors", "words", *MEASURES,
    "facts",  # JSON, of the parts that measure a codec as a whole
)  # fmt: skip
JUDGES = (
    "torch", "numpy", "faster-whisper", "jiwer", "pesq", "pystoi", "visqol-python", "resemblyzer",
)  # fmt: skip
NOTES = (
    "cells: value [95 % bootstrap interval over items, 5,000 draws, seeded]",
    "WER: pooled over words, accents dropped; its change is paired with the recordings",
    "similarity: cosine of Resemblyzer embeddings to the original recording",
    "sound that a measure refuses (silence, less than a second) is left out of that measure only",
)
Task = tuple[Key, Callable[[], Row]]
Cell = tuple[Any, str]  # for summary.json and for summary.md


@dataclass(frozen=True)
class Table:
    """A table of the summary: cells by row and column."""

    title: str
    rows: dict[str, dict[str, Cell]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing, then write the summary."""
    args = parse(arguments)
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            run(args)
    except (ValueError, ImportError) as error:
        sys.exit(f"error: {error}")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--codecs", nargs="+", required=True, help="names or folders of house codecs")
    add("--corpus", type=Path, required=True, help="manifest.jsonl of the corpus")
    add("--out", type=Path, required=True, help="folder for the results")
    add("--human", type=Path, help="manifest.jsonl of human speech")
    add("--human-train", type=Path, help="manifest.jsonl of people trained on, for codebooks")
    add("--parts", nargs="+", choices=PARTS, help="default: all whose inputs are given")
    add("--items", type=int, default=100, help="utterances of each split (default 100)")
    add("--human-items", type=int, default=30, help="clips of each language (default 30)")
    add("--frames", type=int, default=100_000, help="training frames for codebooks")
    add("--asr", default="tiny.en", help="Whisper for the corpus (default tiny.en)")
    add("--human-asr", default="base", help="Whisper for human speech (default base)")
    add("--seed", type=int, default=0, help="of the selection")
    arguments = sys.argv[1:] if arguments is None else arguments
    args = parser.parse_args(arguments)
    args.command = shlex.join(["python", "scripts/evaluate_codecs.py", *arguments])
    needs = {"human": ("--human", args.human)}
    for part in args.parts or ():
        if part in needs and needs[part][1] is None:
            parser.error(f"--parts {part} needs {needs[part][0]}")
    possible = [part for part in PARTS if part not in needs or needs[part][1]]
    args.possible, args.parts = possible, args.parts or possible
    return args


def run(args: argparse.Namespace) -> None:
    """The measurement, step by step."""
    # 1. what is measured with what
    bench = Bench(args)
    made_with: dict[str, Any] = {"seed": args.seed}
    made_with |= {f"codec {name}": fingerprint(codec) for name, codec in bench.codecs.items()}
    made_with |= {f"package {name}": installed(name) for name in JUDGES}
    if "quality" in args.parts:
        bench.recognizer = asr.load_asr(args.asr)
        made_with["asr"] = bench.recognizer.version
    if "human" in args.parts:
        bench.human_recognizer = asr.load_asr(args.human_asr)
        made_with["asr of human speech"] = bench.human_recognizer.version

    # 2. the items of every part, the same for all codecs
    plans = {
        "quality": quality_tasks, "human": human_tasks, "codebooks": codebook_tasks,
        "speed": speed_tasks,
    }  # fmt: skip
    tasks = {part: list(plans[part](bench)) for part in args.possible}

    # 3. measure what is not there yet
    with Results(args.out, made_with, COLUMNS) as results:
        missing = [t for part in args.parts for t in tasks[part] if t[0] not in results.rows]
        for (part, kind, item), measure in track(missing, "measuring", disable=not missing):
            results.add({"part": part, "kind": kind, "id": item} | measure())
    wanted = [key for part in args.possible for key, _ in tasks[part]]
    done = {key: results.rows[key] for key in wanted if key in results.rows}

    # 4. the summary of what is there
    tables = [
        codec_table(bench), *quality_tables(bench, done), *human_tables(bench, done),
        *codebook_tables(bench, done), *speed_tables(bench, done),
    ]  # fmt: skip
    tables = [table for table in tables if table.rows]
    notes = [f"{key}: {fact}" for key, fact in results.facts.items()]
    notes += [f"command: `{args.command}`", *NOTES]
    skipped = [part for part in PARTS if not any(key[0] == part for key in done)]
    notes += [f"not measured: {', '.join(skipped)}"] if skipped else []
    figures = {
        table.title: {
            row: {column: value for column, (value, _) in cells.items()}
            for row, cells in table.rows.items()
        }
        for table in tables
    }
    record = {"command": args.command, "made_with": results.facts, "tables": figures}
    (args.out / "summary.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    page = "\n".join([*map(markdown, tables), *(f"- {note}" for note in notes), ""])
    (args.out / "summary.md").write_text(page, encoding="utf-8")
    print(page)


# --- what all parts use -------------------------------------------------------------------------


class Bench:
    """The codecs, the chosen utterances, and the tokens of those that were encoded."""

    recognizer: asr.ASR
    human_recognizer: asr.ASR

    def __init__(self, args: argparse.Namespace) -> None:
        import codeclm

        self.args = args
        loaded = [codeclm.load_codec(name) for name in args.codecs]
        self.codecs: dict[str, Any] = {codec.spec.name: codec for codec in loaded}
        if len(self.codecs) < len(loaded) or RECORDINGS in self.codecs:
            raise ValueError("two codecs have one name: give each folder its own in meta.json")
        self.folders = dict(zip(self.codecs, map(codec_folder, args.codecs), strict=True))
        utterances = read_manifest(args.corpus)
        rows = {split: [u for u in utterances if u.split == split] for split in SPLITS}
        self.chosen = {s: shuffled(own, args.seed)[: args.items] for s, own in rows.items() if own}
        if not self.chosen:
            raise ValueError(f"{args.corpus} has no utterance of the splits {', '.join(SPLITS)}")
        self.train = shuffled((u for u in utterances if u.split == "train"), args.seed)
        people = read_manifest(args.human_train) if args.human_train else []
        self.train_people = shuffled(people, args.seed)
        self.human: dict[str, list[Utterance]] = {}
        for utterance in shuffled(read_manifest(args.human), args.seed) if args.human else ():
            own = self.human.setdefault(utterance.language.partition("-")[0], [])
            if len(own) < args.human_items:
                own.append(utterance)
        self._tokens: dict[tuple[str, str, Utterance], Tensor] = {}

    @property
    def discrete(self) -> dict[str, Any]:
        """The codecs that have codebooks."""
        return {name: codec for name, codec in self.codecs.items() if codec.spec.streams}

    def tokens(self, name: str, utterance: Utterance) -> Tensor:
        """Of a whole utterance; encoded once."""
        key = (name, utterance)
        if key not in self._tokens:
            codec = self.codecs[name]
            self._tokens[key] = codec.encode(sound(utterance, codec.spec.sample_rate)[None])
        return self._tokens[key]

    def training(self, name: str, people: bool = False) -> Iterator[tuple[Utterance, Tensor]]:
        """Training utterances and their tokens, until there are `--frames` frames."""
        frames = 0
        for utterance in self.train_people if people else self.train:
            if frames >= self.args.frames:
                break
            tokens = self.tokens(name, utterance)
            frames += tokens.shape[time_axis(tokens)]
            yield utterance, tokens


def time_axis(tokens: Tensor) -> int:
    """Of codes [B, K, T] or latents [B, T, D]."""
    return 1 if tokens.is_floating_point() else 2


@lru_cache(maxsize=2)
def sound(utterance: Utterance, rate: int) -> Tensor:
    """The recording, [1, N]."""
    return read_audio(utterance, rate)


@lru_cache(maxsize=2)
def original(utterance: Utterance, rate: int) -> tuple[NDArray[np.float32], speaker.Embedding]:
    """The recording at 16 kHz and its voice."""
    heard = at_16k(sound(utterance, rate), rate)
    return heard, speaker.embed(heard)


def fingerprint(codec: Any) -> str:
    """Of all weights that make sound; the spec's own is of the tokens only."""
    state = codec.autoencoder.state_dict(prefix="autoencoder.")
    return checkpoint.fingerprint(state | codec.vocoder.state_dict(prefix="vocoder."))


def installed(package: str) -> str | None:
    """Its version, if it is there."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


# --- quality and human: through the codec, against the recording ---------------------------------


def quality_tasks(bench: Bench) -> Iterator[Task]:
    """Utterance by utterance: the recording, then each codec."""
    for utterances in bench.chosen.values():
        for utterance in utterances:
            for kind in (RECORDINGS, *bench.codecs):
                key = ("quality", kind, utterance.id)
                yield key, partial(quality, bench, "recognizer", kind, utterance)


def human_tasks(bench: Bench) -> Iterator[Task]:
    """The same with human speech."""
    for _, utterances in sorted(bench.human.items()):
        for utterance in utterances:
            for kind in (RECORDINGS, *bench.codecs):
                key = ("human", kind, utterance.id)
                yield key, partial(quality, bench, "human_recognizer", kind, utterance)


def quality(bench: Bench, recognizer: str, kind: str, utterance: Utterance) -> Row:
    """Of one recording, or of what a codec makes of it."""
    if kind == RECORDINGS:
        return words(getattr(bench, recognizer), utterance, sound(utterance, RATE)[0].numpy())
    codec = bench.codecs[kind]
    wav = codec.decode(bench.tokens(kind, utterance))[0]
    return judge(getattr(bench, recognizer), utterance, wav, codec.spec.sample_rate)


def words(recognizer: asr.ASR, utterance: Utterance, heard: NDArray[np.float32]) -> Row:
    """What is understood of a sound at 16 kHz."""
    text = recognizer.transcribe(heard, utterance.language)
    found = asr.word_errors(utterance.text, text, utterance.language, accents=False)
    return {"text": utterance.text, "heard": text, "errors": found.errors, "words": found.words}


def judge(recognizer: asr.ASR, utterance: Utterance, wav: Tensor, rate: int) -> Row:
    """All measures of a codec's sound [1, N]."""
    recording = sound(utterance, rate)
    wav = wav[:, : recording.shape[1]]
    reference, voice = original(utterance, rate)
    heard = at_16k(wav, rate)
    return words(recognizer, utterance, heard) | {
        "similarity": speaker.cosine(speaker.embed(heard), voice),
        "pesq_wb": unless_refused(audio_metrics.pesq_wb, reference, heard),
        "stoi": audio_metrics.stoi(reference, heard, RATE),
        "visqol": unless_refused(audio_metrics.visqol_speech, reference, heard),
        "mel_db": audio_metrics.mel_distance(recording[0].numpy(), wav[0].numpy(), rate),
    }


def unless_refused(measure: Callable[..., float], *sounds: NDArray[np.float32]) -> float | None:
    """A measure, or None for sound that it cannot judge: one item must not end a long run."""
    try:
        return measure(*sounds)
    except ValueError:
        return None


def quality_tables(bench: Bench, done: dict[Key, Row]) -> Iterator[Table]:
    """Both splits together with the facts of each codec, then each split."""
    everything = [u for utterances in bench.chosen.values() for u in utterances]
    yield quality_table("Quality", bench, done, "quality", everything, facts=True)
    for split, utterances in bench.chosen.items():
        yield quality_table(f"Quality, split {split}", bench, done, "quality", utterances)


def human_tables(bench: Bench, done: dict[Key, Row]) -> Iterator[Table]:
    """All languages together, then each."""
    everything = [u for utterances in bench.human.values() for u in utterances]
    yield quality_table("Human speech", bench, done, "human", everything)
    for language, utterances in sorted(bench.human.items()):
        yield quality_table(f"Human speech, {language}", bench, done, "human", utterances)


def quality_table(
    title: str,
    bench: Bench,
    done: dict[Key, Row],
    part: str,
    utterances: list[Utterance],
    facts: bool = False,
) -> Table:
    """One row for the recordings and one for each codec."""
    table: dict[str, dict[str, Cell]] = {}
    for kind in (RECORDINGS, *bench.codecs):
        rows = [done[part, kind, u.id] for u in utterances if (part, kind, u.id) in done]
        if not rows:
            continue
        cells = facts_of(bench.codecs[kind].spec) if facts and kind != RECORDINGS else {}
        for name, (label, decimals) in MEASURES.items():
            if values := column(rows, name):
                cells[label] = interval(stats.mean(values), decimals)
        cells["WER, %"] = error_rate(rows)
        if kind != RECORDINGS:
            before = [done.get((part, RECORDINGS, row["id"])) for row in rows]
            pairs = [(row, old) for row, old in zip(rows, before, strict=True) if old]
            if pairs:
                new, old = zip(*pairs, strict=True)
                errors = column(new, "errors"), column(old, "errors")
                change = stats.ratio_change(*errors, column(new, "words"))
                cells["change of WER, points"] = interval(change, 1, scale=100, sign="+")
        cells["items"] = (len(rows), str(len(rows)))
        table[kind] = cells
    return Table(title, table)


def facts_of(spec: Any) -> dict[str, Cell]:
    """What the codec says about itself."""
    rate = f"{spec.bitrate:,.0f} bit/s" if spec.streams else f"{spec.latent_dims} dims"
    return {
        "rate": (spec.bitrate if spec.streams else spec.latent_dims, rate),
        "frames a second": (spec.frame_rate, f"{spec.frame_rate:g}"),
        "latency, ms": (spec.latency_ms, f"{spec.latency_ms:g}"),
    }


def column(rows: Sequence[Row], name: str) -> list[float]:
    """The numbers that are there."""
    return [float(row[name]) for row in rows if row.get(name) not in (None, "")]


def error_rate(rows: Sequence[Row]) -> Cell:
    """Word errors over words, in percent."""
    return interval(stats.ratio(column(rows, "errors"), column(rows, "words")), 1, scale=100)


def interval(found: stats.Interval, decimals: int, scale: float = 1, sign: str = "") -> Cell:
    """A figure with its interval."""
    value, low, high = (
        f"{scale * x:{sign}.{decimals}f}" for x in (found.value, found.low, found.high)
    )
    return asdict(found), f"{value} [{low}, {high}]"


# --- codebooks ----------------------------------------------------------------------------------


def codebook_tasks(bench: Bench) -> Iterator[Task]:
    """One for each codec."""
    for name in bench.codecs:
        key = ("codebooks", name, f"{bench.args.frames} frames")
        yield key, partial(codebook_use, bench, name, False)
    if bench.train_people:
        for name in bench.discrete:
            key = ("codebooks", name, f"{bench.args.frames} frames and as many of people")
            yield key, partial(codebook_use, bench, name, True)


def codebook_use(bench: Bench, name: str, people: bool) -> Row:
    """Of every codebook of a codec, or of the dimensions of a continuous one."""
    parts = [tokens[0] for _, tokens in bench.training(name)]
    if people:
        parts += [tokens[0] for _, tokens in bench.training(name, people)]
    if not parts:
        raise ValueError("the corpus has no split 'train' to count codes in")
    codec = bench.codecs[name]
    if not codec.spec.streams:
        # Tokens have deviation 1 each; what counts is how far they are from silence in the latents.
        deviation = codec.autoencoder.bottleneck.variance.sqrt()
        latents = (torch.cat(parts) * deviation).numpy()
        share = codebooks.active_dimensions(latents)
        return {"facts": json.dumps({"active": share, "frames": len(latents)})}
    codes = torch.cat(parts, dim=1).numpy()
    uses = [
        codebooks.use(row, stream.size)
        for row, stream in zip(codes, codec.spec.streams, strict=True)
    ]
    return {"facts": json.dumps([asdict(use) for use in uses])}


def codebook_tables(bench: Bench, done: dict[Key, Row]) -> Iterator[Table]:
    """Share of used codes and perplexity; active dimensions of continuous codecs."""
    used, even, active, among = {}, {}, {}, {}
    for name, codec in bench.codecs.items():
        both = done.get(("codebooks", name, f"{bench.args.frames} frames and as many of people"))
        if both is not None:
            among[name] = codes_used(json.loads(both["facts"]))
        row = done.get(("codebooks", name, f"{bench.args.frames} frames"))
        if row is None:
            continue
        facts = json.loads(row["facts"])
        if not codec.spec.streams:
            active[name] = {
                "dimensions": (codec.spec.latent_dims, str(codec.spec.latent_dims)),
                "active, %": (facts["active"], f"{100 * facts['active']:.1f}"),
                "frames": (facts["frames"], f"{facts['frames']:,}"),
            }
            continue
        used[name] = codes_used(facts)
        even[name] = used[name] | {
            str(k): (u["perplexity"], f"{u['perplexity']:.0f}") for k, u in enumerate(facts)
        }
    yield Table("Codes used, %, by codebook", used)
    if among:
        yield Table("Codes used, %, by codebook, in synthetic speech and people's", among)
    yield Table("Perplexity, by codebook", even)
    yield Table("Active dimensions (deviation above 0.1)", active)


def codes_used(facts: list[dict[str, Any]]) -> dict[str, Cell]:
    """A row of the table of used codes."""
    return {
        "codes": ([u["size"] for u in facts], f"{facts[0]['size']:,}"),
        "frames": (facts[0]["frames"], f"{facts[0]['frames']:,}"),
        **{str(k): (u["used"], f"{100 * u['used']:.1f}") for k, u in enumerate(facts)},
    }


# --- speed and size -----------------------------------------------------------------------------


def speed_tasks(bench: Bench) -> Iterator[Task]:
    """One task: codecs that are to be compared take turns."""
    clip = f"{CLIP_SECONDS} s, {SPEED_THREADS} threads"
    yield ("speed", " ".join(bench.codecs), clip), partial(speed, bench)


def speed(bench: Bench) -> Row:
    """Seconds of work for a second of sound: encoding, decoding, decoding frame by frame."""
    load = os.getloadavg()[0]
    took: dict[str, list[list[float]]] = {name: [] for name in bench.codecs}
    torch.set_num_threads(SPEED_THREADS)
    try:
        for _ in range(1 + TURNS):  # the first one warms up
            for name, codec in bench.codecs.items():
                took[name].append(work_times(codec, clip_of(bench, codec.spec.sample_rate)))
    finally:
        torch.set_num_threads(1)
    medians = {
        name: [statistics.median(turn) / CLIP_SECONDS for turn in zip(*turns[1:], strict=True)]
        for name, turns in took.items()
    }
    return {"facts": json.dumps({"load": load, "factors": medians})}


def clip_of(bench: Bench, rate: int) -> Tensor:
    """Ten seconds of speech, [1, 1, N]: utterances of the corpus in a row."""
    length, parts = int(CLIP_SECONDS * rate), []
    for utterance in cycle(next(iter(bench.chosen.values()))):
        parts.append(sound(utterance, rate))
        if sum(part.shape[1] for part in parts) >= length:
            return torch.cat(parts, dim=1)[None, :, :length]
    raise AssertionError("a cycle never ends")


def work_times(codec: Any, clip: Tensor) -> list[float]:
    """Seconds to encode, to decode, and to decode frame by frame."""
    begin = time.perf_counter()
    tokens = codec.encode(clip)
    encoded = time.perf_counter()
    codec.decode(tokens)
    decoded = time.perf_counter()
    for _ in codec.stream(tokens.split(1, dim=time_axis(tokens))):
        pass
    return [encoded - begin, decoded - encoded, time.perf_counter() - decoded]


def speed_tables(bench: Bench, done: dict[Key, Row]) -> Iterator[Table]:
    """Real-time factors."""
    table: dict[str, dict[str, Cell]] = {}
    for row in (row for key, row in done.items() if key[0] == "speed"):
        facts = json.loads(row["facts"])
        for name, factors in facts["factors"].items():
            titles = ("encode", "decode", "decode by single frames")
            table[name] = {t: (x, f"{x:.4f}") for t, x in zip(titles, factors, strict=True)}
            step = 1000 * factors[2] / bench.codecs[name].spec.frame_rate
            table[name]["ms a frame"] = (step, f"{step:.1f}")
            table[name]["load of the machine before"] = (facts["load"], f"{facts['load']:.1f}")
    title = f"Speed: seconds of work a second of sound, {SPEED_THREADS} threads, batch 1"
    yield Table(f"{title}, median of {TURNS} turns", table)


def codec_table(bench: Bench) -> Table:
    """Sizes. Weights are parameters, codebooks and running statistics."""
    table = {}
    for name, codec in bench.codecs.items():
        model, folder = codec.autoencoder, bench.folders[name]
        vocoder = folder / json.loads((folder / checkpoint.META).read_text("utf-8"))["vocoder"]
        cells: dict[str, Cell] = {"family": (codec.spec.family, codec.spec.family)}
        for title, module in {
            "encoder": model.encoder, "bottleneck": model.bottleneck,
            "decoder": model.decoder, "vocoder": codec.vocoder,
        }.items():  # fmt: skip
            cells[f"{title}, M weights"] = (weights(module), f"{weights(module) / 1e6:.2f}")
        for title, place in {"codec": folder, "vocoder": vocoder}.items():
            size = (place / checkpoint.WEIGHTS).stat().st_size / 1e6
            cells[f"{title}, MB"] = (size, f"{size:.1f}")
        cells["fingerprint of the tokens"] = (codec.spec.fingerprint, codec.spec.fingerprint)
        table[name] = cells
    return Table("Codecs", table)


def weights(module: nn.Module) -> int:
    """How many numbers a module learned."""
    return sum(tensor.numel() for tensor in module.state_dict().values())


# --- summary ------------------------------------------------------------------------------------


def markdown(table: Table) -> str:
    """The table with its title."""
    fullest = sorted(table.rows.values(), key=len, reverse=True)
    columns = list(dict.fromkeys(column for cells in fullest for column in cells))
    lines = [
        f"## {table.title}",
        "",
        f"| | {' | '.join(columns)} |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for name, cells in table.rows.items():
        texts = [cells[column][1] if column in cells else "" for column in columns]
        lines.append(f"| {name} | {' | '.join(texts)} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
