"""`parallel`, also called `frame`: one step a frame, all streams in it.

    step      0    1    2    3
    slot 0    a0   a1   a2   a3
    slot 1    b0   b1   b2   b3
    slot 2    c0   c1   c2   c3

With a head that draws all slots at once it is the parallel layout of Koel-TTS and MagpieTTS, made
for streams that do not depend on each other. With one that goes through the slots of a frame one
after another it is the frame of Moshi's and CSM's depth transformers.
"""

from codeclm.codecs.base import Stream
from codeclm.tts.grid import Grid
from codeclm.tts.layouts.base import Layout


class Frame(Layout):
    """S = T steps of C = K slots."""

    def __init__(self, streams: tuple[Stream, ...]) -> None:
        count = len(streams)
        super().__init__(Grid(count, (tuple(range(count)),), ((0,) * count,)))
