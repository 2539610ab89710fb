"""Phoneme errors by class, with espeak's own pronunciations."""

import pytest

from codeclm.evaluation import phonemes


def test_hindi_in_either_script_sounds_the_same() -> None:
    hindi = phonemes.phonemes("एक दिन", "hi")
    assert phonemes.phonemes("ایک دن", "hi") == hindi
    assert phonemes.phonemes("ہے", "hi") == phonemes.phonemes("है", "hi")
    assert phonemes.phonemes("बड़ा।", "hi") == ("b", "ʌ", "ɽ", "aː")  # the flap, and no stop


def test_letters_of_a_third_script_are_not_spelled_by_name() -> None:
    assert phonemes.phonemes("וה ایک دن", "hi") == phonemes.phonemes("ایک دن", "hi")


def test_tones_are_units() -> None:
    assert phonemes.phonemes("你好", "zh") == ("n", "i", "2", "χ", "ɑ", "u", "2")


@pytest.mark.parametrize(
    ("unit", "language", "expected"),
    [
        ("ʈʰ", "hi", ("plosive", "retroflex", "aspirated")),
        ("d", "hi", ("plosive", "dental")),
        ("d", "en", ("plosive",)),
        ("θ", "en", ("fricative", "dental")),
        ("dʒ", "en", ("affricate",)),
        ("ɳ", "mr", ("nasal", "retroflex")),
        ("ɽ", "hi", ("liquid or glide", "retroflex")),
        ("aː", "te", ("long vowel",)),
        ("ɑ̃", "fr", ("short vowel", "nasal vowel")),
        ("2", "zh", ("tone",)),
    ],
)
def test_classes(unit: str, language: str, expected: tuple[str, ...]) -> None:
    assert phonemes.classes(unit, language) == expected


def test_errors_are_counted_by_the_class_of_what_was_said() -> None:
    pytest.importorskip("jiwer")
    found = phonemes.compare("टाल", "ताल", "hi")  # retroflex heard as dental
    assert (found.errors, found.phonemes) == (1, 3)
    assert found.wrong == {"plosive": 1, "retroflex": 1}
    assert found.seen["long vowel"] == 1
    nothing = phonemes.compare("टाल", "", "hi")
    assert nothing.errors == 3
    assert phonemes.compare("टाल", "taal taal", "hi").errors == 3
    longer = phonemes.compare("टाल", "टालता", "hi")
    assert longer.errors >= 2
    assert not longer.wrong["plosive"]


def test_a_language_that_espeak_lacks() -> None:
    with pytest.raises(ValueError, match="no language 'xx-none'"):
        phonemes.phonemes("abc", "xx-none")
