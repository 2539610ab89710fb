"""Many answers at a time, which begin and end whenever they like: `Desk`.

One thread takes the steps of all talks, others sound them, each talk in one of them. An answer
whose next sentence is not written yet, or whose listener is slow, waits outside of the engine, and
another takes its place. All that an answer goes through is decided in the thread of the steps;
other threads ask it to (`Desk.ask`).
"""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from codeclm.tts.engine import Engine, Heard, Said, Talk
from codeclm.tts.generate import TOGETHER, TTS, Drawing, Request, Speech, Wav
from codeclm.tts.guard import Guards
from codeclm.tts.mouth import Chunk, Mouth

AHEAD = 20.0  # seconds of sound that may wait for a listener; with more of it the talk pauses

T = TypeVar("T")
log = logging.getLogger(__name__)


class FullError(Exception):
    """As many answers are under way as may be, or no more are begun."""


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
    """Something that is being said; `Desk.answer` makes it.

    Args:
        sink: is given what happens, by several threads; sound and the end in their order. None:
            `result` collects it.
        watched: the sink is also given what each step draws.
        lips: the thread of its mouth.

    Attributes:
        unsaid: sentences that wait.
        state: waiting (for text), ready, speaking, paused (for its listener), closing, over.
        error: why it ended early, if it did.
        speech: what it took, once it is over; without the sound.
        tokens, frames: of text and of sound, so far.
        waited: seconds from the first text to the first step.
    """

    def __init__(
        self,
        desk: "Desk",
        request: Request,
        sampling: Drawing | None,
        guards: Guards,
        sink: Sink | None,
        watched: bool,
        lips: ThreadPoolExecutor,
    ) -> None:
        self.lips = lips
        self.desk, self.request, self.sampling, self.guards = desk, request, sampling, guards
        self.events: SimpleQueue[Event] = SimpleQueue()
        self.sink, self.paced, self.watched = sink or self.events.put, sink is not None, watched
        self.counts: Counter[str] = Counter()
        self.mouth = Mouth(desk.tts.sound, guards, self.counts)
        self.unsaid: deque[Said] = deque()
        self.complete = False  # no more text will come
        self.talk: Talk | None = None
        self.state = "waiting"
        self.error: BaseException | None = None
        self.speech: Speech | None = None
        self.tokens = self.frames = 0
        self.waited = 0.0
        self._before = self._made = self._taken = 0  # frames of earlier sentences; samples
        self._asked = self._entered = self._first = self._spent = 0.0

    # --- for whoever asked, in any thread ---

    def say(self, found: Iterable[Said], complete: bool = False) -> None:
        """Adds sentences; `complete`: that was all."""
        self.unsaid.extend(found)
        self._asked = self._asked or time.perf_counter()
        self.complete = complete
        self.desk.ask(partial(self.desk.look, self))

    def took(self, samples: int) -> None:
        """So much of the sound has reached its listener."""
        self._taken += samples
        if self.state == "paused":
            self.desk.ask(partial(self.desk.look, self))

    def cancel(self) -> None:
        """Ends it before the next step."""
        self.desk.ask(partial(self.desk.end, self, CancelledError("cancelled")))

    def result(self) -> Speech:
        """Waits for the whole of it."""
        chunks = [np.zeros(0, np.float32)]
        while (event := self.events.get()) is not None:
            if isinstance(event, np.ndarray):
                chunks.append(event)
        if self.speech is None:
            assert self.error is not None
            raise self.error
        return replace(self.speech, wav=np.concatenate(chunks))

    @property
    def ahead(self) -> float:
        """Seconds of sound that wait for the listener."""
        return (self._made - self._taken) / self.desk.tts.sample_rate if self.paced else 0.0

    # --- in the thread of the steps ---

    def __iter__(self) -> "Answer":
        return self

    def __next__(self) -> Said:
        """The next sentence if it is there: the engine never waits for one."""
        if not self.unsaid:
            raise StopIteration
        said = self.unsaid.popleft()
        self.tokens += len(said.ids)
        return said

    def enter(self, now: float) -> Talk:
        """The talk, ready to go on."""
        if self.talk is None:
            request, tts = self.request, self.desk.tts
            self.waited = now - self._asked
            self.talk = tts.talk(
                self, request.voice, self.sampling, request.seed, self.guards, self.counts
            )
        elif self.state == "next":
            self.talk.follow(next(self))
        self._entered = now
        return self.talk

    def close(self) -> None:
        """All is said; its end is still to be sounded."""
        self.state, self._entered = "closing", time.perf_counter()
        self.lips.submit(self.sound, None)

    def leave(self) -> None:
        """The talk is out of the engine, or sounded to its end."""
        self._spent += time.perf_counter() - self._entered

    def hear(self, heard: Heard) -> Chunk | None:
        """Takes what a step made; what is to be sounded."""
        if self.watched:
            cells = [(k, self._before + t, value) for k, t, value in heard.cells()]
            self.sink(Drawn(cells, self.frames, heard.frames))
        self.frames += heard.frames.shape[1]
        if heard.over:
            self._before = self.frames
        return self.mouth.take(heard)

    # --- in the thread of its mouth ---

    def sound(self, chunk: Chunk | None) -> None:
        """Sounds a chunk; None: what is left."""
        if self.state == "over":
            return
        try:
            wav = self.mouth.close() if chunk is None else self.mouth.say(chunk)
            if len(wav):
                self._first = self._first or time.perf_counter() - self._asked
                self._made += len(wav)
                self.sink(wav)
        except Exception as error:
            self.desk.ask(partial(self.desk.end, self, error))
            return
        if chunk is None:
            self.leave()
            self.desk.ask(partial(self.desk.end, self, None))

    def summary(self) -> Speech:
        """What it took."""
        rate = self.desk.tts.sample_rate
        seconds, seed = self._made / rate, self.request.seed
        return Speech(
            np.zeros(0, np.float32), rate, seconds, self._spent, seconds / max(self._spent, 1e-9),
            1000 * self._first, seed, dict(+self.counts),
        )  # fmt: skip


class Desk:
    """Says what it is asked to, for many at once; each sounds as it would alone.

    Args:
        tts: who speaks. While the desk is open, nobody else steps or prepares it.
        together: talks in the engine at once; the next joins when one leaves.
        waiting: answers that may wait beside them; None: any number.
        mouths: threads that make sound.
    """

    def __init__(
        self, tts: TTS, together: int = TOGETHER, waiting: int | None = None, mouths: int = 1
    ) -> None:
        self.tts, self.together = tts, together
        self.places = None if waiting is None else together + waiting
        self.answers: set[Answer] = set()
        self.speaking: dict[Talk, Answer] = {}
        self.steps = 0
        self._engine = Engine(tts.network)
        self._ready: deque[Answer] = deque()
        self._calls: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._change, self._open = threading.Condition(), True
        self._mouths = [ThreadPoolExecutor(1, "mouth") for _ in range(mouths)]
        self._number = count()
        self._thread = threading.Thread(target=self._run, name="desk", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Desk":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(cancel=kind is not None)

    def answer(
        self,
        request: Request,
        found: Iterable[Said] = (),
        *,
        complete: bool = True,
        sampling: Drawing | None = None,
        guards: Guards | None = None,
        sink: Sink | None = None,
        watched: bool = False,
    ) -> Answer:
        """Begins an answer.

        Args:
            request: voice, language and seed of it.
            found: the sentences of its text (`TTS.said`).
            complete: that is all; otherwise more is added by `Answer.say`.
            sampling: as of `TTS.speak`.
            guards: as of `TTS.speak`.
            sink: as of `Answer`.
            watched: as of `Answer`.

        Raises:
            FullError: there is no place.
        """
        text = list(found)
        lips = self._mouths[next(self._number) % len(self._mouths)]
        made = Answer(self, request, sampling, guards or Guards(), sink, watched, lips)
        with self._change:
            if not self._open:
                raise FullError("no more answers are begun: this is shutting down")
            if self.places is not None and len(self.answers) >= self.places:
                raise FullError(f"{self.places} answers are under way: try again a little later")
            self.answers.add(made)
        if text or complete:
            made.say(text, complete)
        return made

    def ask(self, call: Callable[[], object]) -> None:
        """Has the thread of the steps do something before the next one."""
        self._calls.put(call)

    def run(self, call: Callable[[], T]) -> Future[T]:
        """Has the thread of the steps find something out."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)

        self.ask(run)
        return future

    def close(self, cancel: bool = False) -> None:
        """Begins no more answers, and waits for those under way; or cancels them."""
        with self._change:
            self._open = False
            for answer in tuple(self.answers) if cancel else ():
                answer.cancel()
            self._change.wait_for(lambda: not self.answers)
        self._calls.put(None)
        self._thread.join()
        for mouth in self._mouths:
            mouth.shutdown()

    # --- in the thread of the steps ---

    def look(self, answer: Answer) -> None:
        """Lets an answer go on, if what it waited for is there."""
        if answer.state == "paused" and answer.ahead <= AHEAD / 2:
            answer.state = "ready"
            self._ready.append(answer)
        elif answer.state == "waiting" and answer.unsaid:
            answer.state = "next"
            self._ready.append(answer)
        elif answer.state == "waiting" and answer.complete:
            answer.close()

    def end(self, answer: Answer, error: BaseException | None) -> None:
        """The last of an answer."""
        if answer.state == "over":
            return
        if answer.talk in self.speaking:
            del self.speaking[answer.talk]
            answer.leave()
        if answer.talk in self._engine.talks:
            self._engine.remove(answer.talk)
        answer.state, answer.error = "over", error
        answer.talk = None  # which knows its answer, and holds a lot
        if error is None:
            answer.speech = answer.summary()
        answer.lips.submit(self._forget, answer)

    def _forget(self, answer: Answer) -> None:
        try:
            answer.sink(None)
        except Exception:
            log.exception("the listener of an answer could not be told its end")
        with self._change:
            self.answers.discard(answer)
            self._change.notify_all()

    def _run(self) -> None:
        while self._listen():
            self._admit()
            if self.speaking:
                self._step()

    def _listen(self) -> bool:
        """Does what was asked, and waits for it when there is nothing to say; False: closed."""
        idle = not self.speaking and not self._ready
        while True:
            try:
                call = self._calls.get(block=idle)
            except Empty:
                return True
            if call is None:
                return False
            call()
            idle = False

    def _admit(self) -> None:
        now = time.perf_counter()
        while self._ready and len(self.speaking) < self.together:
            answer = self._ready.popleft()
            if answer.state == "over":
                continue
            try:
                talk = answer.enter(now)
            except Exception as error:
                self.end(answer, error)
                continue
            answer.state = "speaking"
            self.speaking[talk] = answer
            self._engine.add(talk)

    def _step(self) -> None:
        try:
            heard = self._engine.step()
        except Exception as error:  # whose fault it was cannot be known
            log.exception("a step failed, and the talks in it end")
            self._engine = Engine(self.tts.network)
            for answer in tuple(self.speaking.values()):
                self.end(answer, error)
            return
        self.steps += 1
        staying = set(self._engine.talks)
        for event in heard:
            answer = self.speaking[event.talk]
            try:
                if (chunk := answer.hear(event)) is not None:
                    answer.lips.submit(answer.sound, chunk)
            except Exception as error:
                self.end(answer, error)
                continue
            if event.talk not in staying:
                self._out(answer, "waiting")
            elif answer.ahead > AHEAD:
                self._engine.remove(event.talk)
                self._out(answer, "paused")

    def _out(self, answer: Answer, state: str) -> None:
        """An answer whose talk has left the engine goes on when it can, perhaps at once."""
        assert answer.talk is not None
        del self.speaking[answer.talk]
        answer.leave()
        answer.state = state
        self.look(answer)
