r"""What each codebook of a codec holds: words, voice, sound, phonemes.

    python scripts/evaluate_codecs.py --codecs house-rvq house-fsq house-semantic \
        --corpus corpus/manifest.jsonl --alignment runs/data --out runs/codec-parts

Two parts; `--parts` chooses one of them. (How good the sound is: `codeclm codec bench`.)

    seeds      one codebook replaced by random codes: what is lost is what it holds
    probe      phonemes read off single codes by a linear classifier (--alignment)

The out folder holds `items.csv` (one row an item and codec, appended as it is done), `run.json`
(what was measured with what), `summary.json` and `summary.md`. Run again after an interruption, or
with the other part: rows that are done are skipped, and the summary shows all that are there.
"""

import argparse
import json
import random
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from importlib.metadata import PackageNotFoundError, version
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
from codeclm.evaluation import asr, audio_metrics, probe, speaker, stats
from codeclm.evaluation.items import RATE, Key, Results, Row, at_16k, shuffled

PARTS = ("seeds", "probe")
SPLITS = ("test", "unseen")  # of the corpus, for seeds
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
    "WER: pooled over words, accents dropped",
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
    add("--alignment", type=Path, help="corpus prepared by `codeclm prep` for any codec")
    add("--parts", nargs="+", choices=PARTS, help="default: all whose inputs are given")
    add("--seed-items", type=int, default=40, help="utterances for seeds (default 40)")
    add("--frames", type=int, default=100_000, help="training frames for the probe")
    add("--asr", default="tiny.en", help="Whisper for the corpus (default tiny.en)")
    add("--seed", type=int, default=0, help="of the selection and of random codes")
    arguments = sys.argv[1:] if arguments is None else arguments
    args = parser.parse_args(arguments)
    args.command = shlex.join(["python", "scripts/evaluate_codecs.py", *arguments])
    needs = {"probe": ("--alignment", args.alignment)}
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
    if "seeds" in args.parts:
        bench.recognizer = asr.load_asr(args.asr)
        made_with["asr"] = bench.recognizer.version

    # 2. the items of every part, the same for all codecs
    plans = {"seeds": seed_tasks, "probe": probe_tasks}
    tasks = {part: list(plans[part](bench)) for part in args.possible}

    # 3. measure what is not there yet
    with Results(args.out, made_with, COLUMNS) as results:
        missing = [t for part in args.parts for t in tasks[part] if t[0] not in results.rows]
        for (part, kind, item), measure in track(missing, "measuring", disable=not missing):
            results.add({"part": part, "kind": kind, "id": item} | measure())
    wanted = [key for part in args.possible for key, _ in tasks[part]]
    done = {key: results.rows[key] for key in wanted if key in results.rows}

    # 4. the summary of what is there
    tables = [codec_table(bench), *seed_tables(bench, done), *probe_tables(bench, done)]
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

    def __init__(self, args: argparse.Namespace) -> None:
        import codeclm

        self.args = args
        loaded = [codeclm.load_codec(name) for name in args.codecs]
        self.codecs: dict[str, Any] = {codec.spec.name: codec for codec in loaded}
        if len(self.codecs) < len(loaded):
            raise ValueError("two codecs have one name: give each folder its own in meta.json")
        self.folders = dict(zip(self.codecs, map(codec_folder, args.codecs), strict=True))
        utterances = read_manifest(args.corpus)
        rows = {split: [u for u in utterances if u.split == split] for split in SPLITS}
        self.chosen = {
            s: shuffled(own, args.seed)[: args.seed_items] for s, own in rows.items() if own
        }
        if not self.chosen:
            raise ValueError(f"{args.corpus} has no utterance of the splits {', '.join(SPLITS)}")
        self.train = shuffled((u for u in utterances if u.split == "train"), args.seed)
        self.held_out = [u for u in utterances if u.split != "train"]
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

    def training(self, name: str) -> Iterator[tuple[Utterance, Tensor]]:
        """Training utterances and their tokens, until there are `--frames` frames."""
        frames = 0
        for utterance in self.train:
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


# --- measures ------------------------------------------------------------------------------------


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


def column(rows: Sequence[Row], name: str) -> list[float]:
    """The numbers that are there."""
    return [float(row[name]) for row in rows if row.get(name) not in (None, "")]


def error_rate(rows: Sequence[Row]) -> Cell:
    """Word errors over words, in percent."""
    return interval(stats.ratio(column(rows, "errors"), column(rows, "words")), 1, scale=100)


def interval(found: stats.Interval, decimals: int, scale: float = 1) -> Cell:
    """A figure with its interval."""
    value, low, high = (f"{scale * x:.{decimals}f}" for x in (found.value, found.low, found.high))
    return asdict(found), f"{value} [{low}, {high}]"


# --- sizes ---------------------------------------------------------------------------------------


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


# --- seeds: one codebook at random --------------------------------------------------------------


def seed_tasks(bench: Bench) -> Iterator[Task]:
    """Utterance by utterance: each codec as it is, then with each codebook replaced."""
    count = -(-bench.args.seed_items // len(bench.chosen))
    for utterance in (u for utterances in bench.chosen.values() for u in utterances[:count]):
        for name, codec in bench.discrete.items():
            for k in (None, *range(len(codec.spec.streams))):
                key = ("seeds", seed_kind(name, k), utterance.id)
                yield key, partial(seeded, bench, name, k, utterance)


def seed_kind(name: str, k: int | None) -> str:
    """How a row is called in which codebook `k` is random."""
    return f"{name}, {'none' if k is None else k}"


def seeded(bench: Bench, name: str, k: int | None, utterance: Utterance) -> Row:
    """All measures with codebook `k` drawn at random, evenly from its codes."""
    codec, codes = bench.codecs[name], bench.tokens(name, utterance).clone()
    if k is not None:
        draw = random.Random(f"{bench.args.seed}-{utterance.id}-{k}")
        size, frames = codec.spec.streams[k].size, codes.shape[2]
        codes[0, k] = torch.tensor(draw.choices(range(size), k=frames))
    return judge(bench.recognizer, utterance, codec.decode(codes)[0], codec.spec.sample_rate)


def seed_tables(bench: Bench, done: dict[Key, Row]) -> Iterator[Table]:
    """Codec by codebook: word errors, similarity, PESQ."""
    by_kind: dict[str, list[Row]] = {}
    for (part, kind, _), row in done.items():
        if part == "seeds":
            by_kind.setdefault(kind, []).append(row)
    for measure in ("WER, %", "similarity", "pesq_wb"):
        table: dict[str, dict[str, Cell]] = {}
        for name, codec in bench.discrete.items():
            for k in (None, *range(len(codec.spec.streams))):
                rows = by_kind.get(seed_kind(name, k), [])
                if measure == "WER, %":
                    cell = error_rate(rows) if rows else None
                else:
                    values = column(rows, measure)
                    cell = interval(stats.mean(values), MEASURES[measure][1]) if values else None
                if cell:
                    value, text = cell
                    title = "none" if k is None else str(k)
                    table.setdefault(name, {})[title] = (value, text.partition(" ")[0])
        label = MEASURES[measure][0] if measure in MEASURES else measure
        yield Table(f"{label}, with one codebook at random (none: as it is)", table)


# --- probe: phonemes from single codes ----------------------------------------------------------


def probe_tasks(bench: Bench) -> Iterator[Task]:
    """The first and the last codebook of each codec."""
    for name, codec in bench.discrete.items():
        for k in sorted({0, len(codec.spec.streams) - 1}):
            key = ("probe", f"{name}, {k}", f"{bench.args.frames} frames")
            yield key, partial(probe_codebook, bench, name, k)


@lru_cache(maxsize=1)
def alignment(folder: Path) -> tuple[list[int], dict[str, Any]]:
    """The class of every token, and the aligned utterances by id."""
    from codeclm.data_prep.shards import prepared_codecs, read_prepared

    prepared = read_prepared(folder, next(iter(prepared_codecs(folder))))  # for its times alone
    phonemes = [probe.phoneme(token) for token in prepared.tokenizer.tokens]
    number = {name: i for i, name in enumerate(dict.fromkeys(phonemes))}
    items = {item.id: item for item in prepared.items if any(item.durations)}
    return [number[name] for name in phonemes], items


def probe_codebook(bench: Bench, name: str, k: int) -> Row:
    """Learned on the training split, judged on all other splits."""
    classes, items = alignment(bench.args.alignment)

    def frames(
        rows: Iterator[tuple[Utterance, Tensor]],
    ) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
        codes = [(items[u.id], tokens[0, k].numpy()) for u, tokens in rows if u.id in items]
        labels = [probe.frame_labels(i.ids, i.durations, classes, len(c)) for i, c in codes]
        return [c for _, c in codes], labels

    codes, labels = frames(bench.training(name))
    new_codes, new_labels = frames((u, bench.tokens(name, u)) for u in bench.held_out)
    if not codes or not new_codes:
        raise ValueError(
            f"{bench.args.alignment} has no alignment of utterances of {bench.args.corpus}: "
            "prepare the same corpus"
        )
    seen, learned = np.concatenate(codes), np.concatenate(labels)
    answer = probe.fit(seen, learned, bench.codecs[name].spec.streams[k].size)
    right = [int((answer[c] == y).sum()) for c, y in zip(new_codes, new_labels, strict=True)]
    commonest = np.bincount(learned).argmax()
    guessed = [int((y == commonest).sum()) for y in new_labels]
    lengths = [len(y) for y in new_labels]
    facts = {
        "accuracy": asdict(stats.ratio(right, lengths)),
        "majority": asdict(stats.ratio(guessed, lengths)),
        "classes": len(set(classes)), "trained": len(seen), "judged": sum(lengths),
    }  # fmt: skip
    return {"facts": json.dumps(facts)}


def probe_tables(bench: Bench, done: dict[Key, Row]) -> Iterator[Table]:
    """Accuracy beside that of always saying the commonest."""
    table: dict[str, dict[str, Cell]] = {}
    for (part, kind, _), row in done.items():
        if part == "probe":
            facts = json.loads(row["facts"])
            counts = {title: facts[title] for title in ("classes", "trained", "judged")}
            table[kind] = {
                "accuracy, %": interval(stats.Interval(**facts["accuracy"]), 1, scale=100),
                "commonest class, %": interval(stats.Interval(**facts["majority"]), 1, scale=100),
            } | {title: (count, f"{count:,}") for title, count in counts.items()}
    yield Table("Phoneme of a frame from one code (codec, codebook)", table)


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
