"""Text to IPA by espeak-ng, called directly through ctypes.

`espeakng_loader` carries the espeak-ng library and its data for every platform, so nothing has to
be installed on the system. The library keeps its state in globals: one instance per process, one
lock around it.
"""

import ctypes
import os
import re
import threading
from functools import lru_cache

# Marks that the caller sees again in the output. A mark inside a number (3.5, 1,000, 10:30) or
# the dots of initials (U.S., a.m.) belong to the word and are left to espeak.
_DOT = r"(?<!\d)\.(?!\w\.)(?<!\.\w\.)|\.(?!\d|\w\.)(?<!\.\w\.)"
_MARK = rf"(?:{_DOT}|(?<!\d)[,:]|[,:](?!\d)|[;!?¡¿—…\"«»“”(){{}}\[\]])"
_MARKS = re.compile(rf"(\s*{_MARK}(?:\s|{_MARK})*)")
_LANGUAGE_SWITCH = re.compile(r"\([a-z0-9-]+\)")  # (fr)...(en-us) around foreign words
_LOCK = threading.Lock()

# Values of speak_lib.h.
_SYNCHRONOUS = 0x02
_DONT_EXIT = 0x8000
_TEXT_UTF8 = 1
_PHONEMES_IPA = 0x02


class _Voice(ctypes.Structure):
    """`espeak_VOICE` of speak_lib.h; only `languages` is used."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("xx1", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    ]


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    try:
        import espeakng_loader
    except ImportError:
        reason = "phonemes need the espeak-ng library: pip install espeakng-loader"
        raise ValueError(reason) from None
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data = espeakng_loader.get_data_path()
    if library.espeak_Initialize(_SYNCHRONOUS, 0, os.fsencode(data), _DONT_EXIT) <= 0:
        raise ValueError(
            f"espeak-ng cannot read its data at {data}: reinstall espeakng-loader "
            "(paths beyond about 140 characters are too long for espeak-ng)"
        )
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    library.espeak_TextToPhonemes.argtypes = [
        ctypes.POINTER(ctypes.c_char_p),
        ctypes.c_int,
        ctypes.c_int,
    ]
    return library


def _words(library: ctypes.CDLL, text: str) -> str:
    """IPA of a text without punctuation marks; espeak consumes it clause by clause."""
    rest = ctypes.pointer(ctypes.c_char_p(text.encode()))
    clauses = []
    while rest.contents.value is not None:
        ipa = library.espeak_TextToPhonemes(rest, _TEXT_UTF8, _PHONEMES_IPA)
        clauses.append(ipa.decode() if ipa else "")
    ipa = _LANGUAGE_SWITCH.sub("", " ".join(clauses))
    return " ".join(ipa.split()).strip()


def phonemize(text: str, language: str) -> str:
    """IPA with stress marks, words separated by spaces, punctuation kept where it stood.

    Args:
        text: any text; espeak itself reads numbers, units and common abbreviations.
        language: an espeak language code such as `en-us`, `en-gb`, `hi`, `fr-fr`.
    """
    if "\0" in text:
        raise ValueError("text contains a NUL character: remove it")
    with _LOCK:
        library = _library()  # in here: two that begin it at once corrupt its memory
        if library.espeak_SetVoiceByProperties(ctypes.byref(_Voice(languages=language.encode()))):
            raise ValueError(
                f"espeak-ng has no language {language!r}: use a code such as en-us, en-gb, hi, fr"
            )
        # Odd pieces are the marks, with the spaces around them.
        pieces = _MARKS.split(text)
        return "".join(
            piece if i % 2 else _words(library, piece) for i, piece in enumerate(pieces)
        ).strip()
