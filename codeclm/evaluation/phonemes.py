"""Phoneme errors by class: espeak's IPA of what was heard against that of what was said.

A text is no measurement of sound: the recognizer guesses words, espeak pronounces the guess. Two
sounds that no word tells apart are not told apart here. What the recordings themselves score is
the floor, and a codec is what it adds to it.
"""

import re
import unicodedata
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache

from codeclm.data_prep import text as texts
from codeclm.evaluation.asr import load_jiwer
from codeclm.evaluation.trust import script

VOICES = {"en": "en-us", "fr": "fr-fr", "zh": "cmn", "pt": "pt-br"}  # of espeak, by language
BY_SCRIPT = {("hi", "ARABIC"): "ur", ("ur", "DEVANAGARI"): "hi"}  # one spoken language, two scripts
RETROFLEX_LANGUAGES = {"hi", "mr", "te", "ta", "kn", "ml", "gu", "bn", "pa", "or", "as", "ur", "ne"}

_TONES = re.compile(r"([0-9˥˦˧˨˩]+)")
_VOWELS = set("aeiouyɑɒæɐəɚɛɜɝɞɘɤɨɪɯɔøœɶʉʊʌᵻ")
_PLOSIVES, _NASALS = set("pbtdkɡgqɢʔʈɖcɟ"), set("mnŋɲɳɴɱ")
_RETROFLEX, _DENTAL = set("ʈɖɳɭʂʐɽɻ"), {"θ", "ð", "t̪", "d̪"}
_AFFRICATES = ("tʃ", "dʒ", "ts", "dz", "tɕ", "dʑ", "ʈʂ", "pf")


@dataclass
class PhonemeErrors:
    """Edits between two texts in phonemes; `seen` and `wrong` count those of each class."""

    errors: int = 0
    phonemes: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)


@lru_cache(maxsize=10_000)
def phonemes(text: str, language: str) -> tuple[str, ...]:
    """The sounds of a text without stress and pauses; a tone is a unit of its own.

    A text in the other script of its language is read as such (Hindi in Urdu script).

    Raises:
        ValueError: espeak has no such language, or there is nothing to pronounce.
    """
    base = language.partition("-")[0]
    voice = BY_SCRIPT.get((base, script(text))) or VOICES.get(language, language)
    words = "".join(c if _readable(c, script(text)) else " " for c in text)
    ipa = texts.phonemize(words, voice).replace("r.", "ɽ")  # as espeak writes the Hindi flap
    if voice == "ur":  # the same sounds as in Hindi by other signs
        ipa = ipa.replace("r", "ɾ").replace("ɛː", "ɛ").replace("ɛ", "ɛː")
    units: list[str] = []
    for piece in _TONES.split(ipa):
        if _TONES.fullmatch(piece):
            units.append(piece)
        elif any(c.isalpha() for c in piece):
            plain = (unit.lstrip(texts.STRESS) for unit in texts.ipa_units(piece))
            units += [unit for unit in plain if unit[0].isalpha()]
    return tuple(units)


def _readable(char: str, main: str) -> bool:
    """Whether espeak reads it as a part of a word: it spells letters of a third script by name."""
    if unicodedata.category(char)[0] == "P":
        return char == "'"
    return not char.isalpha() or script(char) in (main, "LATIN")


def classes(unit: str, language: str) -> tuple[str, ...]:
    """The classes that a sound belongs to: one of manner, and what else Indian ears listen for."""
    first, base = unit[0], language.partition("-")[0]
    if _TONES.fullmatch(unit):
        return ("tone",)
    if first in _VOWELS:
        found = ["long vowel" if "ː" in unit else "short vowel"]
        return (
            (*found, "nasal vowel") if "\u0303" in unicodedata.normalize("NFD", unit) else (*found,)
        )
    if unit.startswith(_AFFRICATES):
        found = ["affricate"]
    elif first in _PLOSIVES:
        found = ["plosive"]
    elif first in _NASALS:
        found = ["nasal"]
    else:
        found = ["liquid or glide" if first in "lrɾɹɺjwʋɥɭɻɽʎɫʀʟ" else "fricative"]
    if first in _RETROFLEX:
        found.append("retroflex")
    plain = unit.replace("ʰ", "").replace("ʱ", "")
    if plain in _DENTAL or (plain in ("t", "d") and base in RETROFLEX_LANGUAGES):
        found.append("dental")
    if "ʰ" in unit or "ʱ" in unit:
        found.append("aspirated")
    return tuple(found)


def compare(reference: str, heard: str, language: str) -> PhonemeErrors:
    """Align two texts of a language in phonemes; an inserted one counts in `errors` alone.

    What was heard in a script that is none of the language's counts as nothing: espeak would spell
    its letters.

    Raises:
        ValueError: espeak has no such language, or the reference has no sounds.
    """
    said = phonemes(reference, language)
    understood: tuple[str, ...] = ()
    known = script(heard) == script(reference)
    if known or (language.partition("-")[0], script(heard)) in BY_SCRIPT:
        with suppress(ValueError):  # nothing to pronounce
            understood = phonemes(heard, language)
    found = PhonemeErrors(phonemes=len(said))
    aligned = load_jiwer().process_words(" ".join(said), " ".join(understood)).alignments[0]
    for chunk in aligned:
        there = said[chunk.ref_start_idx : chunk.ref_end_idx]
        instead = understood[chunk.hyp_start_idx : chunk.hyp_end_idx]
        found.errors += max(len(there), len(instead)) if chunk.type != "equal" else 0
        for unit in there:
            found.seen.update(classes(unit, language))
            if chunk.type != "equal":
                found.wrong.update(classes(unit, language))
    return found
