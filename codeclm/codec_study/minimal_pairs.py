"""The list of minimal pairs: words that differ in one sound, and the contrast that they test.

`minimal_pairs.tsv` has Hindi, Marathi, Telugu, English and Mandarin, in native script and broad
IPA. Any other list of the same columns will do: language, contrast, a, b, ipa_a, ipa_b, and perhaps
meanings.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

from codeclm.corpus import Utterance, read_manifest

LIST = Path(__file__).with_name("minimal_pairs.tsv")
_ROW = ("language", "contrast", "a", "b", "ipa_a", "ipa_b")


@dataclass(frozen=True)
class Pair:
    """Two words of a language as they are written, what differs, and how they sound."""

    language: str
    contrast: str
    a: str
    b: str
    ipa_a: str
    ipa_b: str


def read_pairs(path: Path) -> list[Pair]:
    """The pairs of a tab-separated list.

    Raises:
        ValueError: no such file, a column or a word is missing, or a pair is one word twice.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such list of pairs")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    if not rows:
        raise ValueError(f"{path} has no pairs")
    pairs = []
    for line, row in enumerate(rows, start=2):
        missing = [name for name in _ROW if not row.get(name)]
        if missing:
            raise ValueError(f"{path} line {line}: {', '.join(missing)} missing")
        pair = Pair(*(row[name] for name in _ROW))
        if pair.a == pair.b:
            raise ValueError(f"{path} line {line}: {pair.a} is no pair with itself")
        pairs.append(pair)
    return pairs


def read_words(manifest: Path) -> list[Utterance]:
    """The recordings of words, from their manifest or the folder that holds `manifest.jsonl`."""
    return read_manifest(manifest / "manifest.jsonl" if manifest.is_dir() else manifest)
