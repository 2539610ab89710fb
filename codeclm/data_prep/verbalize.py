"""Written text to spoken text: numbers, dates, money and units become words.

eSpeak reads numbers itself; other tokenizers leave them to the model, which meets few of them in a
corpus. Two libraries know the rules, neither is needed unless it is asked for:

    nemo       nemo-text-processing: dates, times, money, units, abbreviations; extra `nemo`, 1 GB
    num2words  num2words: plain numbers and ordinals in many more languages; extra `data`
"""

import os
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

# Nemo's grammars that speak; its Russian one only lists what could be said.
NEMO = (
    "ar", "de", "en", "es", "fr", "hi", "hu", "hy", "it", "ja", "ko", "pt", "rw", "sv", "vi", "zh",
)  # fmt: skip
_SAME = {"cmn": "zh", "nb": "no", "kk": "kz"}  # espeak's tag to that of the libraries

# In these languages 1,000.5 is written so; elsewhere it is 1.000,5 or 1 000,5.
_DECIMAL_POINT = {
    "en", "zh", "ja", "ko", "th", "he", "hi", "bn", "ta", "te", "kn", "ml", "gu", "mr",
}  # fmt: skip
_ORDINAL = re.compile(r"\b(\d+)(?:st|nd|rd|th)\b")


def verbalize(text: str, language: str, by: str) -> str:
    """The text with its numbers in words.

    Args:
        text: in plain spelling.
        language: a tag such as `en-us`; what follows the first hyphen is not looked at.
        by: a name in `NORMALIZERS`.

    Raises:
        ValueError: `by` is unknown, or does not cover the language.
        ImportError: its library is not installed.
    """
    if by not in NORMALIZERS:
        raise ValueError(f"normalize {by!r}: known are {', '.join(NORMALIZERS)}")
    tag = language.split("-")[0]
    return NORMALIZERS[by](text, _SAME.get(tag, tag))


def _by_nemo(text: str, language: str) -> str:
    return str(_nemo(language).normalize(text, punct_post_process=True))


def _by_num2words(text: str, language: str) -> str:
    say = _num2words(language)
    if language == "en":
        text = _ORDINAL.sub(lambda m: say(int(m[1]), to="ordinal"), text)
    point, comma = (".", ",") if language in _DECIMAL_POINT else (",", ".")
    group, fraction = re.escape(comma), re.escape(point)
    number = rf"\d{{1,3}}(?:{group}\d{{3}})+(?!\d)(?:{fraction}\d+)?|\d+(?:{fraction}\d+)?"

    def words(match: re.Match[str]) -> str:
        plain = match[0].replace(comma, "").replace(point, ".")
        try:
            return say(float(plain) if "." in plain else int(plain))
        except OverflowError:  # beyond the words of the language: digit by digit
            return " ".join(say(int(digit)) for digit in plain if digit != ".")

    return re.sub(number, words, text)


NORMALIZERS: dict[str, Callable[[str, str], str]] = {
    "none": lambda text, language: text,
    "nemo": _by_nemo,
    "num2words": _by_num2words,
}


@cache
def _nemo(language: str) -> Any:
    """The grammar of a language. Building one takes minutes, so it is kept on disk."""
    try:
        from nemo_text_processing.text_normalization.normalize import Normalizer
    except ImportError:
        raise ImportError('normalize=nemo needs an extra: pip install "codeclm[nemo]"') from None
    if language not in NEMO:
        raise ValueError(
            f"normalize=nemo does not cover language {language!r} but {', '.join(NEMO)}: take "
            "normalize=num2words, or normalize=none and write numbers in words"
        )
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    kept = home / "codeclm" / "nemo" / language
    kept.mkdir(parents=True, exist_ok=True)
    return Normalizer(input_case="cased", lang=language, cache_dir=str(kept))


@cache
def _num2words(language: str) -> Callable[..., str]:
    try:
        import num2words
    except ImportError:
        raise ImportError(
            'normalize=num2words needs an extra: pip install "codeclm[data]"'
        ) from None
    if language not in num2words.CONVERTER_CLASSES:
        raise ValueError(
            f"normalize=num2words does not cover language {language!r}: take normalize=nemo if it "
            f"is one of {', '.join(NEMO)}, or normalize=none and write numbers in words"
        )

    def say(number: float, to: str = "cardinal") -> str:
        return str(num2words.num2words(number, lang=language, to=to))

    return say
