"""Tokenizers: units, pauses, fallbacks, and espeak-ng against the stored phonemes of a corpus."""

import json
import os
import subprocess
import sys

import pytest

from codeclm.data_prep.text import (
    PAD,
    SIL,
    Bytes,
    Phonemes,
    SentencePiece,
    Tokenizer,
    ipa_units,
    load_tokenizer,
    normalize,
    phonemize,
)

IPA = [
    "ðə tˈiːm ʃˌʊdəv wˈʌn hˈændz dˌaʊn bˌʌt tʃˈoʊkt, dˌɪsɐpˈɔɪntɪŋ ðə kˈoʊtʃ ænd ðɪ ˈɔːdiəns.",
    "wˈɪʃt hˌɪm lˈʌk ɪn hɪz ɛndˈɛvɚ! aɪ ɐlˈɛdʒd?",
]
# Text and IPA as Kokoro's own front end (phonemizer) writes them.
SPOKEN = [
    ("en-us", "Wished him luck in his endeavor.", "wˈɪʃt hˌɪm lˈʌk ɪn hɪz ɛndˈɛvɚ."),
    ("en-us", "Alleged abuses of housing benefits.", "ɐlˈɛdʒd ɐbjˈuːsᵻz ʌv hˈaʊzɪŋ bˈɛnɪfˌɪts."),
    (
        "en-gb",
        "He listened for the progress of the troops. The owners decided to move and to close "
        "the factory.",
        "hiː lˈɪsənd fəðə pɹˈəʊɡɹɛs ɒvðə tɹˈuːps. ðɪ ˈəʊnəz dɪsˈaɪdɪd tə mˈuːv and tə klˈəʊz ðə "
        "fˈaktəɹi.",
    ),
]


def readable(tokenizer: Tokenizer, ids: list[int]) -> str:
    return " ".join(tokenizer.tokens[i] for i in ids)


def test_units_join_stress_length_and_compounds() -> None:
    assert ipa_units("tʃˈaɪ ðˌiːz bʰˈaːɾ n̩") == [
        "tʃ",
        "ˈaɪ",
        "ð",
        "ˌiː",
        "z",
        "bʰ",
        "ˈaː",
        "ɾ",
        "n̩",
        ".",
    ]


@pytest.mark.parametrize(
    ("ipa", "expected"),
    [
        ("a", "a ."),
        ("a; b: c — d… e", "a , b , c , d , e ."),
        ('"a," b?!', "a , b ?"),
        ("a,", "a ."),
        ("... , a (b) ...", "a , b ."),
        ("a...b", "a , b ."),
        ("a. . . b!", "a . b !"),
    ],
)
def test_marks_become_single_pauses(ipa: str, expected: str) -> None:
    assert " ".join(ipa_units(ipa)) == expected


def test_phonemes_round_trip_and_state() -> None:
    tokenizer = Phonemes.build(IPA)
    ids = tokenizer.encode_ipa(IPA[0])
    assert tokenizer.tokens[:2] == [PAD, SIL]
    assert ids[0] == 1
    assert 0 not in ids
    assert readable(tokenizer, ids).startswith("<sil> ð ə t ˈiː m ʃ ˌʊ d ə v")
    assert readable(tokenizer, ids).endswith("ˈɔː d iə n s .")
    again = load_tokenizer(json.loads(json.dumps(tokenizer.state())))
    assert again.tokens == tokenizer.tokens
    assert Phonemes.build(IPA[::-1]).tokens == again.tokens


def test_unknown_units_fall_back_then_fail_by_name() -> None:
    tokenizer = Phonemes.build(["t a ˈi ɪ aː"])
    assert readable(tokenizer, tokenizer.encode_ipa("tˈa")) == "<sil> t a ."  # stress dropped
    assert readable(tokenizer, tokenizer.encode_ipa("taɪ")) == "<sil> t a ɪ ."  # split
    assert readable(tokenizer, tokenizer.encode_ipa("tˌaɪ")) == "<sil> t a ɪ ."
    assert readable(tokenizer, tokenizer.encode_ipa("tʰaˑ")) == "<sil> t a ."  # modifier dropped
    with pytest.raises(ValueError, match=r"no sound 'x'.*'de'"):
        tokenizer.encode_ipa("tˈax", "de")


def test_normalize() -> None:
    assert normalize("  “It’s”\tfine –\nDr. Who\u200b \x07owes $5.30 😀") == (
        '"It\'s" fine — Dr Who owes 5.30 dollars'
    )
    assert normalize("well-known 20°C, 5 % -- yes...") == "well-known 20°C, 5 % — yes…"
    assert normalize("Mr. X, $5", "hi") == "Mr. X, $5"


@pytest.mark.parametrize("text", ["", "  ", "...?!", "😀👩\u200d👩", "—", "\x00\x01", "¿ $ %"])
def test_unpronounceable_text_is_named(text: str) -> None:
    tokenizers: list[Tokenizer] = [Phonemes.build(IPA), Bytes()]
    for tokenizer in tokenizers:
        with pytest.raises(ValueError, match="nothing to pronounce"):
            tokenizer.encode(text)


@pytest.mark.parametrize(("language", "text", "ipa"), SPOKEN)
def test_espeak_equals_the_reference(language: str, text: str, ipa: str) -> None:
    pytest.importorskip("espeakng_loader")
    tokenizer = Phonemes.build([ipa])
    assert phonemize(text, language) == ipa
    assert tokenizer.encode(text, language) == tokenizer.encode_ipa(ipa)


def test_espeak_languages_numbers_and_marks() -> None:
    pytest.importorskip("espeakng_loader")
    from codeclm.data_prep import espeak

    assert phonemize("3.5, at 10 a.m. in the U.S. army", "en-us") == (
        "θɹˈiː pɔɪnt fˈaɪv, æt tˈɛn ˌeɪˈɛm ɪnðə jˌuːˈɛs ˈɑːɹmi"
    )
    assert phonemize("भारत", "hi") == "bʰˈaːɾət"
    assert espeak.phonemize("a नमस्ते", "en-us").count("(") == 0
    assert phonemize("bath", "en") == phonemize("bath", "en-us")
    with pytest.raises(ValueError, match="no language 'zz'"):
        phonemize("a", "zz")


def test_sentencepiece_trains_and_reloads() -> None:
    pytest.importorskip("sentencepiece")
    texts = ["The team should have won.", "Wished him luck in his endeavor."] * 20
    tokenizer = SentencePiece.train(texts, vocab_size=320)
    ids = tokenizer.encode("The team won. नमस्ते")
    assert ids[0] == 1
    assert max(ids) < len(tokenizer.tokens)
    again = load_tokenizer(json.loads(json.dumps(tokenizer.state())))
    assert again.encode("The team won. नमस्ते") == ids
    assert again.tokens == tokenizer.tokens


def test_bytes() -> None:
    tokenizer = load_tokenizer(Bytes().state())
    ids = tokenizer.encode("Añ")
    assert bytes(i - 2 for i in ids[1:]).decode() == "Añ"
    assert len(tokenizer.tokens) == 258


def test_unknown_tokenizer() -> None:
    with pytest.raises(ValueError, match=r"unknown tokenizer 'words'"):
        load_tokenizer({"kind": "words"})


def test_threads_may_begin_at_once():
    code = """
import threading
from codeclm.data_prep import espeak
together, found = threading.Barrier(8), []
def run():
    together.wait()
    found.append(espeak.phonemize("Here we are.", "en-us"))
threads = [threading.Thread(target=run) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(found) == 8 and len(set(found)) == 1, found
"""
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": "."})
