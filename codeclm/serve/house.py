"""What all routes share: the model, its desk, its voices, and the way from a wish to an answer."""

import asyncio
import random
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from codeclm.serve.errors import RefusalError
from codeclm.serve.metrics import Metrics
from codeclm.serve.voices import Voices
from codeclm.tts.answer import Answer, Drawn
from codeclm.tts.engine import Said
from codeclm.tts.generate import KEPT_VOICES, TTS, Request, Wav
from codeclm.tts.live import Desk, FullError

STALLED = 60.0  # seconds that a client may take to read what it was sent


@dataclass(frozen=True)
class Settings:
    """How a server is run.

    Attributes:
        names: of the model; the first is told, all are answered to.
        layout: of the model, for those who draw it.
        voices: folder of the uploaded ones; None: they are gone with the process.
        keys: of clients; none: anybody.
        origins: of pages elsewhere that may use it.
        any_host: whatever name clients know this machine by.
        together: talks in the engine at once.
        waiting: answers that may wait beside them.
        longest: characters of a text.
        upload: bytes of a recording.
        reports: pages of comparisons to show beside the page.
    """

    names: tuple[str, ...] = ("starter",)
    layout: str = ""
    voices: Path | None = None
    keys: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    any_host: bool = False
    together: int = 16
    waiting: int = 64
    longest: int = 4096
    upload: int = 10_000_000
    reports: tuple[Path, ...] = ()


class House:
    """A server's parts.

    Attributes:
        clients: that are being answered.
        leaving: no more answers are begun.
    """

    def __init__(self, tts: TTS, settings: Settings) -> None:
        self.tts, self.settings = tts, settings
        self.voices = Voices(tts, settings.voices)
        self.desk = Desk(tts, settings.together, settings.waiting)
        self.metrics = Metrics(self.desk)
        for voice in islice(tts.voices.values(), KEPT_VOICES):
            self.desk.ask(partial(tts.prepare, voice))
        self.making = asyncio.Lock()  # of voices, one at a time
        self.clients, self.leaving = 0, False

    def close(self) -> None:
        """Ends what is still being said."""
        self.desk.close(cancel=True)
        self.voices.close()

    def answer(
        self,
        wish: "Wish",
        said: Iterable[Said] = (),
        complete: bool = True,
        watched: bool = False,
    ) -> tuple[Answer, "Listener"]:
        """Begins an answer.

        Raises:
            RefusalError: the wish cannot be granted, or not now.
        """
        if self.leaving:
            raise RefusalError("this server is shutting down", "leaving", status=503)
        sampling = self.tts.sampling
        if wish.temperature is not None:
            sampling = sampling.model_copy(update={"temperature": wish.temperature})
        seed = random.randrange(2**31) if wish.seed is None else wish.seed
        request = Request("", self.voice(wish), wish.language, seed)
        listener = Listener()
        try:
            answer = self.desk.answer(
                request,
                said,
                complete=complete,
                sampling=sampling,
                sink=listener.hear,
                watched=watched,
            )
        except FullError:
            self.metrics.refused()
            raise
        return answer, listener

    def voice(self, wish: "Wish") -> Any:
        """The voice of a wish, once its model is known to be here."""
        if wish.model is not None and wish.model not in self.settings.names:
            raise RefusalError(
                f"there is no model {wish.model[:80]!r}; there is {self.settings.names[0]}",
                "model_not_found",
                "model",
                404,
            )
        return self.voices.find(wish.voice)

    def said(self, text: str, language: str) -> list[Said]:
        """The sentences of a text.

        Raises:
            RefusalError: there is nothing to say, or too much, or it cannot be said.
        """
        if len(text) > self.settings.longest:
            raise RefusalError(
                f"input: {len(text)} characters, and at most {self.settings.longest} are taken",
                "string_above_max_length",
                "input",
            )
        try:
            return list(self.tts.said(text, language))
        except ValueError as error:
            raise RefusalError(str(error), "invalid_value", "input") from None


@dataclass(frozen=True)
class Wish:
    """What a client may choose."""

    model: str | None = None
    voice: str | None = None
    language: str = "en"
    seed: int | None = None
    temperature: float | None = None


class Listener:
    """Brings what happens to an answer into the event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Wav | Drawn | None] = asyncio.Queue()

    def hear(self, event: Wav | Drawn | None) -> None:
        """The sink of the answer."""
        self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    async def events(self, answer: Answer) -> AsyncGenerator[Wav | Drawn, None]:
        """All of them; raises what ended the answer early."""
        while (event := await self._events.get()) is not None:
            yield event
            if isinstance(event, np.ndarray):
                answer.took(len(event))
        if answer.error is not None:
            raise answer.error
