"""Small cells of every kind, and utterances to try them on."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import torch

from codeclm.codecs import CodecSpec, Stream
from codeclm.data_prep.shards import Item
from codeclm.tts.backbone import Sizes
from codeclm.tts.engine import Engine, TokenizedSentence
from codeclm.tts.generate import TTS
from codeclm.tts.guard import OFF, Guards
from codeclm.tts.model import ModelConfig, SpeechLM
from codeclm.tts.network import TorchNetwork, TorchSound

FSQ = (Stream(size=36, levels=(6, 6)),) * 3
RVQ = tuple(Stream(size=16, depends_on=tuple(range(k))) for k in range(3))
SEMANTIC = (Stream(size=16, role="semantic"), *RVQ[1:])
VOCABULARY = 20
SIZES = {"width": 32, "depth": 2, "heads": 2, "inner": 64, "text_width": 16, "text_depth": 1}
LATENT = 6  # dims
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
    "flow": ((), {"layout": "patch", "head": "flow"}),
    "flow-patches": ((), {"layout": "patch", "head": "flow", "patch": 3, "history": 2}),
    "consistency": ((), {"layout": "patch", "head": "consistency"}),
    "consistency-patches": ((), {"layout": "patch", "head": "consistency", "patch": 2}),
}
CODES = [name for name in CELLS if CELLS[name][0]]
LATENTS = [name for name in CELLS if not CELLS[name][0]]


def toy(
    streams: tuple[Stream, ...], hop: int = 960, causal: bool = True, fingerprint: str = "0" * 16
) -> CodecSpec:
    """The spec of a codec with these streams; with none, of one with continuous latents."""
    dims = 0 if streams else LATENT
    return CodecSpec("toy", "toy", 24_000, hop, streams, causal, 720, fingerprint, dims)


def cell(name: str, text: str = "stream") -> tuple[CodecSpec, ModelConfig]:
    """Codec and configuration of a cell."""
    streams, options = CELLS[name]
    return toy(streams), ModelConfig(**SIZES, **options, text=text)


def make_items(spec: CodecSpec, count: int = 6, speakers: int = 2) -> list[Item]:
    """Utterances of eight text tokens with random codes or latents."""
    rng = np.random.default_rng(0)
    items = []
    for i in range(count):
        durations = rng.integers(1, 4, size=8)
        shape = (spec.rows, durations.sum())
        if spec.latent_dims:
            tokens = torch.from_numpy(rng.standard_normal(shape, np.float32))
        else:
            tokens = torch.from_numpy(rng.integers(0, spec.streams[0].size, shape)).to(torch.int16)
        ids = tuple(rng.integers(1, VOCABULARY, size=8).tolist())
        spent = tuple(durations.tolist())
        items.append(Item(str(i), f"s{i % speakers}", "train", ids, tokens, spent))
    return items


def bare_tts(
    model: SpeechLM, spec: CodecSpec, vocabulary: int = VOCABULARY, llm: dict | None = None
) -> TTS:
    """A speaker with the weights of a model in training, and no codec: for `frames_of` alone."""
    bare = SpeechLM(model.config, spec, vocabulary, trains=False)
    network = TorchNetwork(bare, model.state_dict(), spec.frame_rate, llm)
    return TTS(network, TorchSound(SimpleNamespace(spec=spec)), None, {}, {})


def frames_of(tts: TTS, ids, voice=None, sampling=None, seed=0, guards=None, counts=None):
    """Frames [K] of the token matrix of one sentence, as soon as the layout has them."""
    engine, sentence = Engine(tts.network), iter([TokenizedSentence(ids)])
    counts = Counter() if counts is None else counts
    engine.add(tts.talk(sentence, voice, sampling, seed, guards or Guards(), counts))
    while engine.talks:
        for heard in engine.step():
            yield from heard.frames.T


def said(tts: TTS, ids, how=None, guards=OFF, **options) -> torch.Tensor:
    """The token matrix [K, T] of a sentence, unguarded."""
    found = list(frames_of(tts, list(ids), sampling=how, guards=guards, **options))
    return torch.from_numpy(np.stack(found, axis=1))
