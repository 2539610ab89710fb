"""A report as Markdown, as one HTML file that needs no other, and as JSON.

It is a list of parts, each of which says one thing in both forms. The page is light and dark, on a
phone too: charts are inline SVG, sounds and pictures are data URIs, and there is no script.
"""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from codeclm.evaluation.tables import Cell, Table
from codeclm.files import write_text

STYLE = Path(__file__).with_name("report.css")
COLOURS = 8  # CSS classes c0 to c7


class Part(NamedTuple):
    """One thing that a report says; "" where a form leaves it out."""

    markdown: str
    html: str


def write(place: Path, record: Mapping[str, Any], parts: Iterable[Part], title: str = "") -> str:
    """Writes `record` to `place`.json and `parts` to `place`.md, which is returned.

    With a title they become a page too, `place`.html.
    """
    parts = list(parts)
    text = json.dumps(record, indent=1, ensure_ascii=False)
    write_text(place.with_name(f"{place.name}.json"), text + "\n")
    if title:
        parts.insert(0, Part(f"# {title}", f"<h1>{escape(title)}</h1>"))
        write_text(place.with_name(f"{place.name}.html"), page(title, parts))
    write_text(place.with_name(f"{place.name}.md"), markdown(parts))
    return markdown(parts)


def summary(
    folder: Path, tables: Iterable[Table], facts: Mapping[str, Any], notes: Sequence[str]
) -> str:
    """Writes `summary.json` and `summary.md`, and returns the latter; empty tables are left out."""
    tables = [found for found in tables if found.rows]
    record = {"made_with": facts, "notes": notes, "tables": values(tables)}
    lines = [f"{key}: {fact}" for key, fact in facts.items()]
    return write(folder / "summary", record, [*map(table, tables), points("", [*lines, *notes])])


def values(tables: Iterable[Table]) -> dict[str, Any]:
    """The figures of tables by their title."""
    return {found.title: found.to_dict() for found in tables}


def markdown(parts: Iterable[Part]) -> str:
    """The parts as Markdown."""
    return "\n\n".join(part.markdown for part in parts if part.markdown) + "\n"


def page(title: str, parts: Iterable[Part]) -> str:
    """The parts as HTML."""
    body = "\n".join(part.html for part in parts if part.html)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>\n{STYLE.read_text('utf-8')}</style>\n{body}</html>\n"
    )


def alone(drawing: str) -> str:
    """An SVG as a file of its own, in the colours of the page."""
    style = f"<style>\n{STYLE.read_text('utf-8')}</style>"
    card = '<rect width="100%" height="100%" fill="var(--card)"/>'
    begin, end = drawing.split(">", 1)
    begin = begin.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    return f"{begin}>{style}{card}{end}\n"


# --- parts -------------------------------------------------------------------------------------


def line(text: str) -> Part:
    """A sentence or some."""
    return Part(text, f"<p>{escape(text)}</p>")


def points(title: str, lines: Sequence[str]) -> Part:
    """A list under its title, if it has one; what stands between backticks is code."""
    items = "\n".join(f"- {text}" for text in lines)
    html = "<ul>" + "".join(f"<li>{_code(text)}" for text in lines) + "</ul>"
    return _titled(title, items, html) if lines else Part("", "")


def commands(title: str, lines: Sequence[str]) -> Part:
    """Lines of a shell."""
    indented = "\n".join(f"    {text}" for text in lines)
    return _titled(title, indented, f"<pre>{escape(chr(10).join(lines))}</pre>")


def table(found: Table) -> Part:
    """A table under its title, behind it where it is folded."""
    columns, note = found.columns, found.note
    lines = [note, ""] if note else []
    corner = f"| {found.corner} |" if found.corner else "| |"
    lines += [f"{corner} {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    head = "".join(f"<th>{escape(column)}" for column in ("", *columns))
    html = f'<p class="note">{escape(note)}</p>' if note else ""
    html += f'<div class="scroll"><table><thead><tr>{head}</thead><tbody>'
    for name, cells in found.rows.items():
        row = [cells.get(column, Cell(None, "")) for column in columns]
        texts = (f"{cell.text} {cell.detail}".strip() for cell in row)
        lines.append(f"| {name} | {' | '.join(texts)} |")
        html += f"<tr><th>{escape(name)}{''.join(map(_cell, row))}"
    html += "</tbody></table></div>"
    text = "\n".join(lines)
    if not found.folded:
        return _titled(found.title, text, html)
    head = f"<details><summary>{escape(found.title)}</summary>"
    return Part(
        f"<details><summary>{found.title}</summary>\n\n{text}\n\n</details>",
        f"{head}{html}</details>",
    )


def _cell(cell: Cell) -> str:
    small = f"<small>{escape(cell.detail)}</small>" if cell.detail else ""
    kind = ' class="long"' if len(cell.text) > 40 else ""
    return f"<td{kind}>{escape(cell.text)}{small}"


def _titled(title: str, text: str, html: str) -> Part:
    if not title:
        return Part(text, html)
    return Part(f"## {title}\n\n{text}", f"<h2>{escape(title)}</h2>{html}")


def _code(text: str) -> str:
    pieces = escape(text).split("`")
    return "".join(f"<code>{p}</code>" if i % 2 else p for i, p in enumerate(pieces))


# --- on the page alone -------------------------------------------------------------------------


def heading(title: str, note: str = "") -> Part:
    """A title, and a line of HTML about what follows."""
    return Part("", f"<h2>{escape(title)}</h2>" + (f'<p class="note">{note}</p>' if note else ""))


def charts(
    drawn: Iterable[tuple[str, str]], colours: Mapping[str, int] | None = None, wide: bool = False
) -> Part:
    """SVGs with their titles, below the names of the colours."""
    entries = "".join(
        f'<li class="c{number}"><i></i><span>{escape(name)}</span>'
        for name, number in (colours or {}).items()
    )
    legend = f'<ul class="legend">{entries}</ul>' if entries else ""
    figures = "".join(
        f"<figure>{svg}<figcaption>{escape(title)}</figcaption></figure>" for svg, title in drawn
    )
    return Part("", f'{legend}<div class="charts{" wide" * wide}">{figures}</div>')


def sample(title: str, text: str, language: str, sounds: Iterable[tuple[str, str, Path]]) -> Part:
    """An item to listen to and to look at.

    Args:
        title: where it is from.
        text: what is said.
        language: for the reader's screen.
        sounds: name, a line about it, Ogg file; the picture lies beside it as PNG.
    """
    figures = ""
    for name, about, path in sounds:
        picture = _uri(path.with_suffix(".png"), "image/png")
        figures += (
            f'<figure><img alt="spectrogram, {escape(name)}" src="{picture}">'
            f'<audio controls preload="none" src="{_uri(path, "audio/ogg")}"></audio>'
            f"<figcaption><b>{escape(name)}</b> {escape(about)}</figcaption></figure>"
        )
    said = f'<p lang="{escape(language)}">{escape(text)}</p>'
    return Part("", f'<h3>{escape(title)}</h3>{said}<div class="sounds">{figures}</div>')


def _uri(path: Path, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
