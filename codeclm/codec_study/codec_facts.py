"""What the rules of `pick.py` know of a codec: spec, `codec_facts.yaml`, the report of a bench."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

FACTS = Path(__file__).with_name("codec_facts.yaml")
COLUMNS = {  # of a report: column of a table, and what it is called here
    "PESQ-WB": "pesq_wb",
    "change, points": "wer_change",
    "voice": "similarity",
}


@dataclass(frozen=True)
class Candidate:
    """A codec as the rules see it.

    Attributes:
        frames: frames a second, and `codes` codes a second.
        latency_ms: what a stream waits; `lookahead_ms` is what of it lies ahead of a frame.
        independent: no code of a frame builds on another one.
        made_for: kinds of sound: speech, music, effects.
        heard: languages of its training, or `many`; empty: not known.
        hours: of its training, where we know them.
        measured: PESQ and others, by the names of `codec_facts.yaml`.
    """

    name: str
    family: str
    sample_rate: int
    frames: float
    codes: float
    bitrate: float
    latency_ms: float
    lookahead_ms: float
    continuous: bool = False
    semantic: bool = False
    independent: bool = False
    made_for: tuple[str, ...] = ()
    heard: tuple[str, ...] = ()
    hours: float | None = None
    source: str = "not known here"
    measured: Mapping[str, float] = field(default_factory=dict)


def candidates(results: Path | None = None) -> list[Candidate]:
    """All codecs of `codeclm codec list`; what `results` measured replaces what we did."""
    facts = yaml.safe_load(FACTS.read_text(encoding="utf-8"))
    measured = read_report(results) if results else {}
    return [_candidate(name, spec, facts.get(name, {}), measured) for name, spec in _specs()]


def _specs() -> Iterator[tuple[str, Any]]:
    from codeclm import codecs
    from codeclm.codecs.published.opus import Opus

    for name in codecs.HOUSE:
        yield name, codecs.load_codec(name).spec
    for name, known in codecs.PUBLISHED.items():
        yield name, known.spec
    for name, bitrate in codecs.YARDSTICKS.items():
        yield name, Opus(name, bitrate)


def _candidate(
    name: str, spec: Any, facts: Mapping[str, Any], measured: Mapping[str, Any]
) -> Candidate:
    frames = spec.sample_rate / spec.hop
    streams = getattr(spec, "streams", ())
    ahead = spec.lookahead + getattr(spec, "decoder_lookahead", 0)
    heard = facts.get("heard", ())
    return Candidate(
        name=name,
        family=spec.family,
        sample_rate=spec.sample_rate,
        frames=frames,
        codes=frames * len(streams),
        bitrate=spec.bitrate,
        latency_ms=spec.latency_ms,
        lookahead_ms=1000 * ahead / spec.sample_rate,
        continuous=bool(getattr(spec, "latent_dims", 0)),
        semantic=any(stream.role == "semantic" for stream in streams),
        independent=bool(streams) and not any(stream.depends_on for stream in streams),
        made_for=tuple(facts.get("made_for", ())),
        heard=(heard,) if isinstance(heard, str) else tuple(heard),
        hours=facts.get("hours"),
        source=facts.get("source", "not known here"),
        measured=facts.get("measured", {}) | measured.get(name, {}),
    )


def read_report(path: Path) -> dict[str, dict[str, float]]:
    """Measures by codec, from the JSON report of `codec bench`.

    A figure that stands in several tables is taken from the first of them.

    Raises:
        ValueError: no such file, or it is no report.
    """
    try:
        tables = json.loads(path.read_text(encoding="utf-8"))["tables"]
        found: dict[str, dict[str, float]] = {}
        for rows in tables.values():
            for codec, cells in rows.items():
                for column, value in cells.items():
                    number = value["value"] if isinstance(value, dict) else value
                    if column in COLUMNS and number is not None:
                        found.setdefault(codec, {}).setdefault(COLUMNS[column], number)
    except OSError as error:
        raise ValueError(f"{path}: no such report") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no report of codecs: give report.json of a bench") from error
    return found
