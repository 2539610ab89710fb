"""A report as one HTML file that needs no other: light and dark, on a phone too.

`page` is that of a bench of codecs; the parts it is made of serve other reports too. Charts are
inline SVG, sounds and pictures are data URIs, and there is no script.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from codeclm.evaluation import chart
from codeclm.evaluation.tables import Cell, Chart, Table

COLOURS = 8

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #5c6670; --line: #d8dde3;
  --card: #f6f7f9; --page: #fff; --link: #0b5cad;
  --c0: #0b6fd0; --c1: #d1450b; --c2: #1a8a4a; --c3: #8a3ab9; --c4: #767c84; --c5: #a08500;
  --c6: #c22d6b; --c7: #0a8f8f }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --soft: #9aa4af; --line: #343b44;
  --card: #1c2127; --page: #13161a; --link: #7cb7ff;
  --c0: #64a9ff; --c1: #ff8a5c; --c2: #5fd08d; --c3: #cf93f2; --c4: #a9b0b8; --c5: #e0c34a;
  --c6: #ff85b3; --c7: #4fd6d6 } }
* { box-sizing: border-box }
body { font: 15px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--page);
  max-width: 76rem; margin: 0 auto; padding: 1.5rem 1rem 4rem }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .2rem 0 .6rem }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .5rem }
h3 { font-size: 1rem; margin: 1.2rem 0 .4rem }
p, .note { max-width: 46rem } .note, figcaption, small { color: var(--soft) }
code { font-size: .85em; overflow-wrap: anywhere }
.scroll { overflow-x: auto; margin: .6rem 0; border: 1px solid var(--line); border-radius: 8px }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100% }
th, td { padding: .35rem .7rem; text-align: right; white-space: nowrap; vertical-align: top;
  border-bottom: 1px solid var(--line) }
tr:last-child > * { border-bottom: 0 } thead th { white-space: normal; font-size: .8rem;
  color: var(--soft); font-weight: 600; vertical-align: bottom; min-width: 4.5rem }
th:first-child { text-align: left; position: sticky; left: 0; background: var(--card) }
td small { display: block; font-size: .72rem } td.long { white-space: normal; text-align: left }
summary { cursor: pointer; font-weight: 600; margin: .7rem 0 }
.charts, .sounds { display: grid; gap: 1rem }
.charts { grid-template-columns: repeat(auto-fill, minmax(min(100%, 22rem), 1fr)) }
.sounds { grid-template-columns: repeat(auto-fill, minmax(min(100%, 15rem), 1fr)) }
figure { margin: 0; padding: .7rem; background: var(--card); border-radius: 8px }
figure svg, figure img { width: 100%; display: block } figure img { height: 7rem }
figure img { image-rendering: auto; border-radius: 4px } audio { width: 100%; height: 2.2rem }
svg text { font: 11px system-ui, sans-serif; fill: var(--soft) }
.grid { stroke: var(--line); fill: none } .join { fill: none; stroke-width: 1.5; opacity: .6 }
.bar { stroke-width: 1.5 } .across { stroke-width: 1.5; stroke-dasharray: 5 4; fill: none }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1rem; list-style: none; padding: 0 }
.legend i { display: inline-block; width: .8rem; height: .8rem; border-radius: 50%;
  margin-right: .35rem; background: currentColor; vertical-align: -1px }
.legend span { color: var(--ink) }
""" + "\n".join(
    f".c{i} {{ color: var(--c{i}) }} .c{i}, .c{i} > * {{ stroke: var(--c{i}) }}"
    f" .c{i} circle {{ fill: var(--c{i}) }}"
    for i in range(COLOURS)
)


@dataclass(frozen=True)
class Sample:
    """One item to listen to.

    Attributes:
        title: where it is from.
        text: what is said.
        language: for the reader's screen.
        sounds: name, a line about it, Ogg file; the picture lies beside it as PNG.
    """

    title: str
    text: str
    language: str
    sounds: Sequence[tuple[str, str, Path]]


def page(
    title: str,
    lines: Sequence[str],
    tables: Sequence[Table],
    charts: Sequence[Chart],
    samples: Sequence[Sample],
    notes: Sequence[str],
) -> str:
    """The whole report as HTML."""
    names = list(dict.fromkeys(p.name.partition(":")[0] for c in charts for p in c.points))
    colours = {name: i % COLOURS for i, name in enumerate(names)}
    parts = [f"<h1>{escape(title)}</h1>", *(f"<p>{escape(line)}</p>" for line in lines)]
    first, *others = tables
    parts.append(table(first))
    if charts:
        parts.append("<h2>Against bits a second</h2>")
        parts.append('<p class="note">Bars are 95 % intervals. A dashed line is a codec of ')
        parts.append("continuous latents, which has no bitrate. Dots of one colour that are ")
        parts.append("joined are one codec with more and fewer codebooks.</p>")
        parts.append(legend(colours))
        figures = (
            f"<figure>{chart.svg(each, colours)}<figcaption>{escape(each.title)}</figcaption>"
            "</figure>"
            for each in charts
        )
        parts.append(f'<div class="charts">{"".join(figures)}</div>')
    if samples:
        parts.append("<h2>Listen and look</h2>")
        parts.append('<p class="note">Pictures reach from 0 to 12 kHz, 80 dB from dark to bright.')
        parts.append("</p>")
        parts += map(sample, samples)
    parts += map(table, others)
    parts.append("<h2>What was measured with what</h2>")
    parts.append("<ul>" + "".join(f"<li>{code(note)}" for note in notes) + "</ul>")
    return document(title, parts)


def document(title: str, parts: Sequence[str], style: str = "") -> str:
    """HTML of a page from what stands in its body; `style` is CSS beside that of all pages."""
    body = "\n".join(parts)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}{style}</style>\n{body}</html>\n"
    )


def code(note: str) -> str:
    """Escaped, with what stands between backticks as code."""
    pieces = escape(note).split("`")
    return "".join(f"<code>{p}</code>" if i % 2 else p for i, p in enumerate(pieces))


def legend(colours: Mapping[str, int]) -> str:
    """Names beside the colours of their CSS classes."""
    entries = (
        f'<li class="c{number}"><i></i><span>{escape(name)}</span>'
        for name, number in colours.items()
    )
    return f'<ul class="legend">{"".join(entries)}</ul>'


def table(found: Table) -> str:
    """A table under its title."""
    columns = found.columns
    head = "".join(f"<th>{escape(column)}" for column in columns)
    rows = "".join(
        f"<tr><th>{escape(name)}" + "".join(_cell(cells.get(column)) for column in columns)
        for name, cells in found.rows.items()
    )
    note = f'<p class="note">{escape(found.note)}</p>' if found.note else ""
    grid = (
        f'<div class="scroll"><table><thead><tr><th>{head}</thead><tbody>{rows}</tbody></table>'
        "</div>"
    )
    if found.folded:
        return f"<details><summary>{escape(found.title)}</summary>{note}{grid}</details>"
    return f"<h2>{escape(found.title)}</h2>{note}{grid}"


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return "<td>"
    small = f"<small>{escape(cell.detail)}</small>" if cell.detail else ""
    kind = ' class="long"' if len(cell.text) > 40 else ""
    return f"<td{kind}>{escape(cell.text)}{small}"


def sample(found: Sample) -> str:
    """An item to listen to and to look at."""
    figures = []
    for name, about, path in found.sounds:
        picture = path.with_suffix(".png")
        image = f'<img alt="spectrogram, {escape(name)}" src="{_uri(picture, "image/png")}">'
        sound = f'<audio controls preload="none" src="{_uri(path, "audio/ogg")}"></audio>'
        caption = f"<figcaption><b>{escape(name)}</b> {escape(about)}</figcaption>"
        figures.append(f"<figure>{image}{sound}{caption}</figure>")
    said = f'<p lang="{escape(found.language)}">{escape(found.text)}</p>'
    return f'<h3>{escape(found.title)}</h3>{said}<div class="sounds">{"".join(figures)}</div>'


def _uri(path: Path, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
