"""What a prepared corpus holds: `report.json` for programs, `report.html` for people.

The page is one file that needs no other, its charts are inline SVG.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from codeclm.codecs import CodecSpec
from codeclm.corpus import Utterance
from codeclm.data_prep.shards import read_header, read_shard
from codeclm.data_prep.tokenize import kinds
from codeclm.files import write_text
from codeclm.remote import AnyPath

LONGEST = 30  # seconds; the last bar of the lengths is of all that are longer
BARS = 48  # of a codebook's use
SHOWN = 200  # skipped utterances on the page; report.json has them all

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 } figure { display: inline-block; margin: .4rem }
td, th { padding: .15rem .8rem; text-align: left; border-bottom: 1px solid #8884 }
svg { background: #8881; fill: #27c } figcaption { font-size: 12px }
"""


def survey(utterances: Sequence[Utterance], shards: Iterable[AnyPath]) -> dict[str, Any]:
    """Hours, speakers, lengths, languages and splits of the utterances in some shards."""
    seconds: dict[str, float] = {}
    for shard in shards:
        header = read_header(shard)
        lengths = (frames / header.spec.frame_rate for frames in header.frames)
        seconds |= dict(zip(header.ids, lengths, strict=True))
    histogram = Counter(min(int(length), LONGEST) for length in seconds.values())

    def groups(key: str) -> dict[str, dict[str, float]]:
        members: dict[str, list[Utterance]] = defaultdict(list)
        for utterance in utterances:
            members[getattr(utterance, key)].append(utterance)
        return {name: amount(some) for name, some in sorted(members.items())}

    def amount(some: Sequence[Utterance]) -> dict[str, float]:
        return {
            "utterances": len(some),
            "hours": round(sum(seconds[u.id] for u in some) / 3600, 3),
            "speakers": len({u.speaker for u in some}),
        }

    return {
        **amount(utterances),
        "seconds_histogram": [histogram[second] for second in range(LONGEST + 1)],
        "languages": groups("language"),
        "splits": groups("split"),
    }


def usage(shards: Iterable[AnyPath], spec: CodecSpec) -> list[dict[str, Any]]:
    """How each codebook is used: its size, the share of its codes that occur, the perplexity.

    `histogram` is the share of the frames whose code is among the most frequent, the next most
    frequent ... of the codebook, cut into at most 48 groups of equal size.
    """
    counts = [np.zeros(stream.size, dtype=np.int64) for stream in spec.streams]
    for shard in shards if counts else ():
        for matrix in read_shard(shard)[2]:
            for count, row in zip(counts, matrix.numpy(), strict=True):
                count += np.bincount(row, minlength=len(count))
    return [_use(count) for count in counts]


def _use(count: np.ndarray) -> dict[str, Any]:
    share = np.sort(count)[::-1] / max(1, count.sum())
    seen = share[share > 0]
    groups = np.array_split(share, min(BARS, len(share)))
    return {
        "size": len(count),
        "used": round(float((count > 0).mean()), 4),
        "perplexity": round(float(np.exp(-(seen * np.log(seen)).sum())), 1),
        "histogram": [round(float(group.sum()), 5) for group in groups],
    }


def write_report(folder: AnyPath, report: Mapping[str, Any]) -> None:
    """Writes both; `report.json`, which says that the corpus is complete, last."""
    write_text(folder / "report.html", page(report))
    write_text(folder / "report.json", json.dumps(report, indent=1, ensure_ascii=False))


def summary(report: Mapping[str, Any]) -> str:
    """A report in one line."""
    aligned = {entry["durations"]: entry["unaligned"] for entry in report["codecs"].values()}
    return (
        f"{report['utterances']} utterances, {report['hours']:.2f} h, {report['speakers']} "
        f"speakers, {len(report['skipped'])} skipped, {max(aligned.values())} not aligned; tokens "
        f"of {', '.join(report['codecs'])}"
    )


def page(report: Mapping[str, Any]) -> str:
    """A report as HTML."""
    parts = [
        f"<h1>A prepared corpus</h1><p>{escape(summary(report))}</p>",
        "<h2>Splits</h2>" + _table(report["splits"]),
        "<h2>Languages</h2>" + _table(report["languages"]),
        "<h2>Lengths</h2>"
        + _bars(report["seconds_histogram"], f"seconds, 0 to {LONGEST} and more"),
    ]
    for name, entry in report["codecs"].items():
        about = f"{entry['spec']['family']}, {entry['frame_rate']:g} frames a second"
        parts.append(f"<h2>{escape(name)}</h2><p>{about}, {entry['unaligned']} not aligned.</p>")
        for k, use in enumerate(entry["streams"]):
            says = f"codebook {k}: {use['size']} codes, {100 * use['used']:.1f} % used, "
            parts.append(_bars(use["histogram"], f"{says}perplexity {use['perplexity']:.0f}"))
        if entry.get("scale"):
            parts.append(_bars(entry["scale"]["deviation"], "deviation of each latent dimension"))
    skipped = report["skipped"]
    parts.append(f"<h2>Skipped: {len(skipped)}</h2>")
    parts.append(_table({kind: {"utterances": n} for kind, n in kinds(skipped).items()}))
    rows = "".join(
        f"<tr><td>{escape(name)}<td>{escape(why)}" for name, why in [*skipped.items()][:SHOWN]
    )
    parts.append(f"<table>{rows}</table>" if rows else "")
    body = "\n".join(parts)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>A prepared corpus</title>'
        f"<style>{STYLE}</style>\n{body}</html>\n"
    )


def _table(rows: Mapping[str, Mapping[str, float]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{escape(key)}" for key in next(iter(rows.values())))
    body = "".join(
        f"<tr><td>{escape(name)}" + "".join(f"<td>{value:g}" for value in row.values())
        for name, row in rows.items()
    )
    return f"<table><tr><th>{head}{body}</table>"


def _bars(values: Sequence[float], caption: str) -> str:
    top, width = max(*values, 1e-12), 288 / len(values)
    bars = "".join(
        f'<rect x="{i * width:.2f}" y="{80 - 80 * value / top:.2f}" width="{0.9 * width:.2f}" '
        f'height="{80 * value / top:.2f}"><title>{i}: {value:g}</title></rect>'
        for i, value in enumerate(values)
    )
    return (
        f'<figure><svg width="288" height="80">{bars}</svg>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )
