"""The networks of a model as the engine needs them, and what of it torch and ONNX Runtime share.

An `Array` is a tensor of torch (`tts.network`) or an array of numpy (`tts.exported`); caches, texts
and states are a network's own business.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codeclm.tts.draw import Array, Draw
from codeclm.tts.grid import Grid
from codeclm.tts.past import Past
from codeclm.tts.sampling import Sampling

Numbers = NDArray[Any]


@dataclass
class State:
    """Of one step of R rows.

    Attributes:
        step: [R, D], of the backbone.
        chance: [R] that the next token enters; None where each frame of the step has its own.
        frames: [R, D] each, of the frames so far.
    """

    step: Array
    chance: Numbers | None
    frames: list[Array] = field(default_factory=list)


class Network(ABC):
    """The networks of a model.

    Attributes:
        xp: whose arrays they compute with, `torch` or `numpy`.
        grid: of the layout.
        drawn: slots that steps draw; the others are filled in at the end.
        marks: of slots whose stream has not begun, and whose stream is over.
        rate: frames a second.
        streamed: text runs beside the audio.
        guides: guidance happens inside the head.
        ages: [oldest, D], what the age of a token adds to it.
        silent: [D], what is read where there is no text.
    """

    xp: Any
    grid: Grid
    drawn: int
    marks: tuple[float, float]
    rate: float
    streamed: bool
    guides: bool
    ages: Array
    silent: Array

    @abstractmethod
    def text(self, ids: Sequence[int]) -> Array:
        """What a sentence is read as, [L, D]."""

    @abstractmethod
    def start(self) -> Any:
        """An empty cache of one row.

        It has a `length`, can `copy` itself, and takes its rows apart (`part`) or others to them
        (`join`).
        """

    @abstractmethod
    def run(self, slots: Numbers, number: Numbers, heard: Array, cache: Any) -> State:
        """Steps [B, S] after slots [B, S, C], with what the text adds [B, S, D]; the last state."""

    @abstractmethod
    def frame(self, state: Array, inside: int, heard: Array) -> tuple[Array, Numbers]:
        """State [R, D] and chance [R] of a frame of a step, where each has its own."""

    @abstractmethod
    def sample(self, hidden: Array, slots: Numbers, streams: Sequence[int], draw: Draw) -> Numbers:
        """`Head.sample`."""

    @abstractmethod
    def finish(
        self, states: Sequence[Array], slots: Numbers, how: Sequence[Sampling], past: Past
    ) -> Numbers:
        """Fills in the slots [S, C] that the steps of a sentence have left open."""

    @property
    def takes_times(self) -> bool:
        """Whether it reads the text of a voice where it sounds; a step of several frames cannot."""
        return self.streamed and self.grid.patch == 1

    def twice(self, how: Sequence[Sampling]) -> bool:
        """Whether each talk needs a second row, without text and voice, to be guided by."""
        return how[0].guidance != 1.0 and not self.guides

    def hear(
        self, tokens: Numbers, cache: Any, ids: Sequence[int] = (), durations: Sequence[int] = ()
    ) -> None:
        """Reads the token matrix [K, T] of a voice, and the text that it says if that is known.

        Args:
            tokens: of the voice.
            cache: of one row, which goes on.
            ids: [L] of the text.
            durations: [L] frames that each lasts; for text that runs beside the audio.
        """
        slots = self.pack(tokens)
        steps, text = np.arange(len(slots)), None
        token, age = np.full(len(slots), -1), np.zeros(len(slots), np.int64)
        if ids and not self.streamed:
            self.read(self.text(ids), cache)
        elif ids and self.takes_times:
            text = self.text(ids)
            token, age = sounding(durations, steps // self.grid.period)
        before = np.full_like(slots, self.marks[0])
        before[1:] = slots[:-1]
        heard = self._heard([text] * len(slots), token, age)
        self.run(before[None], steps[None], heard[None], cache)

    def read(self, text: Array, cache: Any) -> None:
        """Reads a text that stands before its audio."""
        nothing: Numbers = np.zeros((1, len(text), self.grid.slots), self._kind())
        self.run(nothing, np.full((1, len(text)), -1), (text + self.ages[0])[None], cache)

    def step(
        self,
        slots: Numbers,
        number: Numbers,
        texts: Sequence[Array],
        token: Numbers,
        age: Numbers,
        cache: Any,
    ) -> State:
        """One step of R rows; the state it leads to.

        Args:
            slots: [R, C] of the step before.
            number: [R] of the step in its sentence.
            texts: of the rows.
            token: [R], that sounds now; -1 for none.
            age: [R] frames since it entered.
            cache: of R rows, which goes on.
        """
        heard = self._heard(texts, token, age)
        return self.run(slots[:, None], number[:, None], heard[:, None], cache)

    def advance(
        self, state: State, inside: int, texts: Sequence[Array], token: Numbers, age: Numbers
    ) -> Numbers:
        """Chance [R] that after frame `inside` of this step the next token enters."""
        frame, chance = state.step, state.chance
        if chance is None:
            frame, chance = self.frame(frame, inside, self._heard(texts, token, age))
        state.frames.append(frame)
        return chance

    def draw(
        self,
        state: State,
        rows: Sequence[int],
        marks: Sequence[float],
        streams: Sequence[int],
        how: Sequence[Sampling],
        pasts: Sequence[Past],
    ) -> Numbers:
        """Draws the slots [n, C] of some rows: with guidance first those with text, then without.

        Args:
            state: of the step.
            rows: n of its rows.
            marks: [C], where there is nothing to draw; 0 elsewhere.
            streams: [C].
            how: of each stream.
            pasts: of the talks.
        """
        slots: Numbers = np.array([marks] * len(rows), self._kind())
        return self.sample(self.states(state, rows), slots, streams, Draw(how, pasts, self.xp))

    def states(self, state: State, rows: Sequence[int]) -> Array:
        """What the head draws from in n of the rows, [n, P * D]."""
        frames = state.frames
        hidden = frames[0] if len(frames) == 1 else self.xp.concatenate(frames, -1)
        if list(rows) == list(range(len(hidden))):
            return hidden
        return hidden[list(rows)]

    def pack(self, tokens: Numbers) -> Numbers:
        """The steps [S, C] of a token matrix [K, T]."""
        count = tokens.shape[1]
        cells = [self.grid.cells(step) for step in range(self.grid.steps(count))]
        streams, frames = (np.array([cell[i] for cell in cells]) for i in (0, 1))
        slots: Numbers = tokens[streams, frames.clip(0, count - 1)]
        slots[frames < 0], slots[frames >= count] = self.marks
        return slots

    def _kind(self) -> Any:
        return np.float32 if np.isnan(self.marks[0]) else np.int64

    def _heard(self, texts: Sequence[Array], token: Numbers, age: Numbers) -> Array:
        """What the text adds to each row, [R, D]."""
        oldest = len(self.ages) - 1
        each = [
            text[now] + self.ages[min(since, oldest)] if now >= 0 else self.silent
            for text, now, since in zip(texts, token.tolist(), age.tolist(), strict=True)
        ]
        return self.xp.stack(each)


def sounding(durations: Sequence[int], frames: Numbers) -> tuple[Numbers, Numbers]:
    """Which token sounds in each of these frames [...], and since how many of them.

    Past the end there is none, which is written -1, of age 0.
    """
    ends = np.cumsum(durations)
    token = np.searchsorted(ends, frames, side="right")
    past = token == len(ends)
    age = frames - (ends - durations)[np.minimum(token, len(ends) - 1)]
    return np.where(past, -1, token), np.where(past, 0, age)
