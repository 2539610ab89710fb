"""Whether a recognizer can be believed: on one item, and on a language.

Whisper may write Hindi in Urdu script, repeat itself, or invent. A word error rate made of such
texts says nothing of a codec. So an item is doubted by its text alone, and a language is left out
of the averages when the recognizer fails on the recordings themselves. Where only the script is
wrong the sounds can still be right: phonemes are then compared in place of words (`phonemes.py`).
"""

import unicodedata
import zlib
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

WRONG_SCRIPT = "wrong script"
MOST_COMPRESSED = 2.4  # characters a compressed byte, Whisper's own limit
TIMES = 4  # a phrase said so often in a row is a loop
PHRASE = 4  # words in the longest phrase that is looked for
LONGEST, SHORTEST = 2.0, 0.3  # characters heard for one of the reference
MOST_WORDS = 0.4  # error rate on recordings above which words are not counted
MOST_SOUNDS = 0.35  # the same for phonemes
MOST_DOUBTED = 0.25  # share of doubted recordings above which a language is not counted


class Verdict(NamedTuple):
    """What of a language can be counted, and why the rest cannot."""

    words: bool
    sounds: bool
    why: str


def script(text: str) -> str:
    """The script of most letters, as Unicode names it: LATIN, DEVANAGARI ...; "" without any."""
    names = Counter(unicodedata.name(c, "").partition(" ")[0] for c in text if c.isalpha())
    names.pop("", None)
    return names.most_common(1)[0][0] if names else ""


def doubt(reference: str, heard: str) -> str:
    """Why a text that was heard cannot be what was said, or ""."""
    if not heard.strip():
        return "nothing heard"
    if script(heard) != script(reference):
        return WRONG_SCRIPT
    if loops(heard):
        return "repeats itself"
    data = heard.encode()
    if len(heard) > 60 and len(data) / len(zlib.compress(data)) > MOST_COMPRESSED:
        return "repeats itself"
    ratio = len(heard) / max(1, len(reference))
    if ratio > LONGEST and len(heard) - len(reference) > 20:
        return "much longer"
    return "much shorter" if ratio < SHORTEST else ""


def loops(text: str) -> bool:
    """Whether some phrase of up to four words comes four times in a row."""
    words = text.lower().split()
    for size in range(1, PHRASE + 1):
        for begin in range(len(words) - TIMES * size + 1):
            phrase = words[begin : begin + size]
            if words[begin : begin + TIMES * size] == TIMES * phrase:
                return True
    return False


def verdict(
    doubts: Sequence[str], words: tuple[float, float], sounds: tuple[float, float]
) -> Verdict:
    """Of one language, from what was heard of its recordings.

    Args:
        doubts: of each recording, as `doubt` gives them.
        words: errors, and words, of those that are not doubted.
        sounds: errors, and phonemes, of those that are not doubted but for their script.
    """
    total, script_wrong = len(doubts), doubts.count(WRONG_SCRIPT)
    others = [each for each in doubts if each not in ("", WRONG_SCRIPT)]
    why = []
    if script_wrong > MOST_DOUBTED * total:
        why.append(f"wrong script in {script_wrong} of {total} recordings")
    if len(others) > MOST_DOUBTED * total:
        counts = ", ".join(f"{kind} {n}" for kind, n in Counter(others).most_common())
        why.append(f"{len(others)} of {total} recordings not to be believed ({counts})")
    rate = words[0] / words[1] if words[1] else 1.0
    if not why and rate > MOST_WORDS:
        why.append(f"{100 * rate:.0f} % word errors on the recordings themselves")
    heard = sounds[0] / sounds[1] if sounds[1] else 1.0
    fit = heard <= MOST_SOUNDS and len(others) <= MOST_DOUBTED * total
    if not fit:
        why.append(f"{100 * heard:.0f} % phoneme errors on the recordings")
    return Verdict(not why, fit, "; ".join(why))
