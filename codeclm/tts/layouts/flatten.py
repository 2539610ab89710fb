"""`flatten`: one code a step, frame after frame.

    step      0    1    2    3    4    5    6    7    8    9    10   11
    slot 0    a0   b0   c0   a1   b1   c1   a2   b2   c2   a3   b3   c3

Nothing is lost and everything is slow: K steps a frame (AudioLM, Orpheus). Any order of the streams
is possible that draws each after those it depends on. SNAC's tree, whose rectangular frame has
seven rows c0, c1a, c2a, c2b, c1b, c2c, c2d, is the plain order of its rows.
"""

from codeclm.codecs.base import Stream
from codeclm.tts.grid import Grid
from codeclm.tts.layouts.base import Layout


class Flatten(Layout):
    """S = K T steps of one slot.

    Args:
        sequence: [K] the streams of a frame in the order they are drawn; empty: semantic streams
            first, then as they stand.
    """

    def __init__(self, streams: tuple[Stream, ...], sequence: tuple[int, ...] = ()) -> None:
        semantic = [stream.role == "semantic" for stream in streams]
        count = len(streams)
        self.sequence = sequence or tuple(sorted(range(count), key=lambda k: not semantic[k]))
        if sorted(self.sequence) != list(range(count)):
            raise ValueError(
                f"layout `flatten`: the sequence {list(self.sequence)} must name each of the "
                f"{count} streams once"
            )
        if not semantic[self.sequence[0]] and any(semantic):
            raise ValueError("layout `flatten`: the sequence must begin with a semantic stream")
        super().__init__(Grid(count, tuple((k,) for k in self.sequence), ((0,),) * count))
