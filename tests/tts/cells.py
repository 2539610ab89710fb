"""Small cells of every kind, and utterances to try them on."""

from types import SimpleNamespace

import numpy as np
import torch

from codeclm.codecs import CodecSpec, Stream
from codeclm.data_prep.shards import Item
from codeclm.tts.backbone import Sizes
from codeclm.tts.generate import TTS, speaking
from codeclm.tts.model import ModelConfig, SpeechLM

FSQ = (Stream(size=36, levels=(6, 6)),) * 3
RVQ = tuple(Stream(size=16, depends_on=tuple(range(k))) for k in range(3))
SEMANTIC = (Stream(size=16, role="semantic"), *RVQ[1:])
VOCABULARY = 20
SIZES = {"width": 32, "depth": 2, "heads": 2, "inner": 64, "text_width": 16, "text_depth": 1}
SIZES |= {"frame_dropout": 0.0, "local": Sizes(width=32, depth=2, heads=2, inner=64)}
POINTS = {"classes": "levels", "read": "points"}

CELLS = {
    "flatten": (SEMANTIC, {"layout": "flatten"}),
    "flatten-levels": (FSQ, {"layout": "flatten", "sequence": (2, 0, 1), **POINTS}),
    "delay": (RVQ, {"layout": "delay"}),
    "delay-mean": (RVQ, {"layout": "delay", "offsets": (0, 2, 3), "mean": True}),
    "delay-depth": (SEMANTIC, {"layout": "delay", "offsets": (0, 1, 1), "head": "depth"}),
    "depth": (RVQ, {"layout": "frame", "head": "depth", "share": 1.0}),
    "depth-levels": (FSQ, {"layout": "frame", "head": "depth", "share": 1.0, **POINTS}),
    "parallel": (FSQ, {"layout": "parallel"}),
    "parallel-levels": (FSQ, {"layout": "parallel", **POINTS}),
    "masked": (RVQ, {"layout": "frame", "head": "masked", "rounds": 2}),
    "masked-levels": (FSQ, {"layout": "frame", "head": "masked", "rounds": 3, **POINTS}),
    "coarse_first": (SEMANTIC, {"layout": "coarse_first", "head": "stages"}),
    "coarse_first-levels": (FSQ, {"layout": "coarse_first", "head": "stages", **POINTS}),
}


def cell(name: str, text: str = "stream") -> tuple[tuple[Stream, ...], ModelConfig]:
    """Streams and configuration of a cell."""
    streams, options = CELLS[name]
    return streams, ModelConfig(**SIZES, **options, text=text)


def make_items(streams: tuple[Stream, ...], count: int = 6, speakers: int = 2) -> list[Item]:
    """Utterances of eight tokens with random codes."""
    rng = np.random.default_rng(0)
    items = []
    for i in range(count):
        durations = rng.integers(1, 4, size=8)
        codes = rng.integers(0, streams[0].size, (len(streams), durations.sum()))
        ids = tuple(rng.integers(1, VOCABULARY, size=8).tolist())
        spent = tuple(durations.tolist())
        short = torch.from_numpy(codes).to(torch.int16)
        items.append(Item(str(i), f"s{i % speakers}", "train", ids, short, spent))
    return items


def bare_tts(model: SpeechLM, streams: tuple[Stream, ...]) -> TTS:
    """A speaker with the weights of a model in training, and no codec: ask only for `frames`."""
    spec = CodecSpec("toy", "toy", 24_000, 960, streams, True, 0, "0" * 16)
    bare = SpeechLM(model.config, streams, VOCABULARY, trains=False)
    decoder = speaking(bare, model.state_dict())
    return TTS(bare, decoder, SimpleNamespace(spec=spec), None, {}, {})
