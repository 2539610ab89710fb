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
import random
import shlex
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from codeclm.audio import resample, write
from codeclm.corpus import Utterance, read_audio, read_manifest
from codeclm.evaluation import asr, audio_metrics, speaker, stats
from codeclm.evaluation.items import RATE, Results, Row, at_16k, shuffled

SHORTEST_VOICE = 2.5  # seconds of audio that a voice is made from
COLUMNS = (
    "part", "kind", "id", "speaker", "voice_id", "text", "heard", "errors", "words",
    "similarity", "pesq_wb", "stoi", "mel_db", "codec_similarity",
    "audio_seconds", "generation_seconds", "first_audio_ms", "interventions",
)  # fmt: skip


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
    sentences = pick_sentences(utterances, args.split, args.sentences, args.seed)
    clones = pick_clones(utterances, args.clones, args.seed) if args.clones else []

    # 3. one function an item and kind
    spoken = {
        f"spoken {given}".strip(): partial(speak, tts, args, given)
        for given in args.sampling or [""]
    }
    judge = Judge(recognizer, codec, spoken)
    tasks: list[tuple[tuple[str, str, str], Callable[[], Row]]] = []
    for target, voice in sentences:
        for kind in ("recording", "codec", *spoken):
            tasks.append((("sentences", kind, target.id), partial(judge, kind, target, voice)))
    for target, voice, other in clones:
        for kind in ("recording", "impostor", "codec", *spoken):
            whose = other if kind == "impostor" else target
            tasks.append((("clones", kind, target.id), partial(judge, kind, whose, voice)))

    # 4. measure what is not there yet
    with Results(args.out, made_with, COLUMNS) as results:
        missing = [task for task in tasks if task[0] not in results.rows]
        if missing:
            next(iter(spoken.values()))(*sentences[0])  # warm-up, not counted
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


# --- selection ----------------------------------------------------------------------------------


def pick_sentences(
    utterances: list[Utterance], split: str, count: int, seed: int
) -> list[tuple[Utterance, Utterance]]:
    """Utterances of a split, each with a long enough other one of its speaker as the voice.

    The voice comes from the train split where the speaker has one there.
    """
    voices = by_speaker(u for u in utterances if u.split == "train" and long_enough(u))
    voices |= by_speaker(
        u for u in utterances if u.split == split and long_enough(u) and u.speaker not in voices
    )
    chosen: list[tuple[Utterance, Utterance]] = []
    for target in shuffled((u for u in utterances if u.split == split), seed):
        others = [u for u in voices.get(target.speaker, []) if u.id != target.id]
        if others and len(chosen) < count:
            chosen.append((target, random.Random(f"{seed}-{target.id}").choice(others)))
    if not chosen:
        raise ValueError(
            f"no utterance of split {split!r} has another one of its speaker of at least "
            f"{SHORTEST_VOICE} s: check the split names and durations of the manifest"
        )
    return chosen


def pick_clones(
    utterances: list[Utterance], count: int, seed: int
) -> list[tuple[Utterance, Utterance, Utterance]]:
    """(target, reference of the same speaker, recording of another speaker), speakers in turn."""
    speakers = by_speaker(shuffled((u for u in utterances if u.split == "unseen"), seed))
    if len(speakers) < 2:
        raise ValueError("cloning needs two speakers in split 'unseen': use --clones 0 without")
    names = sorted(speakers)
    chosen: list[tuple[Utterance, Utterance, Utterance]] = []
    for turn in range(max(len(rows) for rows in speakers.values())):
        for i, name in enumerate(names):
            rows = speakers[name]
            if turn >= len(rows) or len(chosen) >= count:
                continue
            target = rows[turn]
            references = [u for u in rows if u.id != target.id and long_enough(u)]
            other = names[(i + 1 + turn % (len(names) - 1)) % len(names)]
            strangers = [u for u in speakers[other] if long_enough(u)]
            if references and strangers:
                draw = random.Random(f"{seed}-{target.id}")
                chosen.append((target, draw.choice(references), draw.choice(strangers)))
    return chosen


def long_enough(utterance: Utterance) -> bool:
    """True when a voice can be made from it."""
    return utterance.duration is not None and utterance.duration >= SHORTEST_VOICE


def by_speaker(utterances: Iterator[Utterance] | list[Utterance]) -> dict[str, list[Utterance]]:
    """Utterances grouped by speaker, order kept."""
    groups: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        groups[utterance.speaker].append(utterance)
    return dict(groups)


# --- measuring one item -------------------------------------------------------------------------


class Judge:
    """Measures one kind of sound of one utterance against its text and the voice it should have."""

    def __init__(
        self,
        recognizer: asr.ASR,
        codec: Any,
        spoken: dict[str, Callable[[Utterance, Utterance], tuple[Tensor, Row]]],
    ):
        self.recognizer = recognizer
        self.codec = codec
        self.spoken = spoken

    def __call__(self, kind: str, target: Utterance, voice: Utterance) -> Row:
        """`kind`: recording, codec (the recording through the codec), impostor, or one spoken."""
        row: Row = {"speaker": target.speaker, "voice_id": voice.id, "text": target.text}
        rate = self.codec.spec.sample_rate
        if kind in self.spoken:
            wav, facts = self.spoken[kind](target, voice)
            row |= facts
        else:
            wav = original = read_audio(target, rate)
        if kind == "codec":
            wav = self.codec.decode(self.codec.encode(original[None]))[0, :, : original.shape[1]]
            row |= compare(original, wav, rate)
        heard = at_16k(wav, rate)
        own_voice = speaker.embed(at_16k(read_audio(voice, rate), rate))
        row["similarity"] = speaker.cosine(speaker.embed(heard), own_voice)
        row["audio_seconds"] = round(wav.shape[-1] / rate, 3)
        if kind != "impostor":
            row["heard"] = self.recognizer.transcribe(heard, target.language)
            found = asr.word_errors(target.text, row["heard"], target.language)
            row |= {"errors": found.errors, "words": found.words}
        return row


def sampling_of(tts: Any, given: str) -> Any:
    """The model's sampling with settings replaced, as `steps=4,noise=0.8` says; None: as it is."""
    from codeclm.config import load_config
    from codeclm.tts.sampling import Sampling

    if not given:
        return None
    plain = [f"{name}={value}" for name, value in tts.sampling.model_dump().items()]
    return load_config(Sampling, None, [*plain, *given.split(",")])


def speak(
    tts: Any, args: argparse.Namespace, given: str, target: Utterance, voice: Utterance
) -> tuple[Tensor, Row]:
    """The text of `target` in the voice heard in `voice`: wav [1, N] and how it was made."""
    from codeclm import Voice

    rate = tts.codec.spec.sample_rate
    speech = tts.speak(
        target.text,
        voice=Voice.from_wav(read_audio(voice, rate), tts.codec),
        language=target.language,
        seed=args.seed,
        sampling=sampling_of(tts, given),
    )
    if args.save_audio:
        write(args.out / "audio" / given / f"{target.id}.wav", speech.wav, speech.sample_rate)
    if args.save_audio:
        write(args.out / "audio" / f"{target.id}.wav", speech.wav, speech.sample_rate)
    return resample(speech.wav[None], speech.sample_rate, rate), {
        "generation_seconds": round(speech.generation_seconds, 4),
        "first_audio_ms": round(speech.first_audio_ms, 1),
        "interventions": json.dumps(speech.interventions),
    }


def compare(original: Tensor, wav: Tensor, rate: int) -> Row:
    """How close the codec's sound is to the original, both [1, N]."""
    a, b = at_16k(original, rate), at_16k(wav, rate)
    return {
        "codec_similarity": speaker.cosine(speaker.embed(a), speaker.embed(b)),
        "pesq_wb": audio_metrics.pesq_wb(a, b),
        "stoi": audio_metrics.stoi(a, b, RATE),
        "mel_db": audio_metrics.mel_distance(original[0].numpy(), wav[0].numpy(), rate),
    }


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
