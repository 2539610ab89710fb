"""Which cell of the token matrix each slot of each step holds, in plain numbers.

The arithmetic of a layout, without a network or a tensor: the engine follows it wherever the
networks run.
"""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Grid:
    """Steps of C slots that go through a matrix of K streams; they repeat every `period` steps.

    Attributes:
        rows: K.
        streams: [period][C], the stream of each slot.
        frames: [period][C], its frame, counted from the first that begins in the period; below 0
            for what lags behind.
        patch: frames that a period moves on by.
        whole: nothing is complete before everything is.
    """

    rows: int
    streams: tuple[tuple[int, ...], ...]
    frames: tuple[tuple[int, ...], ...]
    patch: int = 1
    whole: bool = False

    @property
    def period(self) -> int:
        """Steps after which the slots begin again, `patch` frames on."""
        return len(self.streams)

    @property
    def slots(self) -> int:
        """C."""
        return len(self.streams[0])

    @property
    def lag(self) -> int:
        """Frames by which the last stream is behind the first."""
        return -min(0, *(frame for step in self.frames for frame in step))

    def cells(self, step: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Streams and frames of the slots of a step; frames below 0 are before the utterance."""
        number, place = divmod(step, self.period)
        first = number * self.patch
        return self.streams[place], tuple(first + frame for frame in self.frames[place])

    def steps(self, frames: int) -> int:
        """Steps that an utterance of so many frames takes."""
        return (-(-frames // self.patch) + self.lag) * self.period

    def ready(self, step: int) -> int:
        """Frames complete, and fit to be decoded, once steps 0 to `step` are known."""
        return 0 if self.whole else max(0, (step + 1) // self.period * self.patch - self.lag)

    def to_dict(self) -> dict[str, Any]:
        """A JSON object that `from_dict` reads back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Grid":
        """The inverse of `to_dict`."""
        streams, frames = (tuple(map(tuple, data[name])) for name in ("streams", "frames"))
        return cls(**{**data, "streams": streams, "frames": frames})
