"""Token layouts: which cells of the token matrix a language model draws at which step.

A layout knows no network. It packs matrices [B, K, T] into slots [B, S, C], unpacks them again, and
says after which step which frames are complete. Heads (`tts.heads`) say how a step is drawn.
"""

from codeclm.codecs.base import EMPTY, END
from codeclm.tts.layouts.base import Layout
from codeclm.tts.layouts.coarse_first import CoarseFirst
from codeclm.tts.layouts.delay import Delay
from codeclm.tts.layouts.flatten import Flatten
from codeclm.tts.layouts.frame import Frame
from codeclm.tts.layouts.patch import Patch

LAYOUTS: dict[str, type[Layout]] = {
    "flatten": Flatten,
    "delay": Delay,
    "parallel": Frame,
    "frame": Frame,
    "coarse_first": CoarseFirst,
    "patch": Patch,
}

__all__ = ["EMPTY", "END", "LAYOUTS", "CoarseFirst", "Delay", "Flatten", "Frame", "Layout", "Patch"]
