"""Measures of speech: words, speaker, sound, and how sure they are.

Every judge is a published model or a standard measure in a kept library; the libraries are the
extra `eval` and are imported only when a measure is taken.
"""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def need(module: str, extra: str) -> Iterator[None]:
    """Turn a failed import of `module` into one line that says what to install."""
    try:
        yield
    except ImportError as error:
        if (error.name or "").partition(".")[0] != module:
            raise
        raise ImportError(
            f"{module} is needed for this measure: pip install 'codeclm[{extra}]'", name=module
        ) from error
