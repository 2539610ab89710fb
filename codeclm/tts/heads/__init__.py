"""Heads: how one hidden state of the backbone becomes the codes of one step.

A head has `loss` and `sample` side by side, so that what is learnt and what is drawn stay one
thing.
"""

from codeclm.tts.heads.levels import LevelHead

HEADS = {"levels": LevelHead}

__all__ = ["HEADS", "LevelHead"]
