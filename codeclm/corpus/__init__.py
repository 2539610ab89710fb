"""Read a corpus, whatever it is kept in: every kind becomes a list of `Utterance`.

The shape of a manifest's name says what it is; `docs/data.md` has an example of each:

    rows.jsonl, rows.jsonl.gz    one JSON object a line             rows.py
    rows.csv, rows.tsv           the same names in a header line    rows.py
    metadata.csv beside wavs/    LJSpeech: id|text|normalized text  ljspeech.py
    cuts.jsonl.gz, a folder      Lhotse manifests                   lhotse.py
    hf:owner/name:config, folder Hugging Face datasets              huggingface.py

A reader (`READERS`) yields a `Row` for every line, good or bad: one pass finds all mistakes. Sound
stays where it is until `read_audio` asks for it; a list of utterances holds names, never samples.
"""

from collections.abc import Iterator
from typing import Protocol

from codeclm.corpus import huggingface, lhotse, ljspeech, rows
from codeclm.corpus.sound import read_audio, sound_info
from codeclm.corpus.utterance import DATASET, BadRow, DatasetRow, Member, Row, Utterance
from codeclm.remote import AnyPath, forget_listings, place

__all__ = [
    "READERS",
    "BadRow",
    "DatasetRow",
    "Member",
    "Row",
    "Utterance",
    "read_audio",
    "read_manifest",
    "read_rows",
    "sound_info",
]


class Reader(Protocol):
    """What the file of a kind of corpus holds."""

    def knows(self, path: AnyPath) -> bool:
        """Whether there is such a corpus."""

    def read(self, path: AnyPath) -> Iterator[Row]:
        """Its rows."""


# The first that knows a manifest reads it.
READERS: dict[str, Reader] = {
    "Hugging Face": huggingface,
    "LJSpeech": ljspeech,
    "Lhotse": lhotse,
    "rows": rows,
}
_SHOWN = 30  # bad rows listed in full; the rest is counted


def read_manifest(manifest: str | AnyPath) -> list[Utterance]:
    """All utterances of a corpus. One ValueError lists every bad row and its remedy."""
    utterances: list[Utterance] = []
    problems: list[str] = []
    seen: dict[str, str] = {}
    for row in read_rows(manifest):
        place = f"line {row.line}"
        if row.file != str(manifest):
            place = f"{row.file} {place}"
        if isinstance(row.found, BadRow):
            problems.append(f"  {place}: {row.found}")
        elif row.found.id in seen:
            problems.append(
                f"  {place}: id {row.found.id!r} stands already on {seen[row.found.id]}: "
                "give each row its own `id`"
            )
        else:
            seen[row.found.id] = place
            utterances.append(row.found)
    if problems:
        listed = "\n".join(problems[:_SHOWN])
        more = f"\n  ... and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise ValueError(f"{manifest}: {len(problems)} bad row(s)\n{listed}{more}")
    if not utterances:
        raise ValueError(f"{manifest} has no rows: write one JSON object a line")
    return utterances


def read_rows(manifest: str | AnyPath) -> Iterator[Row]:
    """Every row of a manifest in its order, the bad ones too.

    Raises:
        ValueError: there is no such manifest, or it is of no kind that is known.
        ImportError: it needs a library that is not installed.
        ConnectionError: the store of a URL cannot be asked.
    """
    path = place(manifest)
    forget_listings()
    for reader in READERS.values():
        if reader.knows(path):
            return reader.read(path)
    if path.is_dir():
        raise ValueError(
            f"{path} is a folder without a corpus that is known (a metadata.csv beside wavs/, "
            "Lhotse manifests, a saved Hugging Face dataset): name its manifest file, or "
            f"{DATASET}{path} if it is of parquet files"
        )
    raise ValueError(
        f"no manifest at {path}: give a JSONL or CSV file, the folder of a corpus, a URL, or "
        "hf:owner/name"
    )
