"""Whether a tokenizer can say a text.

eSpeak never fails on a script that its language does not read: it spells every letter by its name
("Thai letter E twenty-eight"), which nobody said in the recording. A run of such letters has far
more phonemes a letter than any that is read.
"""

import itertools
import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

from codeclm.data_prep import text as texts

SPELLED = 6.0  # phonemes a letter; scripts that are read have 5 at most
NAMES = ("phonemes", "sentencepiece", "bytes")


def coverage(tokenizer: str) -> Callable[[str, str], str | None]:
    """A function of text and language that says why the tokenizer cannot say it, or None.

    Args:
        tokenizer: `phonemes`, `sentencepiece` or `bytes`, or a `tokenizer.json` of a prepared
            corpus, whose sounds are then all there is.

    Raises:
        ValueError: neither.
    """
    if tokenizer in NAMES:
        return _phonemes if tokenizer == "phonemes" else _plain
    path = Path(tokenizer)
    if not path.is_file():
        raise ValueError(
            f"tokenizer {tokenizer!r}: known are {', '.join(NAMES)}, and the tokenizer.json of a "
            "prepared corpus"
        )
    made = texts.read_tokenizer(path)

    def covers(text: str, language: str) -> str | None:
        reason = _phonemes(text, language) if isinstance(made, texts.Phonemes) else None
        return reason or _reason(lambda: made.encode(text, language))

    return covers


def _plain(text: str, language: str) -> str | None:
    return _reason(lambda: texts.normalize(text, language))


def _phonemes(text: str, language: str) -> str | None:
    reason = _reason(lambda: texts.ipa_units(texts.phonemize(text, language)))
    if reason is not None:
        return reason
    for script, word in _runs(text):
        # Latin abbreviations are spelled rightly.
        if script != "LATIN" and _spelled(word, language):
            return f"{script.capitalize()} letters {word!r} are not read in language {language!r}"
    return None


def _reason(attempt: Callable[[], object]) -> str | None:
    try:
        attempt()
    except ValueError as error:
        return str(error)
    return None


def _runs(text: str) -> Iterator[tuple[str, str]]:
    """Neighbouring letters of one script, and the script as Unicode names it."""
    scripts: list[str] = []
    for char in text:
        mark = unicodedata.category(char).startswith("M")
        name = unicodedata.name(char, "").partition(" ")[0] if char.isalpha() else ""
        scripts.append(scripts[-1] if mark and scripts else name)
    for script, run in itertools.groupby(zip(scripts, text, strict=True), key=lambda pair: pair[0]):
        if script:
            yield script, "".join(char for _, char in run)


@lru_cache(maxsize=100_000)
def _spelled(word: str, language: str) -> bool:
    try:
        units = texts.ipa_units(texts.phonemize(word, language))
    except ValueError:
        return True  # not said at all
    return len(units) - 1 >= SPELLED * sum(map(str.isalpha, word))  # the last one is the pause
