"""`delay`: one step a frame, each stream so many steps behind.

    step      0    1    2    3    4    5
    slot 0    a0   a1   a2   a3   |    |
    slot 1    .    b0   b1   b2   b3   |
    slot 2    .    .    c0   c1   c2   c3

With offsets 0, 1, 2 ... every stream sees the earlier ones of its frame, and K streams cost K - 1
steps an utterance (MusicGen, Parler-TTS). Moshi has 0, 1, 1 ... and a depth transformer, Dia 0, 8,
9 ... 15. The speech is over when the first stream is; the others follow, each with its own end.
"""

from codeclm.codecs.base import Stream
from codeclm.tts.grid import Grid
from codeclm.tts.layouts.base import Layout


class Delay(Layout):
    """S = T + max(offsets) steps of C = K slots.

    Args:
        offsets: [K] steps that each stream is behind, the smallest 0; empty: 0, 1, 2 ...
    """

    def __init__(self, streams: tuple[Stream, ...], offsets: tuple[int, ...] = ()) -> None:
        count = len(streams)
        self.offsets = offsets or tuple(range(count))
        if len(self.offsets) != count or min(self.offsets) != 0:
            raise ValueError(
                f"layout `delay`: offsets {list(self.offsets)} do not fit: give one for each of "
                f"the {count} streams, the smallest 0"
            )
        for k, stream in enumerate(streams):
            if stream.role == "semantic" and self.offsets[k] > min(self.offsets):
                raise ValueError(
                    f"layout `delay`: the semantic stream {k} must lead: give it the offset 0"
                )
        behind = tuple(-offset for offset in self.offsets)
        super().__init__(Grid(count, (tuple(range(count)),), (behind,)))
