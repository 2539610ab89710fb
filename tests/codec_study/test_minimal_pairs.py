"""The shipped list: every pair differs in its contrast and in nothing else, on paper and by ear."""

import re
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

from codeclm.codec_study.minimal_pairs import LIST, Pair, read_pairs
from codeclm.data_prep.espeak import phonemize

PAIRS = read_pairs(LIST)


def sounds(ipa: str) -> list[str]:
    """An IPA text as sounds; length, aspiration and nasality are marks of their own."""
    plain = unicodedata.normalize("NFD", ipa)
    return re.findall(r"tʃ|ts|dʒ|aɪ|aʊ|eɪ|oʊ|[˥˦˧˨˩]+|\w|ː|ʰ|ʱ|\u0303", plain)


def difference(a, b):
    """What is left of two sequences without what they begin and end with in common."""
    begin = 0
    while begin < min(len(a), len(b)) and a[begin] == b[begin]:
        begin += 1
    end = 0
    while end < min(len(a), len(b)) - begin and a[-1 - end] == b[-1 - end]:
        end += 1
    return tuple(a[begin : len(a) - end]), tuple(b[begin : len(b) - end])


DENTAL = {("t", "ʈ"), ("d", "ɖ"), ("n", "ɳ"), ("l", "ɭ")}
VOICED = {
    ("k", "ɡ"), ("p", "b"), ("t", "d"), ("ʈ", "ɖ"), ("tʃ", "dʒ"), ("f", "v"), ("s", "z"),
}  # fmt: skip
ENGLISH = {
    ("ɪ", "iː"), ("ʊ", "uː"), ("ɛ", "æ"), ("ʌ", "æ"), ("ʌ", "ɑː"), ("θ", "s"), ("ð", "d"),
    ("ɹ", "l"),
}  # fmt: skip
LENGTH = {("", "ː"), ("ɪ", "iː"), ("ʊ", "uː")}
TONES = {(a, b) for a in ("˥", "˧˥", "˨˩˦", "˥˩") for b in ("˥", "˧˥", "˨˩˦", "˥˩") if a != b}
LEGAL = {  # what a word of a pair has where the other one has something else
    "dental or retroflex": DENTAL,
    "dental or retroflex n": DENTAL,
    "alveolar or retroflex l": DENTAL,
    "aspiration, voiceless": {("", "ʰ")},
    "aspiration, voiced": {("", "ʱ")},
    "aspiration": {("", "ʰ"), ("", "ʱ")},
    "voicing": VOICED,
    "vowel length": LENGTH,
    "schwa or long a": {("ə", "aː")},
    "nasal vowel": {("", "\u0303")},
    "consonant length": {("", "ː")},
    "tap or retroflex flap": {("ɾ", "ɽ")},
    "vowel": ENGLISH,
    "dental fricative": ENGLISH,
    "r or l": ENGLISH,
    "tone": TONES,
}


@pytest.mark.parametrize("pair", PAIRS, ids=lambda p: f"{p.language} {p.a} {p.b}")
def test_a_pair_differs_in_its_contrast_alone(pair: Pair) -> None:
    a, b = difference(sounds(pair.ipa_a), sounds(pair.ipa_b))
    assert ("".join(a), "".join(b)) in LEGAL[pair.contrast]


@pytest.mark.parametrize("language", ["hi", "mr", "te", "en"])
def test_espeak_hears_every_pair_differ_in_one_place(language: str) -> None:
    voice = {"en": "en-us"}.get(language, language)
    for pair in (pair for pair in PAIRS if pair.language == language):
        a, b = (sounds(phonemize(word, voice)) for word in (pair.a, pair.b))
        left, right = difference([x for x in a if x not in "ˈˌ"], [x for x in b if x not in "ˈˌ"])
        assert left != right, pair
        assert max(len(left), len(right)) <= 2, pair


def test_there_is_enough_of_every_contrast() -> None:
    hindi = Counter(pair.contrast for pair in PAIRS if pair.language == "hi")
    assert len(hindi) == 9
    assert min(hindi.values()) >= 12
    assert {pair.language for pair in PAIRS} == {"hi", "mr", "te", "en", "cmn"}
    assert len({(p.language, p.contrast, p.a, p.b) for p in PAIRS}) == len(PAIRS)


def test_words_are_in_their_script() -> None:
    scripts = {"hi": "DEVANAGARI", "mr": "DEVANAGARI", "te": "TELUGU", "en": "LATIN", "cmn": "CJK"}
    for pair in PAIRS:
        for letter in pair.a + pair.b:
            assert unicodedata.name(letter).startswith(scripts[pair.language]), pair


def test_difference() -> None:
    assert difference("taal", "daal") == (("t",), ("d",))
    assert difference("pata", "patta") == ((), ("t",))
    assert difference("aa", "aa") == ((), ())


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such list"):
        read_pairs(tmp_path / "gone.tsv")
    path = tmp_path / "pairs.tsv"
    head = "language\tcontrast\ta\tb\tipa_a\tipa_b\n"
    path.write_text(head, "utf-8")
    with pytest.raises(ValueError, match="has no pairs"):
        read_pairs(path)
    path.write_text(head + "hi\tx\tताल\t\ttaːl\tʈaːl\n", "utf-8")
    with pytest.raises(ValueError, match="line 2: b missing"):
        read_pairs(path)
    path.write_text(head + "hi\tx\tताल\tताल\ttaːl\tʈaːl\n", "utf-8")
    with pytest.raises(ValueError, match="no pair with itself"):
        read_pairs(path)
