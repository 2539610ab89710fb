"""Which texts and languages are believed."""

import pytest

from codeclm.evaluation import trust

HINDI, URDU = "भारत एक बड़ा देश है", "بھارت ایک بڑا دیش ہے"


def test_script_is_that_of_most_letters() -> None:
    assert trust.script(HINDI) == "DEVANAGARI"
    assert trust.script(URDU) == "ARABIC"
    assert trust.script("एक OK एक दो") == "DEVANAGARI"
    assert trust.script("12, 13!") == ""


@pytest.mark.parametrize(
    ("heard", "why"),
    [
        ("The cat sat on a mat.", ""),
        ("", "nothing heard"),
        ("بلی چٹائی پر بیٹھی", "wrong script"),
        ("the cat the cat the cat the cat", "repeats itself"),
        ("no no no no", "repeats itself"),
        ("abcabcabc " * 30, "repeats itself"),
        ("The cat sat on the mat and then it went off to see the wide world.", "much longer"),
        ("a", "much shorter"),
    ],
)
def test_doubts(heard: str, why: str) -> None:
    assert trust.doubt("The cat sat on the mat.", heard) == why


def test_what_was_said_thrice_may_be_true() -> None:
    assert not trust.loops("very very very good, very very very good")


def test_a_language_is_counted_or_the_reason_told() -> None:
    assert trust.verdict(["", "", ""], (3, 30), (2, 90)) == trust.Verdict(True, True, "")
    script = trust.verdict([trust.WRONG_SCRIPT] * 3 + [""], (1, 10), (17, 100))
    assert script == trust.Verdict(False, True, "wrong script in 3 of 4 recordings")
    loops = trust.verdict(["repeats itself", "", ""], (1, 20), (5, 100))
    assert (loops.words, loops.sounds) == (False, False)
    assert "1 of 3 recordings not to be believed (repeats itself 1)" in loops.why
    poor = trust.verdict([""] * 4, (9, 20), (30, 100))
    assert poor == trust.Verdict(False, True, "45 % word errors on the recordings themselves")
    nothing = trust.verdict([""] * 4, (19, 20), (60, 100))
    assert (nothing.words, nothing.sounds) == (False, False)
    assert "60 % phoneme errors" in nothing.why
