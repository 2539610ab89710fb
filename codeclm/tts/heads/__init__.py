"""Heads: how one hidden state of the backbone becomes the tokens of one step."""

from codeclm.tts.heads.base import Head
from codeclm.tts.heads.consistency import ConsistencyHead
from codeclm.tts.heads.depth import DepthHead
from codeclm.tts.heads.flow import FlowHead
from codeclm.tts.heads.linear import LinearHead
from codeclm.tts.heads.masked import MaskedHead
from codeclm.tts.heads.stages import StagesHead

HEADS: dict[str, type[Head]] = {
    "linear": LinearHead,
    "depth": DepthHead,
    "masked": MaskedHead,
    "stages": StagesHead,
    "flow": FlowHead,
    "consistency": ConsistencyHead,
}

__all__ = [
    "HEADS",
    "ConsistencyHead",
    "DepthHead",
    "FlowHead",
    "Head",
    "LinearHead",
    "MaskedHead",
    "StagesHead",
]
