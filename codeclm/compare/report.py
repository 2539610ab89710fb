"""What a comparison leaves: `compare.html`, `.md`, `.json`, its first picture `.svg`, `ab.html`."""

from collections.abc import Iterator
from pathlib import Path

from codeclm.compare import ab, conclusions, pictures, table
from codeclm.compare.found import ILLEGAL, Found
from codeclm.evaluation import report
from codeclm.files import write_text


def write(found: Found, out: Path) -> Path:
    """Writes all of it to the out folder; the page."""
    tables = list(table.tables(found.recordings, found.cells)) if found.cells else []
    said = list(conclusions.sentences(found.recordings, found.cells)) if found.cells else []
    record = {
        "conclusions": said,
        "tables": report.values(tables),
        "absent": found.absent,
        "facts": found.facts,
    }
    figures = pictures.costs(found)
    absent = [f"{name}: {reason}" for name, reason in found.absent.items()]
    legal = [t for t in found.trainings if not found.absent.get(t.name, "").startswith(ILLEGAL)]
    parts = [
        *map(report.line, _lines(found)),
        report.points("What the intervals support", said),
        *pictures.against(found, figures),
        *map(report.table, tables),
        *pictures.losses(found),
        *pictures.grids(found),
        *pictures.sounds(found, out),
        report.points("Not in the tables", absent),
        report.points("What this does not show", LIMITS),
        report.commands("Each row again", [training.command for training in legal]),
        report.points("What was measured with what", list(_notes(found))),
    ]
    title = f"Codec x layout x head: {found.comparison.name}"
    report.write(out / "compare", record, parts, title)
    if figures:
        write_text(out / "compare.svg", report.alone(figures[0][0]))
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
