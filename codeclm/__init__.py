"""Text-to-speech by language models over neural codec tokens.

The public names are loaded when first used, so that `import codeclm` takes milliseconds:

    tts = codeclm.load_tts("starter")
    speech = tts.speak("Hello.")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codeclm.codecs import load_codec
    from codeclm.tts.generate import load_tts
    from codeclm.tts.voice import Voice

__version__ = "0.1.0"
__all__ = ["Voice", "__version__", "load_codec", "load_tts"]

_HOME = {
    "Voice": "codeclm.tts.voice",
    "load_codec": "codeclm.codecs",
    "load_tts": "codeclm.tts.generate",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'codeclm' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
