"""The engine: talks side by side, one step of all of them at a time.

It knows where each talk is: which sentence, which token of it, which step, which frames are
complete. The networks (`Network`: in torch, or exported) know the rest. A talk may join or leave
between any two steps, and sounds the same alone and beside others.

A sentence goes on in the memory of the one before, as it does in training, until that memory is as
long as training ever saw; then it begins anew with the voice and the end of what was said last.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codeclm.tts.guard import Guards, TextCursor, stuck
from codeclm.tts.past import Past
from codeclm.tts.runtime import Network
from codeclm.tts.sampling import Sampling

Array = NDArray[Any]
How = tuple[Sampling, ...]  # one for each stream

ROOM = 256  # frames a matrix of tokens grows by
MEMORY = 20.0  # seconds that a talk goes on in one memory
CARRIED = 2.0  # seconds of the last sentence that a new memory begins with
TOKEN = 0.09  # seconds a token of text is expected to take


@dataclass(frozen=True)
class TokenizedSentence:
    """A sentence to say: its tokens, and the seconds of silence after it."""

    ids: Sequence[int]
    pause: float = 0.0


@dataclass(frozen=True)
class StepOutput:
    """What a step of a talk made complete."""

    talk: "Talk"
    frames: Array  # [K, n] of its token matrix, perhaps none
    over: bool  # the sentence ends here
    pause: float  # seconds of silence that follow
    step: int  # its number in the sentence
    drawn: Array  # [C], its slots
    marks: Sequence[float]  # [C], 0 where a slot holds something

    def cells(self) -> list[tuple[int, int, float]]:
        """Stream, frame and value of what the step drew, in the order of its slots."""
        streams, frames = self.talk.grid.cells(self.step)
        slots = list(zip(streams, frames, self.drawn.tolist(), self.marks, strict=True))
        return [(k, t, value) for k, t, value, mark in slots[: self.talk.network.drawn] if not mark]


class Talk:
    """Sentences said one after another in one voice.

    Args:
        sentences: as they come; there is at least one.
        voice: a cache of one row that has heard the voice, or nothing: then it is any voice.
        heard: frames of it.
        how: of each stream.
        seed: of its random numbers.
        counts: of the guards' interventions, to be added to.
    """

    def __init__(
        self,
        network: Network,
        sentences: Iterator[TokenizedSentence],
        voice: Any,
        heard: int,
        how: How,
        seed: int | np.random.Generator,
        guards: Guards,
        counts: Counter[str],
    ) -> None:
        self.network, self.grid = network, network.grid
        self.sentences, self.voice, self.heard = sentences, voice, heard
        self.how, self.guards, self.counts = how, guards, counts
        self.past = Past(seed)
        self.rows = 2 if network.twice(how) else 1
        self.kind = np.float32 if np.isnan(network.marks[0]) else np.int64
        self.remember(np.zeros((self.grid.rows, 0), self.kind))
        self.begin(next(sentences))

    def remember(self, before: Array) -> None:
        """Begins a memory: the voice, and the end of what was said before, [K, T]."""
        network = self.network
        cache, last = self.voice.copy(), before[:, -round(CARRIED * network.rate) :]
        if last.size:
            network.hear(last, cache)
        self.cache = cache.join([network.start() for _ in range(1, self.rows)])
        self.spent: float = (self.heard + last.shape[1]) / network.rate

    def fits(self, sentence: TokenizedSentence) -> bool:
        """Whether a sentence can go on in this memory."""
        return self.spent + len(sentence.ids) * TOKEN <= MEMORY

    def follow(self, sentence: TokenizedSentence) -> None:
        """Goes on with a sentence: in this memory, or in a new one if it does not fit."""
        if not self.fits(sentence):
            self.remember(self.tokens[:, : self.cursor.frames])
        self.begin(sentence)

    def begin(self, sentence: TokenizedSentence) -> None:
        """Begins a sentence in this memory."""
        network = self.network
        self.text, self.pause = network.text(sentence.ids), sentence.pause
        if not network.streamed:
            each = [self.cache.part([row]) for row in range(self.rows)]
            network.read(self.text, each[0])
            self.cache = each[0].join(each[1:])
        self.spent += len(sentence.ids) * TOKEN
        self.cursor = TextCursor(
            len(sentence.ids), network.streamed, network.rate, self.guards, self.counts
        )
        self.slots = np.full(self.grid.slots, network.marks[0], self.kind)
        self.tokens = np.zeros((self.grid.rows, 0), self.kind)
        self.past.forget()
        self.number = self.taken = self.complete = 0
        self.states: list[Any] = []  # kept where passes follow
        self.steps: list[Array] = []

    def now(self) -> tuple[How, tuple[int, ...], tuple[float, ...]]:
        """How this step is drawn: by what sampling, which streams, and the marks of its slots."""
        streams, frames = self.grid.cells(self.number)
        before, after = self.network.marks
        end = self.cursor.frames
        marks = tuple(
            before if frame < 0 else after if end is not None and frame >= end else 0
            for frame in frames
        )
        how = self.how
        if stuck(self.tokens[:, : self.complete], self.network.rate, self.guards):
            self.counts["repeat"] += 1
            how = tuple(livelier(one) for one in how)
        return how, streams, marks

    def take(
        self, drawn: Array, marks: Sequence[float], state: Any, rows: Sequence[int]
    ) -> StepOutput:
        """Takes a step [C] that was drawn, from these rows of a state; what it made complete."""
        streams, frames = (np.array(cells) for cells in self.grid.cells(self.number))
        while frames.max() >= self.tokens.shape[1]:
            room = np.zeros((self.grid.rows, ROOM), self.kind)
            self.tokens = np.concatenate([self.tokens, room], axis=1)
        known = np.array(marks) == 0
        self.tokens[streams[known], frames[known]] = drawn[known]
        self.past.remember(drawn, np.where(known, streams, -1).tolist())
        if self.network.drawn < self.grid.slots:
            self.states.append(self.network.states(state, rows))
            self.steps.append(drawn)
        self.slots, self.number, end = drawn, self.number + 1, self.cursor.frames
        ready = self.grid.ready(self.number - 1)
        self.complete = ready if end is None else min(ready, end)
        over = end is not None and self.number >= self.grid.steps(end)
        if over and self.steps:
            assert end is not None
            done = self.network.finish(self.states, np.stack(self.steps), self.how, self.past)
            self.tokens[:, :end], self.complete = done.T, end
        fresh = self.tokens[:, self.taken : self.complete].copy()
        self.taken = self.complete
        pause = self.pause if over else 0.0
        return StepOutput(self, fresh, over, pause, self.number - 1, drawn, marks)


def livelier(how: Sampling) -> Sampling:
    """The same without truncation and at full temperature, to get out of a rut."""
    free = {"temperature": max(1.0, how.temperature), "top_k": 0, "top_p": 1.0, "min_p": 0.0}
    return how.model_copy(update=free)


class Engine:
    """Takes the steps of all talks that are in it."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.talks: list[Talk] = []
        self._cache: Any = None  # the rows of the first `_joined` talks, in their order
        self._joined = 0

    def add(self, talk: Talk) -> None:
        """Lets a talk join at the next step."""
        self.talks.append(talk)

    def remove(self, talk: Talk) -> None:
        """Lets a talk leave, said or not; it may come back."""
        if self.talks.index(talk) < self._joined:
            owners = [each for each in self.talks[: self._joined] for _ in range(each.rows)]
            own = [row for row, owner in enumerate(owners) if owner is talk]
            rest = [row for row, owner in enumerate(owners) if owner is not talk]
            talk.cache = self._cache.part(own)
            self._cache = self._cache.part(rest) if rest else None
            self._joined -= 1
        self.talks.remove(talk)

    def step(self) -> list[StepOutput]:
        """One step of every talk; what it made complete. Those that are said leave."""
        network, grid = self.network, self.network.grid
        if self._joined < len(self.talks):
            fresh = [talk.cache for talk in self.talks[self._joined :]]
            first = self._cache if self._joined else fresh.pop(0)
            self._cache = first.join(fresh)
            self._joined = len(self.talks)
        owners = [(talk, row == 0) for talk in self.talks for row in range(talk.rows)]
        texts = [talk.text for talk, _ in owners]
        token, age = self._cursors(owners)
        slots = np.stack([talk.slots for talk, _ in owners])
        number = np.array([talk.number for talk, _ in owners])
        now = {talk: talk.now() for talk in self.talks}
        state = network.step(slots, number, texts, token, age, self._cache)
        for inside in range(grid.patch):
            chance = network.advance(state, inside, texts, token, age)
            for (talk, told), risk in zip(owners, chance.tolist(), strict=True):
                closes = talk.number % grid.period == grid.period - 1
                if told and closes and talk.cursor.frames is None:
                    talk.cursor.advance(risk)
            token, age = self._cursors(owners)
        outputs = []
        for alike in _alike(now):
            how, streams, marks = now[alike[0]]
            own = [[i for i, (owner, _) in enumerate(owners) if owner is talk] for talk in alike]
            rows = [row for kind in zip(*own, strict=True) for row in kind]
            pasts = [talk.past for talk in alike]
            drawn = network.draw(state, rows, marks, streams, how, pasts)
            outputs += [
                talk.take(slots, marks, state, mine)
                for talk, slots, mine in zip(alike, drawn, own, strict=False)  # guided: twice
            ]
        for output in outputs:
            if output.over:
                self._follow(output.talk)
        return outputs

    def _cursors(self, owners: Sequence[tuple[Talk, bool]]) -> tuple[Array, Array]:
        """Tokens and ages [R] of the rows; a row that is not told the text has the token -1."""
        streamed = self.network.streamed
        told = [streamed and first and talk.cursor.frames is None for talk, first in owners]
        cursors = [talk.cursor for talk, _ in owners]
        token = [cursor.token if known else -1 for cursor, known in zip(cursors, told, strict=True)]
        return np.array(token), np.array([cursor.age for cursor in cursors])

    def _follow(self, talk: Talk) -> None:
        """After the end of a sentence: the next one, or none."""
        sentence = next(talk.sentences, None)
        if sentence is None:
            self.remove(talk)
        elif self.network.streamed and talk.fits(sentence):
            talk.follow(sentence)
        else:  # which is work for its own rows
            self.remove(talk)
            talk.follow(sentence)
            self.add(talk)


def _alike(now: dict[Talk, tuple[How, tuple[int, ...], tuple[float, ...]]]) -> list[list[Talk]]:
    """Talks whose steps can be drawn together."""
    if len(now) == 1:
        return [list(now)]
    groups: dict[Any, list[Talk]] = {}
    for talk, (how, streams, marks) in now.items():
        # NaN is not itself; and a head may look at the steps before.
        groups.setdefault((how, streams, str(marks), len(talk.past.steps)), []).append(talk)
    return list(groups.values())
