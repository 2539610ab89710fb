"""Numbers become words by the library asked for, and the tokenizer keeps to it."""

import json
import subprocess
import sys

import pytest

from codeclm.data_prep.text import Bytes, load_tokenizer, normalize
from codeclm.data_prep.verbalize import verbalize


@pytest.mark.parametrize(
    ("language", "text", "spoken"),
    [
        ("en-us", "the 3rd of 1,234", "the third of one thousand, two hundred and thirty-four"),
        ("en", "2.5 or 007", "two point five or seven"),
        ("de", "1.234,5", "eintausendzweihundertvierunddreißig Komma fünf"),
        ("te", "25 పుస్తకాలు", "ఇరవై అయిదు పుస్తకాలు"),
        ("bn", "২৫", "পঁচিশ"),
        ("nb", "25 bøker", "tjuefem bøker"),
        ("en", "no number", "no number"),
    ],
)
def test_numbers(language: str, text: str, spoken: str) -> None:
    pytest.importorskip("num2words")
    assert verbalize(text, language, "num2words") == spoken


def test_a_language_that_is_not_covered_is_named() -> None:
    pytest.importorskip("num2words")
    with pytest.raises(ValueError, match="does not cover language 'hi': take normalize=nemo"):
        verbalize("no number at all", "hi", "num2words")
    with pytest.raises(ValueError, match="normalize 'x': known are none, nemo, num2words"):
        verbalize("1", "en", "x")


@pytest.mark.parametrize(("by", "extra"), [("num2words", "data"), ("nemo", "nemo")])
def test_a_missing_library_names_its_extra(monkeypatch, by: str, extra: str) -> None:
    from codeclm.data_prep import verbalize as module

    module._nemo.cache_clear()
    module._num2words.cache_clear()
    for name in ("num2words", "nemo_text_processing.text_normalization.normalize"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf"codeclm\[{extra}\]"):
        verbalize("1", "en", by)


def test_the_tokenizer_carries_it() -> None:
    pytest.importorskip("num2words")
    tokenizer = Bytes("num2words")
    again = load_tokenizer(json.loads(json.dumps(tokenizer.state())))
    for each in (tokenizer, again):
        assert each.encode("I have 2.") == Bytes().encode("I have two.")
    assert load_tokenizer({"kind": "bytes"}).encode("2") == Bytes().encode("2")
    assert normalize("Dr. No owes $5", "en", "num2words") == "Dr No owes five dollars"


@pytest.mark.slow
def test_nemo_reads_dates_and_money(tmp_path) -> None:
    pytest.importorskip("nemo_text_processing")
    code = (
        "from codeclm.data_prep.verbalize import verbalize\n"
        "print(verbalize('On 3/4/2024 it cost $5.30 for 2kg.', 'en', 'nemo'))"
    )
    out = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert (
        "On march fourth twenty twenty four it cost five dollars thirty cents for two kilo" in out
    )
