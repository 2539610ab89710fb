"""The hard set: sixty texts that speech models stumble over, and what went wrong with each.

Kinds of failure, from what a recognizer heard beside the text, and from how long it took:

    skip         at least two words in a row are missing inside
    early stop   at least two words are missing at the end
    repeat       at least two words in a row, all of the text, are there once more than they should
    babble       at least three words in a row that are nowhere in the text
    runaway      it takes more than two and a half times as long as it should
    wrong speed  it is spoken faster or slower than people do
    garbled      none of these, and yet more than half of the words are wrong
"""

import csv
from importlib.resources import files

from codeclm.data_prep.usable import letters
from codeclm.evaluation.asr import load_jiwer, normalize_text

KINDS = ("skip", "early stop", "repeat", "babble", "runaway", "wrong speed", "garbled")
USUAL, SLOWEST, FASTEST = 14.0, 6.0, 26.0  # letters a second; of the slowest a second more is fine
TOO_LONG = 2.5


def items() -> list[tuple[str, str, str]]:
    """The texts: (id, kind of text, text)."""
    table = files("codeclm.evaluation").joinpath("hard.tsv").read_text(encoding="utf-8")
    rows = csv.DictReader(table.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    return [(f"{row['kind']}-{i:02d}", row["kind"], row["text"]) for i, row in enumerate(rows)]


def failures(text: str, heard: str, seconds: float, language: str = "en") -> list[str]:
    """What went wrong with a text that was spoken in so many seconds, and heard like this."""
    wanted, found = (normalize_text(each, language).split() for each in (text, heard))
    if not wanted:
        raise ValueError("the text has no words: nothing to compare with")
    kinds = set()
    chunks = load_jiwer().process_words(" ".join(wanted), " ".join(found)).alignments[0]
    wrong = 0
    for chunk in chunks:
        missing = chunk.ref_end_idx - chunk.ref_start_idx
        extra = found[chunk.hyp_start_idx : chunk.hyp_end_idx]
        wrong += max(missing, len(extra)) if chunk.type != "equal" else 0
        if chunk.type == "delete" and missing >= 2:
            kinds.add("early stop" if chunk.ref_end_idx == len(wanted) else "skip")
        if chunk.type == "insert" and len(extra) >= 2 and set(extra) <= set(wanted):
            kinds.add("repeat")
        words = [word for word in extra if word.isalpha()]  # runs of numbers are read as one
        if chunk.type == "insert" and len(words) >= 3 and not set(words) & set(wanted):
            kinds.add("babble")
    spoken = letters(text)
    if seconds > TOO_LONG * (spoken / USUAL + 1):
        kinds.add("runaway")
    elif not spoken / FASTEST <= seconds <= spoken / SLOWEST + 1:
        kinds.add("wrong speed")
    if not kinds and wrong > len(wanted) / 2:
        kinds.add("garbled")
    return [kind for kind in KINDS if kind in kinds]
