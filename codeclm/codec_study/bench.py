"""Measure codecs side by side on recordings of your own: `codeclm codec bench`.

One codec at a time is loaded, and every chosen recording goes through it. The out folder holds
`items.csv` (a row an item and codec, appended as it is done), `run.json` (what was measured with
what), `samples/` (a few to listen to), and the report made of them (`bench_report.py`). Run again
after an interruption, rows that are there are kept.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cache, partial
from typing import Any

import torch

from codeclm.codec_study import samples, scores, systems
from codeclm.codec_study.measured import CODEBOOKS, RECORDINGS, Measured, Plan
from codeclm.codec_study.parts import divided_by
from codeclm.corpus import Utterance, read_audio, read_manifest, sound_info
from codeclm.evaluation import asr, codebooks
from codeclm.evaluation.items import Results, Row, Task, base, shuffled

HELD_OUT = ("test", "unseen")  # splits that are taken unless told otherwise, where there are any
NO_ASR = "none"
COLUMNS = (
    *("part", "kind", "id", "language", "speaker", "seconds", "source_rate", "source_bandwidth"),
    *("bandwidth", *scores.MEASURES, "bits", "encode_s", "decode_s", "text", *scores.HEARD),
    "facts",  # JSON, of rows that are of a codec as a whole
)


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


@torch.inference_mode()
def run(plan: Plan) -> Measured:
    """Measure what is missing, on one thread.

    Raises:
        ValueError: an unknown codec or recognizer, a manifest without such rows, or an out folder
            that holds another run.
        ImportError: no recognizer is installed.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _run(plan)
    finally:
        torch.set_num_threads(threads)


def _run(plan: Plan) -> Measured:
    # 1. what is measured with what
    chosen = choose(plan)
    order = systems.names(plan.codecs, plan.streams)
    wanted, lacking = scores.at_hand()
    recognizers = {name: _recognizer(plan.asr, us) for name, us in chosen.items()}
    made_with: dict[str, Any] = {"seed": plan.seed, **scores.versions()}
    for name, recognizer in recognizers.items():
        made_with[f"asr of {name}"] = recognizer.version if recognizer else None
    results = Results(plan.out, made_with, COLUMNS)
    found = Measured(plan, chosen, order, results.rows, results.facts, lacking)
    found.samples = samples.choose(chosen)

    # 2. each recording, then each codec
    everything = [(name, u) for name, us in chosen.items() for u in us]

    def tasks(kind: str, measure: Callable[..., Row], *known: Any) -> list[Task]:
        return [
            ((name, kind, u.id), partial(measure, found, recognizers[name], *known, name, u))
            for name, u in everything
        ]

    results.complete(tasks(RECORDINGS, _recording), RECORDINGS)
    for kind in order:
        try:
            system = systems.load(kind)
        except systems.Absent as reason:
            found.absent[kind] = str(reason)
            continue
        found.facts[kind] = system.facts
        results.state({f"codec {kind}": system.facts["fingerprint"]})
        whole = kind in plan.codecs  # else its first codebooks alone
        measures = [name for name in wanted if whole or name in scores.QUICK]
        tokens: dict[tuple[str, str], torch.Tensor] = {}
        own = tasks(kind, _through, system, measures, tokens)
        if not all(key in results.rows for key, _ in own):
            system.through(torch.zeros(1, system.sample_rate))  # the first time is slow
        results.complete(own, kind)
        if whole and system.codec:
            key = (CODEBOOKS, kind, f"{len(everything)} items")
            results.complete([(key, partial(_use, system, everything, tokens))], kind)
    return found


def _recognizer(asked: str | None, utterances: Sequence[Utterance]) -> asr.ASR | None:
    if asked == NO_ASR:
        return None
    return _load_asr(asked or asr.usual(u.language for u in utterances))


_load_asr = cache(asr.load_asr)


def _recording(found: Measured, recognizer: asr.ASR | None, name: str, utterance: Utterance) -> Row:
    """What is known of a recording itself."""
    original = scores.Sound(read_audio(utterance, scores.COMMON), scores.COMMON)
    rate = sound_info(utterance).sample_rate
    reach = round(scores.Sound(read_audio(utterance, rate), rate).bandwidth)
    row = {
        "seconds": len(original.full) / scores.COMMON,
        "source_rate": rate,
        "source_bandwidth": reach,
        "bandwidth": reach,
    }
    alone = [name for name in scores.at_hand()[0] if scores.MEASURES[name].alone]
    row |= scores.measure(original, original, alone)
    if recognizer:
        row |= scores.hear(recognizer, utterance, original, None)
    return _kept(found, RECORDINGS, name, utterance, original, row)


def _through(
    found: Measured,
    recognizer: asr.ASR | None,
    system: systems.System,
    measures: Sequence[str],
    tokens: dict[tuple[str, str], torch.Tensor],
    name: str,
    utterance: Utterance,
) -> Row:
    """What a system makes of a recording; its tokens are put to the others."""
    before = found.rows[name, RECORDINGS, utterance.id]
    original = scores.Sound(read_audio(utterance, scores.COMMON), scores.COMMON)
    passed = system.through(read_audio(utterance, system.sample_rate))
    sound = scores.Sound(passed.wav, system.sample_rate)
    if passed.tokens is not None:
        tokens[name, utterance.id] = passed.tokens
    row = {
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
    return _kept(found, system.name, name, utterance, sound, row)


def _kept(
    found: Measured, kind: str, name: str, utterance: Utterance, sound: scores.Sound, row: Row
) -> Row:
    """The row with what it is about; the sound is kept if it is one to listen to."""
    if (name, utterance.id) in found.samples:
        samples.keep(found.plan.out, kind, name, utterance.id, sound)
    about = {"text": utterance.text, "speaker": utterance.speaker}
    return about | {"language": base(utterance.language)} | row


def _use(
    system: systems.System,
    everything: Sequence[tuple[str, Utterance]],
    tokens: Mapping[tuple[str, str], torch.Tensor],
) -> Row:
    """Of every codebook, or of the dimensions of a continuous codec, over all items."""
    parts = []
    for name, utterance in everything:
        own = tokens.get((name, utterance.id))
        if own is None:  # measured by a run before this one
            own = system.encode(read_audio(utterance, system.sample_rate)[None])[0]
        parts.append(own)
    if system.sizes:
        codes = torch.cat(parts, dim=1).numpy()
        uses = [codebooks.use(row, size) for row, size in zip(codes, system.sizes, strict=True)]
        return {"facts": json.dumps([asdict(use) for use in uses])}
    assert system.codec
    latents = torch.cat(parts)
    latents = latents * divided_by(system.codec, latents.T).sqrt()
    active = codebooks.active_dimensions(latents.numpy())
    facts = {"active": active, "dims": latents.shape[1], "frames": len(latents)}
    return {"facts": json.dumps(facts)}
