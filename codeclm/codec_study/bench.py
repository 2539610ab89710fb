"""Measure codecs side by side on recordings of your own: `codeclm codec bench`.

One codec at a time is loaded, and every chosen recording goes through it. The out folder holds
`items.csv` (a row an item and codec, appended as it is done), `run.json` (what was measured with
what), `samples/` (a few to listen to), and the report made of them (`bench_report.py`). Run again
after an interruption, rows that are there are kept.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from codeclm.codec_study import samples, scores, systems
from codeclm.corpus import Utterance, read_audio, read_manifest, sound_info
from codeclm.evaluation import asr, codebooks
from codeclm.evaluation.items import Results, Row, base, shuffled

RECORDINGS = "recordings"
CODEBOOKS = "codebooks"
HELD_OUT = ("test", "unseen")  # splits that are taken unless told otherwise, where there are any
NO_ASR = "none"
COLUMNS = (
    *("part", "kind", "id", "language", "speaker", "seconds", "source_rate", "source_bandwidth"),
    *("bandwidth", *scores.MEASURES, "bits", "encode_s", "decode_s", "text", *scores.HEARD),
    "facts",  # JSON, of rows that are of a codec as a whole
)

Progress = Callable[[Sequence[Any], str], Iterator[Any]]


@dataclass(frozen=True)
class Plan:
    """What is to be measured.

    Attributes:
        codecs: names, folders, published names, yardsticks.
        data: manifests by the name of the set.
        items: recordings of each language, by the name of the set; "" is for all others; a set that
            neither names is taken whole.
        asr: a recognizer for `asr.load_asr`, "none", or None: by the languages of a set.
        streams: of residual codecs, also measure the first n codebooks for each of these.
        splits: of the manifests; None: test and unseen where there are any, else all.
        listen: items that the page lets one listen to.
        command: for the report.
    """

    codecs: tuple[str, ...]
    data: Mapping[str, Path]
    out: Path
    items: Mapping[str, int] = field(default_factory=dict)
    asr: str | None = None
    streams: tuple[int, ...] = ()
    splits: tuple[str, ...] | None = None
    seed: int = 0
    listen: int = 4
    command: str = ""


@dataclass
class Measured:
    """What a run leaves for the report.

    Attributes:
        rows: of items, by set, system and id; in `order` of the systems.
        facts: of each system that was loaded.
        absent: of each that was not, why.
        made_with: models, versions and settings.
        samples: (set, id) of what is kept to listen to: the first item of every language.
    """

    plan: Plan
    chosen: dict[str, list[Utterance]]
    order: list[str]
    rows: dict[tuple[str, str, str], Row]
    made_with: dict[str, Any]
    lacking: list[str]
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    samples: list[tuple[str, str]] = field(default_factory=list)


def choose(plan: Plan) -> dict[str, list[Utterance]]:
    """The recordings of every set, the same for all codecs.

    Raises:
        ValueError: a manifest has none of the wanted splits.
    """
    chosen: dict[str, list[Utterance]] = {}
    for name, manifest in plan.data.items():
        utterances = read_manifest(manifest)
        there = {u.split for u in utterances}
        splits = plan.splits or [s for s in HELD_OUT if s in there] or sorted(there)
        languages: dict[str, list[Utterance]] = {}
        for utterance in shuffled((u for u in utterances if u.split in splits), plan.seed):
            own = languages.setdefault(base(utterance.language), [])
            if len(own) < plan.items.get(name, plan.items.get("", len(utterances))):
                own.append(utterance)
        if not languages:
            raise ValueError(
                f"{manifest} has no split {', '.join(splits)} (it has {', '.join(sorted(there))})"
            )
        chosen[name] = [u for _, own in sorted(languages.items()) for u in own]
    return chosen


def run(plan: Plan, progress: Progress) -> Measured:
    """Measure what is missing.

    Args:
        plan: what is wanted.
        progress: turns a list of items and a title into an iterator that shows how far it is.

    Raises:
        ValueError: an unknown codec or recognizer, a manifest without such rows, or an out folder
            that holds another run.
        ImportError: no recognizer is installed.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            return _run(plan, progress)
    finally:
        torch.set_num_threads(threads)


def _run(plan: Plan, progress: Progress) -> Measured:
    # 1. what is measured with what
    chosen = choose(plan)
    order = systems.names(plan.codecs, plan.streams)
    wanted, lacking = scores.at_hand()
    recognizers = {name: _recognizer(plan.asr, us) for name, us in chosen.items()}
    made_with: dict[str, Any] = {"seed": plan.seed}
    made_with |= {f"package {name}": found for name, found in scores.versions().items()}
    made_with |= {
        f"asr of {name}": found.version if found else None for name, found in recognizers.items()
    }

    # 2. each recording, then each codec
    everything = [(name, u) for name, us in chosen.items() for u in us]
    with Results(plan.out, made_with, COLUMNS) as results:
        found = Measured(plan, chosen, order, results.rows, results.facts, lacking)
        found.samples = samples.choose(chosen)
        for name, utterance in progress(_missing(results, everything, RECORDINGS), RECORDINGS):
            results.add(_recording(name, utterance, recognizers[name], found))
        for kind in order:
            try:
                system = systems.load(kind)
            except systems.Absent as reason:
                found.absent[kind] = str(reason)
                continue
            found.facts[kind] = system.facts
            results.state({f"codec {kind}": system.facts["fingerprint"]})
            first = kind in set(order) - set(plan.codecs)  # its first codebooks alone
            measures = [name for name in wanted if name in scores.QUICK] if first else wanted
            tokens: dict[tuple[str, str], torch.Tensor | None] = {}
            missing = _missing(results, everything, kind)
            if missing:
                system.through(torch.zeros(1, system.sample_rate))  # the first time is slow
            for name, utterance in progress(missing, kind):
                row, made = _through(system, name, utterance, recognizers[name], found, measures)
                results.add(row)
                tokens[name, utterance.id] = made
            key = (CODEBOOKS, kind, f"{len(everything)} items")
            if (
                not first
                and (system.sizes or system.facts["latent_dims"])
                and key not in found.rows
            ):
                facts = _use(system, everything, tokens)
                results.add(dict(zip(("part", "kind", "id"), key, strict=True)) | {"facts": facts})
    return found


def _recognizer(asked: str | None, utterances: Sequence[Utterance]) -> asr.ASR | None:
    if asked == NO_ASR:
        return None
    return _load_asr(asked or asr.usual(u.language for u in utterances))


_load_asr = cache(asr.load_asr)


def _missing(
    results: Results, everything: Sequence[tuple[str, Utterance]], kind: str
) -> list[tuple[str, Utterance]]:
    return [(name, u) for name, u in everything if (name, kind, u.id) not in results.rows]


def _recording(name: str, utterance: Utterance, recognizer: asr.ASR | None, found: Measured) -> Row:
    """What is known of a recording itself."""
    original = scores.Sound(read_audio(utterance, scores.COMMON), scores.COMMON)
    rate = sound_info(utterance).sample_rate
    native = scores.Sound(read_audio(utterance, rate), rate)
    row = _about(name, RECORDINGS, utterance) | {
        "seconds": len(original.full) / scores.COMMON,
        "source_rate": rate,
        "source_bandwidth": round(native.bandwidth),
        "bandwidth": round(native.bandwidth),
    }
    row |= scores.measure(original, original, [m for m in scores.ALONE if m in scores.at_hand()[0]])
    if recognizer:
        row |= scores.hear(recognizer, utterance, original, None)
    if (name, utterance.id) in found.samples:
        samples.keep(found.plan.out, RECORDINGS, name, utterance.id, original)
    return row


def _through(
    system: systems.System,
    name: str,
    utterance: Utterance,
    recognizer: asr.ASR | None,
    found: Measured,
    measures: Sequence[str],
) -> tuple[Row, torch.Tensor | None]:
    """What a system makes of a recording, and its tokens."""
    before = found.rows[name, RECORDINGS, utterance.id]
    original = scores.Sound(read_audio(utterance, scores.COMMON), scores.COMMON)
    passed = system.through(read_audio(utterance, system.sample_rate))
    sound = scores.Sound(passed.wav, system.sample_rate)
    row = _about(name, system.name, utterance) | {
        "seconds": float(before["seconds"]),
        "source_rate": before["source_rate"],
        "source_bandwidth": before["source_bandwidth"],
        "bandwidth": round(sound.bandwidth),
        "bits": passed.bits,
        "encode_s": passed.encode_seconds,
        "decode_s": passed.decode_seconds,
    }
    row |= scores.measure(original, sound, measures)
    if recognizer:
        row |= scores.hear(recognizer, utterance, sound, str(before["heard"]))
    if (name, utterance.id) in found.samples:
        samples.keep(found.plan.out, system.name, name, utterance.id, sound)
    return row, passed.tokens


def _about(name: str, kind: str, utterance: Utterance) -> Row:
    about = {"part": name, "kind": kind, "id": utterance.id, "text": utterance.text}
    return about | {"language": base(utterance.language), "speaker": utterance.speaker}


def _use(
    system: systems.System,
    everything: Sequence[tuple[str, Utterance]],
    tokens: Mapping[tuple[str, str], torch.Tensor | None],
) -> str:
    """Of every codebook, or of the dimensions of a continuous codec, over all items; JSON."""
    parts = []
    for name, utterance in everything:
        own = tokens.get((name, utterance.id))
        if own is None:  # measured by a run before this one
            own = system.through(read_audio(utterance, system.sample_rate)).tokens
        assert own is not None
        parts.append(own.numpy())
    if system.sizes:
        rows = np.concatenate(parts, axis=1)
        uses = [codebooks.use(row, size) for row, size in zip(rows, system.sizes, strict=True)]
        return json.dumps([asdict(use) for use in uses])
    latents = np.concatenate(parts)
    if system.deviation is not None:
        latents = latents * system.deviation.numpy()
    active = codebooks.active_dimensions(latents)
    return json.dumps({"active": active, "dims": latents.shape[1], "frames": len(latents)})
