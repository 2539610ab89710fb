"""Many answers at a time, which begin and end whenever they like: `Scheduler`.

One thread takes the steps of all talks, another sounds what they make. An answer whose next
sentence is not written yet, or whose listener is slow, waits outside of the engine, and another
takes its place. All that an answer goes through is decided in the thread of the steps; other
threads ask it to (`Scheduler.ask`).
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from codeclm.tts.answer import Answer, Sink
from codeclm.tts.engine import Engine, Talk, TokenizedSentence
from codeclm.tts.generate import TOGETHER, TTS, Drawing, Request
from codeclm.tts.guard import Guards

AHEAD = 20.0  # seconds of sound that may wait for a listener; with more of it the talk pauses

T = TypeVar("T")
log = logging.getLogger(__name__)


class FullError(Exception):
    """As many answers are under way as may be, or no more are begun."""


class Scheduler:
    """Says what it is asked to, for many at once; each sounds as it would alone.

    Args:
        tts: who speaks. While the scheduler is open, nobody else steps or prepares it.
        together: talks in the engine at once; the next joins when one leaves.
        waiting: answers that may wait beside them; None: any number.
    """

    def __init__(self, tts: TTS, together: int = TOGETHER, waiting: int | None = None) -> None:
        self.tts, self.together = tts, together
        self.places = None if waiting is None else together + waiting
        self.answers: set[Answer] = set()
        self.speaking: dict[Talk, Answer] = {}
        self.steps = 0
        self.sounding = ThreadPoolExecutor(1, "sounding")
        self._stepping = ThreadPoolExecutor(1, "stepping")
        self._engine = Engine(tts.network)
        self._ready: deque[Answer] = deque()
        self._busy = False  # the next turn is asked for
        self._change, self._open = threading.Condition(), True

    def __enter__(self) -> "Scheduler":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(cancel=kind is not None)

    def answer(
        self,
        request: Request,
        found: Iterable[TokenizedSentence] = (),
        *,
        complete: bool = True,
        sampling: Drawing | None = None,
        guards: Guards | None = None,
        sink: Sink | None = None,
        watched: bool = False,
    ) -> Answer:
        """Begins an answer in the voice and language of the request, to the sentences `found`.

        If that is not `complete`, more is added by `Answer.say`. All else is as `TTS.speak` and
        `Answer` have it.

        Raises:
            FullError: there is no place.
        """
        text = list(found)
        made = Answer(self, request, sampling, guards or Guards(), sink, watched)
        with self._change:
            if not self._open:
                raise FullError("no more answers are begun: this is shutting down")
            if self.places is not None and len(self.answers) >= self.places:
                raise FullError(f"{self.places} answers are under way: try again a little later")
            self.answers.add(made)
        if text or complete:
            made.say(text, complete)
        return made

    def ask(self, call: Callable[[], T]) -> Future[T]:
        """Has the thread of the steps do something before the next one."""
        return self._stepping.submit(call)

    def close(self, cancel: bool = False) -> None:
        """Begins no more answers, and waits for those under way; or cancels them."""
        with self._change:
            self._open = False
            for answer in tuple(self.answers) if cancel else ():
                answer.cancel()
            self._change.wait_for(lambda: not self.answers)
        self._stepping.shutdown()
        self.sounding.shutdown()

    # --- in the thread of the steps ---

    def look(self, answer: Answer) -> None:
        """Lets an answer go on, if what it waited for is there."""
        if answer.state == "paused" and answer.ahead <= AHEAD / 2:
            answer.state = "ready"
        elif answer.state == "waiting" and answer.unsaid:
            answer.state = "next"
        else:
            if answer.state == "waiting" and answer.complete:
                answer.close()
            return
        self._ready.append(answer)
        if not self._busy:
            self._busy = True
            self.ask(self._turn)

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
        self.sounding.submit(self._forget, answer)

    def _forget(self, answer: Answer) -> None:
        try:
            answer.sink(None)
        except Exception:
            log.exception("the listener of an answer could not be told its end")
        with self._change:
            self.answers.discard(answer)
            self._change.notify_all()

    def _turn(self) -> None:
        """Lets in who is ready, takes a step of all who speak, and asks for the next turn."""
        try:
            self._admit()
            if self.speaking:
                self._step()
        except Exception as error:  # whose fault it was cannot be known
            log.exception("a step failed, and the talks in it end")
            self._engine = Engine(self.tts.network)
            for answer in tuple(self.speaking.values()):
                self.end(answer, error)
        self._busy = bool(self.speaking or self._ready)
        if self._busy:
            self.ask(self._turn)

    def _admit(self) -> None:
        while self._ready and len(self.speaking) < self.together:
            answer = self._ready.popleft()
            if answer.state == "over":
                continue
            try:
                talk = answer.enter()
            except Exception as error:
                self.end(answer, error)
                continue
            self.speaking[talk] = answer
            self._engine.add(talk)

    def _step(self) -> None:
        outputs = self._engine.step()
        self.steps += 1
        staying = set(self._engine.talks)
        for output in outputs:
            answer = self.speaking[output.talk]
            try:
                answer.take(output)
            except Exception as error:
                self.end(answer, error)
                continue
            if output.talk not in staying:
                self._out(answer, "waiting")
            elif answer.ahead > AHEAD:
                self._engine.remove(output.talk)
                self._out(answer, "paused")

    def _out(self, answer: Answer, state: str) -> None:
        """An answer whose talk has left the engine goes on when it can, perhaps at once."""
        assert answer.talk is not None
        del self.speaking[answer.talk]
        answer.leave()
        answer.state = state
        self.look(answer)
