"""The hard set: sixty texts, and failures told apart."""

import pytest

from codeclm.evaluation import hard

TEXT = "one cat sat on the mat and two dogs ran home"


def failures(heard, seconds=3.0, text=TEXT):
    pytest.importorskip("jiwer", reason="needs the extra `eval`")
    return hard.failures(text, heard, seconds)


def test_sixty_texts_of_seven_kinds():
    items = hard.items()
    assert len(items) == len({name for name, _, _ in items}) == 60
    assert {kind for _, kind, _ in items} == {
        "twister", "numbers", "repeated", "word", "names", "signs", "long"
    }  # fmt: skip
    lengths = [len(text.split()) for _, _, text in items]
    assert min(lengths) == 1
    assert sum(length >= 300 for length in lengths) == 2


@pytest.mark.parametrize(
    ("heard", "kinds"),
    [
        (TEXT, []),
        (TEXT.replace("cat", "hat"), []),
        ("one cat sat and two dogs ran home", ["skip"]),
        ("one cat sat on the mat and two", ["early stop"]),
        ("one cat sat on the mat on the mat and two dogs ran home", ["repeat"]),
        (TEXT + " blah blip blop", ["babble"]),
        ("fun hat fat in a bat or few hogs can roam", ["garbled"]),
        ("", ["early stop"]),
    ],
)
def test_failures_are_told_apart(heard, kinds):
    assert failures(heard) == kinds


def test_what_takes_too_long_or_not_long_enough():
    assert failures(TEXT, 20.0) == ["runaway"]
    assert failures(TEXT, 1.0) == ["wrong speed"]
    assert failures(TEXT, 8.5) == ["wrong speed"]


def test_a_text_without_words():
    with pytest.raises(ValueError, match="no words"):
        failures("a", text="...")
