"""What every layout is: a map between the cells of a token matrix and the steps of a model."""

from typing import ClassVar

import torch
from torch import Tensor

from codeclm.codecs.base import EMPTY, END
from codeclm.tts.grid import Grid


class Layout:
    """Index arithmetic between token matrices [B, K, T] and slots [B, S, C]; no network.

    A slot holds a code, or a mark that is no code: `EMPTY` before its stream begins, `END` when its
    stream is over and others are not. Every code from 0 on is sound. The numbers of latents have
    NaN for a mark.

    Attributes:
        before, after: the marks of slots whose stream has not begun, and whose stream is over.
        grid: which cells the slots of a step hold.
        streams: K.
        slots: C, cells a step.
        period: steps from one frame to the next.
        patch: frames a step, where it takes several.
        drawn: how many of the slots the steps themselves draw; the rest follows when all is over.
    """

    before: ClassVar[float] = EMPTY
    after: ClassVar[float] = END

    def __init__(self, grid: Grid, drawn: int | None = None) -> None:
        self.grid = grid
        self.streams, self.slots = grid.rows, grid.slots
        self.period, self.patch = grid.period, grid.patch
        self.drawn = self.slots if drawn is None else drawn

    def where(self, steps: Tensor) -> tuple[Tensor, Tensor]:
        """Streams and frames, [..., C] both, of the slots of steps [...].

        A frame below 0 is before the utterance, one past its end after it.
        """
        streams, frames = (
            torch.tensor(table, device=steps.device)[steps % self.period]
            for table in (self.grid.streams, self.grid.frames)
        )
        return streams, frames + (steps // self.period * self.patch)[..., None]

    def steps(self, frames: int) -> int:
        """Steps that an utterance of so many frames takes."""
        return self.grid.steps(frames)

    def ready(self, step: int) -> int:
        """Frames complete, and fit to be decoded, once steps 0 to `step` are known."""
        return self.grid.ready(step)

    def frames(self, steps: int) -> int:
        """Frames of an utterance of so many steps: the inverse of `steps`."""
        return max(0, steps // self.period * self.patch - self.grid.lag)

    def order(self, stream: int) -> int:
        """The step at which this stream of frame 0 is drawn; other frames follow in parallel."""
        steps = torch.arange(self.steps(1))
        streams, frames = self.where(steps)
        return int(steps[((streams == stream) & (frames == 0)).any(-1)][0])

    def pack(self, tokens: Tensor) -> Tensor:
        """Token matrices [B, K, T] to slots [B, S, C]."""
        frames = tokens.shape[2]
        stream, frame = self.where(torch.arange(self.steps(frames), device=tokens.device))
        slots = tokens[:, stream, frame.clamp(0, frames - 1)]
        return slots.masked_fill(frame < 0, self.before).masked_fill(frame >= frames, self.after)

    def unpack(self, slots: Tensor) -> Tensor:
        """Slots [B, S, C] to the token matrices [B, K, T] of the frames that are complete."""
        steps = slots.shape[1]
        frames = self.frames(steps) if steps else 0
        stream, frame = self.where(torch.arange(steps, device=slots.device))
        inside = (frame >= 0) & (frame < frames)
        tokens = slots.new_zeros(slots.shape[0], self.streams, frames)
        tokens[:, stream[inside], frame[inside]] = slots[:, inside]
        return tokens
