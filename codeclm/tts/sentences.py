"""A text cut into what is said in one go: at sentence ends, and as soon as they are known."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

LONGEST = 160  # characters that short sentences are put together to
TOO_LONG = 300  # characters of one sentence, after which it is cut inside
PARAGRAPH = 0.5  # seconds of silence after an empty line
CLOSING = r"[\"')\]”’»]*"
END = re.compile(rf"[.!?…।]{CLOSING}(?:\s+|$)|[。！？]{CLOSING}\s*")
ABBREVIATED = re.compile(r"\b(?:[A-Z]|Mrs?|Ms|Drs?|Prof|St|Jr|Sr|vs|No|e\.g|i\.e)\.$")
BREAK = re.compile(r"\n\s*\n")
PLACES = (re.compile(r"(?<=[;:—])\s+"), re.compile(r"(?<=,)\s+"), re.compile(r"\s+"))


@dataclass(frozen=True)
class Part:
    """What is said in one go, and the seconds of silence after it."""

    text: str
    pause: float = 0.0


def parts(text: str | Iterable[str]) -> Iterator[Part]:
    """Cuts a text, or one that arrives piece by piece, into parts.

    Of a whole text, short sentences stay together, so that one breath carries them. Of one that
    arrives, each sentence is a part once the text after its end has begun. What has neither letter
    nor digit is no part.

    Raises:
        ValueError: there is nothing to say.
    """
    found = _whole(text) if isinstance(text, str) else map(Part, _arriving(text))
    first = next(found, None)
    if first is None:
        raise ValueError("nothing to pronounce in the text: it needs letters or digits")
    yield first
    yield from found


def _whole(text: str) -> Iterator[Part]:
    paragraphs = list(filter(_said, BREAK.split(text)))
    for number, paragraph in enumerate(paragraphs, 1):
        together: list[str] = []
        for piece in _arriving([paragraph]):
            if together and len(together[-1]) + len(piece) < LONGEST:
                together[-1] += " " + piece
            else:
                together.append(piece)
        for piece in together[:-1]:
            yield Part(piece)
        yield Part(together[-1], PARAGRAPH if number < len(paragraphs) else 0.0)


class Arriving:
    """Cuts a text that arrives piece by piece."""

    def __init__(self) -> None:
        self._waiting, self._since = "", 0

    def add(self, piece: str) -> Iterator[str]:
        """What can be said now: each sentence, once the text after its end has begun."""
        self._waiting += piece
        while (end := END.search(self._waiting, self._since)) and end.end() < len(self._waiting):
            sentence, self._since = self._waiting[: end.end()].strip(), end.end()
            if not ABBREVIATED.search(sentence):
                self._waiting, self._since = self._waiting[end.end() :], 0
                yield from _pieces(sentence)

    @property
    def waits(self) -> int:
        """Characters of a sentence that is not whole."""
        return len(self._waiting)

    def end(self) -> Iterator[str]:
        """The rest, when no more will come."""
        rest, self._waiting, self._since = self._waiting, "", 0
        yield from _pieces(rest)


def _arriving(pieces: Iterable[str]) -> Iterator[str]:
    text = Arriving()
    for piece in pieces:
        yield from text.add(piece)
    yield from text.end()


def _pieces(sentence: str) -> Iterator[str]:
    """A sentence without needless spaces, cut if it is long; nothing, if it cannot be said."""
    return filter(_said, shorter(" ".join(sentence.split())))


def _said(text: str) -> bool:
    return any(map(str.isalnum, text))


def shorter(sentence: str) -> Iterator[str]:
    """A sentence, cut where it is too long to be said in one go: at a colon, a comma, a space."""
    while len(sentence) > TOO_LONG:
        cuts = (
            [
                found
                for found in place.finditer(sentence)
                if TOO_LONG // 3 < found.start() <= TOO_LONG
            ]
            for place in PLACES
        )
        cut = next((found[-1] for found in cuts if found), None)
        if cut is None:
            break
        yield sentence[: cut.start()]
        sentence = sentence[cut.end() :]
    if sentence:
        yield sentence
