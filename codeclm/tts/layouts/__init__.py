"""Token layouts: index arithmetic between a code matrix and the steps of a language model.

A layout knows no network. It packs codes [B, K, T] into slots [B, S, C] with a mask of the slots
that hold a code, unpacks them again, and says after which step which frames are complete.
"""

from codeclm.tts.layouts.parallel import Parallel

LAYOUTS = {"parallel": Parallel}

__all__ = ["LAYOUTS", "Parallel"]
