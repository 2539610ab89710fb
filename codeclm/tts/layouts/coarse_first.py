"""`coarse_first`: the first stream step by step, then each other in one pass over all frames.

    step      0    1    2    3    pass 1          pass 2
    slot 0    a0   a1   a2   a3
    slot 1                        b0 b1 b2 b3
    slot 2                                        c0 c1 c2 c3

The first stream says what is spoken and how long it takes; the rest is filled in with the whole
utterance in sight (AudioLM's coarse to fine, VALL-E's second model). Nothing can be heard before
the last pass.
"""

from codeclm.codecs.base import Stream
from codeclm.tts.grid import Grid
from codeclm.tts.layouts.base import Layout


class CoarseFirst(Layout):
    """S = T steps of C = K slots, of which the steps draw slot 0 and passes the others."""

    def __init__(self, streams: tuple[Stream, ...]) -> None:
        count = len(streams)
        super().__init__(Grid(count, (tuple(range(count)),), ((0,) * count,), whole=True), drawn=1)
        if any(s.role == "semantic" for s in streams) and streams[0].role != "semantic":
            raise ValueError("layout `coarse_first` begins with stream 0, which is not semantic")

    def order(self, stream: int) -> int:
        return stream
