"""What all routes share: the model, its scheduler, voices, and the way from a wish to an answer."""

import asyncio
import random
from collections.abc import AsyncGenerator, Coroutine, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from codeclm.serve.errors import RefusalError, unknown
from codeclm.serve.metrics import Metrics
from codeclm.serve.voices import Voices
from codeclm.tts.answer import Answer, Drawn, Event
from codeclm.tts.engine import TokenizedSentence
from codeclm.tts.generate import KEPT_VOICES, TTS, Request
from codeclm.tts.scheduler import FullError, Scheduler
from codeclm.tts.sound_stream import Wav
from codeclm.tts.voice import Voice

STALLED = 60.0  # seconds that a client may take to read what it was sent

Events = AsyncGenerator[Wav | Drawn, None]
Name = Annotated[str, Field(max_length=256)]
Language = Annotated[str, Field(max_length=32, pattern=r"^[A-Za-z0-9_-]+$")]


@dataclass(frozen=True)
class Settings:
    """How a server is run."""

    names: tuple[str, ...] = ("starter",)  # of the model; the first is told, all are answered to
    layout: str = ""  # of the model, for those who draw it
    voices: Path | None = None  # folder of the uploaded ones; None: they are gone with the process
    keys: tuple[str, ...] = ()  # of clients; none: anybody
    origins: tuple[str, ...] = ()  # of pages elsewhere that may use it
    any_host: bool = False  # whatever name clients know this machine by
    together: int = 16  # talks in the engine at once
    waiting: int = 64  # answers that may wait beside them
    longest: int = 4096  # characters of a text
    upload: int = 10_000_000  # bytes of a recording
    reports: tuple[Path, ...] = ()  # pages of comparisons to show beside the page


def _id(voice: Any) -> Any:
    """OpenAI's clients may name a voice of their own as `{"id": ...}`."""
    return voice["id"] if isinstance(voice, dict) and voice.keys() == {"id"} else voice


class Wish(BaseModel):
    """What a client may choose, by whatever route it comes."""

    model_config = ConfigDict(extra="forbid")
    model: Name | None = None
    voice: Annotated[Name | None, BeforeValidator(_id)] = None
    language: Language = "en"
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None


class Service:
    """A server's parts."""

    def __init__(self, tts: TTS, settings: Settings) -> None:
        self.tts, self.settings = tts, settings
        self.voices = Voices(tts, settings.voices)
        self.scheduler = Scheduler(tts, settings.together, settings.waiting)
        self.metrics = Metrics(self.scheduler)
        for voice in islice(tts.voices.values(), KEPT_VOICES):
            self.scheduler.ask(partial(tts.prepare, voice))
        self.making = asyncio.Lock()  # of voices, one at a time
        self.clients = 0  # that are being answered
        self.leaving = False  # no more answers are begun

    def close(self) -> None:
        """Ends what is still being said."""
        self.scheduler.close(cancel=True)
        self.voices.close()

    def voice(self, wish: Wish) -> Voice | None:
        """The voice of a wish, once its model is known to be here."""
        names = self.settings.names
        if wish.model is not None and wish.model not in names:
            raise unknown("model", wish.model, f"; there is {names[0]}")
        return self.voices.find(wish.voice)

    def said(self, text: str, language: str) -> list[TokenizedSentence]:
        """The sentences of a text; what is too long or cannot be said is refused."""
        if len(text) > self.settings.longest:
            told = f"input: {len(text)} characters, and at most {self.settings.longest} are taken"
            raise RefusalError(told, "string_above_max_length", "input")
        try:
            return list(self.tts.said(text, language))
        except ValueError as error:
            raise RefusalError(str(error), "invalid_value", "input") from None

    def answer(
        self,
        wish: Wish,
        said: Iterable[TokenizedSentence] = (),
        complete: bool = True,
        watched: bool = False,
    ) -> tuple[Answer, Events]:
        """Begins an answer; it, and what happens to it. There may be no place (FullError)."""
        if self.leaving:
            raise RefusalError("this server is shutting down", "leaving", status=503)
        sampling = self.tts.sampling
        if wish.temperature is not None:
            sampling = sampling.model_copy(update={"temperature": wish.temperature})
        seed = random.randrange(2**31) if wish.seed is None else wish.seed
        request = Request("", self.voice(wish), wish.language, seed)
        events: asyncio.Queue[Event] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def sink(event: Event) -> None:
            loop.call_soon_threadsafe(events.put_nowait, event)

        how: dict[str, Any] = {"complete": complete, "sampling": sampling, "watched": watched}
        try:
            answer = self.scheduler.answer(request, said, sink=sink, **how)
        except FullError:
            self.metrics.refused()
            raise
        return answer, _events(events, answer)

    async def attend(self, answer: Answer, *parts: Coroutine[Any, Any, None]) -> None:
        """Runs the parts of an answer until one ends or fails; then it is spoken no further."""
        tasks = [asyncio.create_task(part) for part in parts]
        self.clients += 1
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            next(task for task in tasks if task.done()).result()
        finally:
            answer.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.clients -= 1
            self.metrics.over(answer)


async def _events(queue: asyncio.Queue[Event], answer: Answer) -> Events:
    """All that happens to an answer; raises what ended it early."""
    while (event := await queue.get()) is not None:
        yield event
        if isinstance(event, np.ndarray):
            answer.took(len(event))
    if answer.error is not None:
        raise answer.error
