"""What the studies of a codec share: how they are told, and what they were measured with.

A study measures items one by one (`items.Results`), gathers them into tables, and leaves
`summary.md` to read and `summary.json` to reckon with.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from codeclm import checkpoint
from codeclm.codecs.base import Codec
from codeclm.evaluation.tables import Table
from codeclm.files import write_text


def write_summary(
    out: Path, tables: Iterable[Table], facts: Mapping[str, Any], notes: Sequence[str]
) -> str:
    """Writes `summary.json` and `summary.md`, and returns the latter; empty tables are left out."""
    tables = [table for table in tables if table.rows]
    figures = {table.title: table.to_dict() for table in tables}
    record = {"made_with": dict(facts), "notes": list(notes), "tables": figures}
    write_text(out / "summary.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    lines = [f"- {key}: {fact}" for key, fact in facts.items()] + [f"- {note}" for note in notes]
    page = "\n".join([*(table.markdown() for table in tables), *lines, ""])
    write_text(out / "summary.md", page)
    return page


def installed(*packages: str) -> dict[str, str | None]:
    """Versions of the packages that judge; None where one is missing."""
    found: dict[str, str | None] = {}
    for package in packages:
        try:
            found[f"package {package}"] = version(package)
        except PackageNotFoundError:
            found[f"package {package}"] = None
    return found


def sound_fingerprint(codec: Codec) -> str:
    """Of all weights that make sound; the spec's own is of those that make tokens."""
    state: dict[str, Tensor] = {}
    for name, part in vars(codec).items():
        if isinstance(part, nn.Module):
            state |= part.state_dict(prefix=f"{name}.")
    return checkpoint.fingerprint(state)
