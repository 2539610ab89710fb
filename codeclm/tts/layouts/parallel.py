"""`parallel`: one step a frame, all streams at once.

    step      0    1    2    3
    stream 0  a0   a1   a2   a3
    stream 1  b0   b1   b2   b3
    stream 2  c0   c1   c2   c3

Made for streams that do not depend on each other, such as the groups of FSQ (Koel-TTS, MagpieTTS).
"""

import torch
from torch import Tensor

from codeclm.codecs.base import Stream


class Parallel:
    """The parallel layout of K streams: S = T steps of C = K slots."""

    def __init__(self, streams: tuple[Stream, ...]) -> None:
        dependent = [k for k, stream in enumerate(streams) if stream.depends_on]
        if dependent:
            raise ValueError(
                f"layout `parallel` draws all streams of a frame at once, but streams {dependent} "
                "of this codec depend on earlier ones; use a codec with independent streams (FSQ)"
            )
        self.slots = len(streams)

    def pack(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Codes [B, K, T] to slots [B, S, C] and their mask [B, S, C]."""
        slots = codes.transpose(1, 2)
        return slots, torch.ones_like(slots, dtype=torch.bool)

    def unpack(self, slots: Tensor) -> Tensor:
        """Slots [B, S, C] to the codes [B, K, T] of the complete frames."""
        return slots.transpose(1, 2)

    def ready(self, step: int) -> int:
        """Frames complete once steps 0 to `step` are known."""
        return step + 1
