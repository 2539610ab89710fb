"""Texts are cut at sentence ends, whole ones and those that arrive in pieces."""

import pytest

from codeclm.tts.sentences import PARAGRAPH, Part, parts


def texts(text):
    return [part.text for part in parts(text)]


def test_short_sentences_stay_together_and_long_ones_are_cut_at_their_ends():
    assert texts("One. Two! Three?") == ["One. Two! Three?"]
    sentence = "This is a sentence of about sixty letters, give or take some."
    assert texts(" ".join([sentence] * 4)) == [f"{sentence} {sentence}"] * 2
    assert texts('He said "go." Then he left.') == ['He said "go." Then he left.']


def test_an_empty_line_is_a_pause():
    assert list(parts("One.\nTwo.\n\n \nThree.")) == [Part("One. Two.", PARAGRAPH), Part("Three.")]


def test_a_sentence_that_is_too_long_is_cut_where_it_may_be():
    words = "word " * 50 + "and so on; " + "word " * 60
    first, *rest = texts(words)
    assert first.endswith("so on;")
    assert all(len(part) <= 300 for part in rest)
    assert " ".join([first, *rest]) == " ".join(words.split())
    assert texts("x" * 900) == ["x" * 900]


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_text_that_arrives_is_cut_once_its_sentences_are_whole(size):
    text = "Dr. Hall met J. Doe. They spoke, e.g. of birds! Then? “No.” न हाँ। Tail"
    pieces = [text[i : i + size] for i in range(0, len(text), size)]
    expected = ["Dr. Hall met J. Doe.", "They spoke, e.g. of birds!", "Then?", "“No.”", "न हाँ।"]
    assert texts(iter(pieces)) == [*expected, "Tail"]


def test_a_sentence_does_not_wait_for_the_next():
    def arriving():
        yield "One. T"
        raise AssertionError("not asked for yet")

    assert next(parts(arriving())) == Part("One.")


@pytest.mark.parametrize("text", ["", "  \n\n ", iter([]), iter([" ", ""])])
def test_nothing_to_say_is_an_error(text):
    with pytest.raises(ValueError, match="nothing to pronounce"):
        list(parts(text))
