"""What a comparison leaves to read: `compare.html`, `compare.md`, `compare.json` and `ab.html`."""

import json
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from codeclm.compare import ab, conclusions, pictures, table
from codeclm.compare.found import ILLEGAL, Found
from codeclm.evaluation import page
from codeclm.evaluation.tables import Table
from codeclm.files import write_text


def write(found: Found, out: Path) -> Path:
    """Writes all of it to the out folder; the page."""
    name = f"Codec x layout x head: {found.comparison.name}"
    lines, notes = list(_lines(found)), list(_notes(found))
    tables = list(table.tables(found.recordings, found.cells)) if found.cells else []
    said = list(conclusions.sentences(found.recordings, found.cells)) if found.cells else []
    write_text(out / "compare.md", _markdown(name, lines, said, tables, found, notes))
    body = [f"<h1>{escape(name)}</h1>", *(f"<p>{escape(line)}</p>" for line in lines)]
    body += _section("What the intervals support", [_list(said)] if said else [])
    body += pictures.costs(found)
    body += map(page.table, tables)
    body += [*pictures.losses(found), *pictures.grids(found), *pictures.sounds(found, out)]
    body += _section("Not in the tables", [_list(_absent(found))] if found.absent else [])
    body += _section("What this does not show", [_list(LIMITS)])
    body += _section("Each row again", [f"<pre>{escape(_commands(found))}</pre>"])
    body += _section("What was measured with what", [_list(notes)])
    write_text(out / "compare.html", page.document(name, body, pictures.STYLE))
    values = {each.title: each.to_dict() for each in tables}
    told = {"conclusions": said, "tables": values, "absent": found.absent, "facts": found.facts}
    write_text(out / "compare.json", json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    folders = {e.name: e.training.folder / "audio" for e in found.cells if e.rows}
    listening = ab.page(folders, found.items)
    if listening is not None:
        write_text(out / "ab.html", listening)
    return out / "compare.html"


LIMITS = (
    "Small models and one corpus: which cell is best at another size, budget or corpus is open.",
    "A row is one training with one seed unless its name ends in one; intervals are over items, so "
    "how far another seed would move a row is not in them.",
    "Optimizer, learning rate and the way of drawing are as the configs say; a cell may be better "
    "with others.",
    "Losses in bits are comparable on one codec; those of `masked` and `coarse_first` heads are "
    "bounds or leave passes conditional on the whole utterance.",
    "Word errors are what one recognizer hears, similarity what one encoder of voices hears, and "
    "DNSMOS knows neither text nor speaker. The A/B page asks people.",
)


def _lines(found: Found) -> Iterator[str]:
    """What was compared, in sentences."""
    items = found.items
    scored = sum(bool(cell.rows) for cell in found.cells)
    trained = len(found.cells)
    yield (
        f"Of {len(found.trainings)} cells {trained} are trained, {scored} scored, on the same "
        f"{len(items.sentences)} sentences in seen voices, {len(items.clones)} in unseen voices"
        + (f" and {len(items.hard)} hard texts." if items.hard else ".")
    )
    yield "Figures with brackets have 95 % bootstrap intervals over items."


def _notes(found: Found) -> Iterator[str]:
    yield f"command: `{found.command}`"
    yield from (f"{name}: {fact}" for name, fact in found.facts.items())
    yield (
        "WER, CER: errors over words and characters of all texts, Whisper's normalizer; brackets: "
        "5,000 draws of the items, seeded; differences are paired"
    )


def _absent(found: Found) -> list[str]:
    return [f"{name}: {reason}" for name, reason in found.absent.items()]


def _commands(found: Found) -> str:
    legal = [t for t in found.trainings if not found.absent.get(t.name, "").startswith(ILLEGAL)]
    return "\n".join(training.command for training in legal)


def _markdown(
    title: str,
    lines: Sequence[str],
    said: Sequence[str],
    tables: Sequence[Table],
    found: Found,
    notes: Sequence[str],
) -> str:
    """The report without its pictures."""
    parts = [f"# {title}", *lines]
    lists = {"What the intervals support": said}
    parts += [_bullets(title, each) for title, each in lists.items() if each]
    parts += [each.markdown().rstrip() for each in tables]
    ends = {"Not in the tables": _absent(found), "What this does not show": LIMITS}
    parts += [_bullets(title, each) for title, each in ends.items() if each]
    commands = "\n".join(f"    {line}" for line in _commands(found).splitlines())
    parts += [f"## Each row again\n\n{commands}", _bullets("What was measured with what", notes)]
    return "\n\n".join(parts) + "\n"


def _bullets(title: str, lines: Sequence[str]) -> str:
    return "\n".join([f"## {title}", "", *(f"- {line}" for line in lines)])


def _list(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{page.code(line)}" for line in lines) + "</ul>"


def _section(title: str, parts: Sequence[str]) -> list[str]:
    return [f"<h2>{escape(title)}</h2>", *parts] if parts else []
