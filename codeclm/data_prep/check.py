"""`codeclm prep check`: reads a corpus before anything is made of it, and lists all that is wrong.

A finding is one fault of one line. Some can be mended without asking anybody: a duration is
measured, an id that stands twice gets a number, utterances of a speaker who is trained on move from
`unseen` to `test`. Lines with any other fault are left out of the mended manifest.
"""

import dataclasses
import json
from collections import Counter, defaultdict
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from codeclm.corpus import BadRow, Row, Utterance, read_audio, read_rows, sound_info
from codeclm.corpus.utterance import as_row
from codeclm.data_prep.coverage import coverage
from codeclm.data_prep.splits import leaks
from codeclm.data_prep.usable import faults, wrong_length
from codeclm.files import write_text
from codeclm.remote import AnyPath

MENDABLE = {
    "wrong duration": "measured",
    "duplicate id": "numbered",
    "speaker in train and unseen": "moved to the split test",
}
_TOLERANCE = 0.05  # seconds that a stated duration may be off, or 2 % of it


class Finding(NamedTuple):
    """One fault of one line: where it stands, its kind, and what it is."""

    file: str
    line: int
    id: str
    kind: str
    detail: str


@dataclass
class Report:
    """What was found; `kept` are the utterances without the lines that cannot be mended.

    `bad_seconds` are those of lines with a fault of a kind, as far as they are known.
    """

    manifest: str
    lines: int = 0
    seconds: float = 0.0
    findings: list[Finding] = field(default_factory=list)
    bad_seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    kept: list[Utterance] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; the findings in the order of the lines."""
        kinds = Counter(finding.kind for finding in self.findings)
        return {
            "manifest": self.manifest,
            "lines": self.lines,
            "hours": round(self.seconds / 3600, 4),
            "kept": len(self.kept),
            "speakers": len({u.speaker for u in self.kept}),
            "splits": dict(Counter(u.split for u in self.kept)),
            "problems": {
                kind: {
                    "count": count,
                    "hours": round(self.bad_seconds[kind] / 3600, 4),
                    "mended": MENDABLE.get(kind),
                }
                for kind, count in kinds.most_common()
            },
            "findings": [finding._asdict() for finding in self.findings],
        }


def check(manifest: str | AnyPath, tokenizer: str = "phonemes") -> Report:
    """Reads every line and its sound.

    Args:
        manifest: any that `codeclm.corpus` reads.
        tokenizer: whose script it must be, see `coverage`.

    Raises:
        ValueError: there is no such manifest or tokenizer.
    """
    covers = coverage(tokenizer)
    report = Report(str(manifest))
    where: dict[str, tuple[str, int, float]] = {}
    for row in tqdm(read_rows(manifest), desc="check", unit="line"):
        report.lines += 1
        found, seconds = _utterance(row, covers)
        utterance = row.found.mended if isinstance(row.found, BadRow) else row.found
        id = row.found.id
        if utterance is not None:
            if id in where:
                file, line, _ = where[id]
                first = f"line {line}" if file == row.file else f"{file} line {line}"
                found.append(("duplicate id", f"{id!r} stands already on {first}"))
                utterance = dataclasses.replace(utterance, id=_numbered(id, where))
            where[utterance.id] = (row.file, row.line, seconds)
        report.seconds += seconds
        for kind, detail in found:
            report.findings.append(Finding(row.file, row.line, id, kind, detail))
            report.bad_seconds[kind] += seconds
        kinds = {kind for kind, _ in found}
        if utterance is not None and kinds <= MENDABLE.keys():
            if "wrong duration" in kinds:
                utterance = dataclasses.replace(utterance, duration=round(seconds, 3))
            report.kept.append(utterance)
    if not report.lines:
        raise ValueError(f"{manifest} has no rows: write one JSON object a line")
    _find_leaks(report, where)
    return report


def mend(report: Report, out: Path) -> None:
    """Writes the mended manifest, and beside it the report with all that was changed or left out.

    Raises:
        ValueError: `out` is the corpus itself, or is no JSONL file.
    """
    check_out(report.manifest, out)
    rows = (json.dumps(as_row(u, out.parent), ensure_ascii=False) for u in report.kept)
    write_text(out, "".join(row + "\n" for row in rows))
    write_text(beside(out), json.dumps(report.to_dict(), ensure_ascii=False, indent=1))


def check_out(manifest: str | Path, out: Path) -> None:
    """Says before long work whether `mend` could write there."""
    if out.suffix != ".jsonl":
        raise ValueError(f"{out}: the mended manifest is JSON lines; end its name in .jsonl")
    if out.exists():
        raise ValueError(f"{out} is there already, and may be a corpus: give another name")


def beside(out: Path) -> Path:
    """Where `mend` writes the report."""
    return out.with_suffix(".report.json")


def render(report: Report) -> str:
    """The report in lines: every finding under its kind, then the sums."""
    lines = []
    kinds = Counter(finding.kind for finding in report.findings)
    for kind, count in kinds.most_common():
        fate = f"can be mended: {MENDABLE[kind]}" if kind in MENDABLE else "cannot be mended"
        lines.append(f"{kind}: {count}, {report.bad_seconds[kind] / 3600:.2f} h ({fate})")
        for f in report.findings:
            if f.kind == kind:
                lines.append(f"  {f.file}:{f.line}: {f.id + ': ' if f.id else ''}{f.detail}")
    speakers = len({u.speaker for u in report.kept})
    lines.append(
        f"{report.manifest}: {report.lines} lines, {report.seconds / 3600:.2f} h; "
        f"{len(report.findings)} problem(s), {report.lines - len(report.kept)} line(s) that cannot "
        f"be mended; good: {len(report.kept)} utterances of {speakers} speaker(s)"
    )
    return "\n".join(lines)


def _utterance(row: Row, covers: Any) -> tuple[list[tuple[str, str]], float]:
    """The faults of a row, as kind and detail, and the seconds of its sound."""
    found: list[tuple[str, str]] = []
    utterance = row.found
    if isinstance(utterance, BadRow):
        found.append((utterance.kind, str(utterance)))
        if utterance.mended is None:
            return found, 0.0
        utterance = utterance.mended
    reason = covers(utterance.text, utterance.language)
    if reason is not None:
        found.append(("text not covered", reason))
    try:
        info = sound_info(utterance)
        part = min(utterance.duration or info.seconds, info.seconds)
        promised = info.seconds if utterance.start is None else part
        too_long = wrong_length(promised) if promised > 1 else None
        if too_long is not None:  # said by the header; not read, it may not fit into memory
            return [*found, _divided(too_long)], promised
        wav = read_audio(utterance, info.sample_rate)
    except ConnectionError:
        raise  # no fault of the sound
    except (ValueError, OSError) as error:
        return [*found, ("unreadable", str(error))], 0.0
    seconds = wav.shape[-1] / info.sample_rate
    stated = utterance.duration
    if stated is not None and abs(stated - seconds) > max(_TOLERANCE, 0.02 * seconds):
        found.append(("wrong duration", f"{stated} s stated, {seconds:.3f} s read"))
    elif utterance.start is None and info.seconds - seconds > _TOLERANCE:
        found.append(
            ("cut off", f"the header says {info.seconds:.2f} s, {seconds:.2f} s are there")
        )
    return found + list(map(_divided, faults(utterance, wav, info.sample_rate))), seconds


def _divided(reason: str) -> tuple[str, str]:
    kind, _, detail = reason.partition(": ")
    return kind, detail


def _numbered(id: str, taken: Container[str]) -> str:
    number = 2
    while f"{id}-{number}" in taken:
        number += 1
    return f"{id}-{number}"


def _find_leaks(report: Report, where: dict[str, tuple[str, int, float]]) -> None:
    kind = "speaker in train and unseen"
    leaking = leaks(report.kept)
    for i, utterance in enumerate(report.kept):
        if utterance.speaker in leaking and utterance.split == "unseen":
            detail = f"speaker {utterance.speaker!r} is trained on"
            file, line, seconds = where[utterance.id]
            report.findings.append(Finding(file, line, utterance.id, kind, detail))
            report.bad_seconds[kind] += seconds
            report.kept[i] = dataclasses.replace(utterance, split="test")
