"""An answer: something that is being said, from its first text to the end of its sound.

    waiting    for its next sentence
    next       to begin a sentence, once there is a place in the engine
    paused     for its listener, who is slow
    ready      to go on, once there is a place in the engine
    speaking   its talk is in the engine
    closing    all is drawn; the end is still to be sounded
    over

Only the thread of the steps changes its state (`tts.scheduler.Scheduler`).
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from codeclm.tts.engine import StepOutput, Talk, TokenizedSentence
from codeclm.tts.generate import Drawing, Request, Speech
from codeclm.tts.guard import Guards
from codeclm.tts.sound_stream import Chunk, SoundStream, Wav

if TYPE_CHECKING:
    from codeclm.tts.scheduler import Scheduler


class CancelledError(Exception):
    """The answer was not wanted any more."""


@dataclass(frozen=True)
class Drawn:
    """What a step drew.

    Attributes:
        cells: stream, frame and value of each, in the order of drawing; frames count from the
            beginning of the answer.
        first: number of the first of the frames that it made complete.
        frames: [K, n], those.
    """

    cells: list[tuple[int, int, float]]
    first: int
    frames: NDArray[Any]


Event = Wav | Drawn | None  # sound; cells, if they are asked for; None: it is over
Sink = Callable[[Event], None]


class Answer:
    """Something that is being said; `Scheduler.answer` makes it.

    Args:
        sink: is given what happens, by several threads; sound and the end in their order. None:
            `result` collects it.
        watched: the sink is also given what each step draws.

    Attributes:
        unsaid: sentences that wait.
        error: why it ended early, if it did.
        tokens, frames: of text and of sound, so far.
        first_audio_ms: from the first text to the first sound.
        generation_seconds: in the engine, and sounding the end.
    """

    def __init__(
        self,
        scheduler: "Scheduler",
        request: Request,
        sampling: Drawing | None,
        guards: Guards,
        sink: Sink | None,
        watched: bool,
    ) -> None:
        self.scheduler, self.request = scheduler, request
        self.sampling, self.guards = sampling, guards
        self.events: SimpleQueue[Event] = SimpleQueue()
        self.sink, self.paced, self.watched = sink or self.events.put, sink is not None, watched
        self.counts: Counter[str] = Counter()
        self.sounds = SoundStream(scheduler.tts.sound, guards, self.counts)
        self.unsaid: deque[TokenizedSentence] = deque()
        self.complete = False  # no more text will come
        self.talk: Talk | None = None
        self.state = "waiting"
        self.error: BaseException | None = None
        self.tokens = self.frames = 0
        self._before = self._made = self._taken = 0  # frames of earlier sentences; samples
        self.first_audio_ms = self.generation_seconds = 0.0
        self._asked = self._entered = 0.0

    # --- for whoever asked, in any thread ---

    def say(self, found: Iterable[TokenizedSentence], complete: bool = False) -> None:
        """Adds sentences; `complete`: that was all."""
        self.unsaid.extend(found)
        self._asked = self._asked or time.perf_counter()
        self.complete = complete
        self._ask(self.scheduler.look)

    def took(self, samples: int) -> None:
        """So much of the sound has reached its listener."""
        self._taken += samples
        if self.state == "paused":
            self._ask(self.scheduler.look)

    def cancel(self) -> None:
        """Ends it before the next step."""
        self._ask(self.scheduler.end, CancelledError("cancelled"))

    def _ask(self, call: Callable[..., object], *more: BaseException | None) -> None:
        if self.state != "over":
            self.scheduler.ask(partial(call, self, *more))

    def result(self) -> Speech:
        """Waits for the whole of it."""
        chunks = [np.zeros(0, np.float32)]
        while (event := self.events.get()) is not None:
            if isinstance(event, np.ndarray):
                chunks.append(event)
        if self.error is not None:
            raise self.error
        rate, seed, guards = self.scheduler.tts.sample_rate, self.request.seed, dict(+self.counts)
        wav, first = np.concatenate(chunks), self.first_audio_ms
        return Speech(wav, rate, self.generation_seconds, first, seed, guards)

    @property
    def ahead(self) -> float:
        """Seconds of sound that wait for the listener."""
        return (self._made - self._taken) / self.scheduler.tts.sample_rate if self.paced else 0.0

    @property
    def audio_seconds(self) -> float:
        """Seconds of sound so far."""
        return self._made / self.scheduler.tts.sample_rate

    # --- in the thread of the steps ---

    def __iter__(self) -> "Answer":
        return self

    def __next__(self) -> TokenizedSentence:
        """The next sentence if it is there: the engine never waits for one."""
        if not self.unsaid:
            raise StopIteration
        said = self.unsaid.popleft()
        self.tokens += len(said.ids)
        return said

    def enter(self) -> Talk:
        """The talk, to be stepped."""
        self._entered = time.perf_counter()
        if self.talk is None:
            request, tts = self.request, self.scheduler.tts
            self.talk = tts.talk(
                self, request.voice, self.sampling, request.seed, self.guards, self.counts
            )
        elif self.state == "next":
            self.talk.follow(next(self))
        self.state = "speaking"
        return self.talk

    def leave(self) -> None:
        """The talk is out of the engine, or sounded to its end."""
        self.generation_seconds += time.perf_counter() - self._entered

    def close(self) -> None:
        """All is said; its end is still to be sounded."""
        self.state, self._entered = "closing", time.perf_counter()
        self.scheduler.sounding.submit(self.sound, None)

    def take(self, output: StepOutput) -> None:
        """Takes what a step made."""
        if self.watched:
            cells = [(k, self._before + t, value) for k, t, value in output.cells()]
            self.sink(Drawn(cells, self.frames, output.frames))
        self.frames += output.frames.shape[1]
        if output.over:
            self._before = self.frames
        if (chunk := self.sounds.take(output)) is not None:
            self.scheduler.sounding.submit(self.sound, chunk)

    # --- in the thread that sounds ---

    def sound(self, chunk: Chunk | None) -> None:
        """Sounds a chunk; None: what is left."""
        if self.state == "over":
            return
        try:
            wav = self.sounds.close() if chunk is None else self.sounds.say(chunk)
            if len(wav):
                if not self._made:
                    self.first_audio_ms = 1000 * (time.perf_counter() - self._asked)
                self._made += len(wav)
                self.sink(wav)
        except Exception as error:
            self._ask(self.scheduler.end, error)
            return
        if chunk is None:
            self.leave()
            self._ask(self.scheduler.end, None)
