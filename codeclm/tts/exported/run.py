"""Speaks from exported graphs: no torch, no transformers, one thread.

A model folder with a folder `onnx` in it is loaded here where `onnxruntime` is installed, and by
`tts.network` elsewhere; both say the same.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codeclm.checkpoint import ALIGNER
from codeclm.codecs.base import EMPTY, END, CodecSpec
from codeclm.data_prep.text import load_tokenizer
from codeclm.tts.draw import Draw
from codeclm.tts.exported.draw import OnnxHead
from codeclm.tts.exported.memory import Cache, Memory, Session
from codeclm.tts.exported.sound import OnnxSound
from codeclm.tts.generate import TTS
from codeclm.tts.grid import Grid
from codeclm.tts.runtime import Network, State
from codeclm.tts.voice import stock_voices

Array = NDArray[Any]

GRAPHS, FACTS = "onnx", "graphs.json"


class OnnxNetwork(Network):
    """A model over graphs.

    Args:
        facts: that were written with them.
        graphs: the sessions by name.
        weights: of the model, by name.
    """

    def __init__(
        self, facts: Mapping[str, Any], graphs: Mapping[str, Session], weights: Mapping[str, Array]
    ) -> None:
        self.xp, self.grid = np, Grid.from_dict(facts["grid"])
        self.drawn, self.rate, self.streamed = facts["drawn"], facts["rate"], facts["streamed"]
        self.marks = (math.nan, math.nan) if facts["latents"] else (EMPTY, END)
        self.graphs, self.memory = graphs, Memory(facts["shape"])
        self.head = OnnxHead(facts["head"], graphs, weights)
        self.guides = self.head.kind == "flow"
        self.ages, self.silent = weights["ages.weight"], weights["silent"]

    def text(self, ids: Sequence[int]) -> Any:
        return self.graphs["text"](ids=np.array([ids], np.int64))["text"][0]

    def start(self) -> Cache:
        return self.memory.start()

    def run(self, slots: Array, number: Array, heard: Array, cache: Cache) -> State:
        given = {"slots": slots, "number": number, "text": heard}
        found = self.memory.step(self.graphs["step"], given, cache, slots.shape[1])
        return State(found["state"], found.get("chance"))

    def frame(self, state: Array, inside: int, heard: Array) -> tuple[Array, Array]:
        found = self.graphs["frame"](state=state, text=heard, inside=np.array(inside))
        return found["frame"], found["chance"]

    def sample(self, hidden: Array, slots: Array, streams: Sequence[int], draw: Draw) -> Array:
        return self.head.sample(hidden, slots, streams, draw)

    def finish(self, *_: Any) -> Array:
        raise NotImplementedError("a model whose steps leave something open is not exported")


def load(folder: Path) -> TTS:
    """`generate.load_tts` of a folder that holds graphs.

    Raises:
        ValueError: something in it is damaged or missing.
    """
    try:
        meta = json.loads((folder / "meta.json").read_text("utf-8"))
        facts = json.loads((folder / GRAPHS / FACTS).read_text("utf-8"))
        if facts["config"] != config_mark(folder):
            raise ValueError("it was trained anew since its graphs were written")
        model = read_weights(folder)
        lies = folder / facts["codec"]
        about = json.loads((lies / "meta.json").read_text("utf-8"))
        weights = model | {f"codec.{k}": v for k, v in read_weights(lies).items()}
        vocoder = read_weights(lies / about["vocoder"])
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"cannot load {folder} ({error}); export the model again") from None
    weights |= {f"vocoder.{name}": array for name, array in vocoder.items()}
    graphs = {
        name: Session(folder / GRAPHS / f"{name}.onnx", weights, names)
        for name, names in facts["graphs"].items()
    }
    network = OnnxNetwork(facts, graphs, model)
    noise = np.load(folder / GRAPHS / "noise.npy").astype(np.float32)
    spec = CodecSpec.from_dict(meta["codec"])
    sound = OnnxSound(spec, facts["sound"], graphs["sound"], noise, meta.get("scale"), lies)
    tokenizer = load_tokenizer(meta["tokenizer"])
    return TTS(network, sound, tokenizer, stock_voices(folder), meta, folder / ALIGNER)


def config_mark(folder: Path) -> str:
    """Of the configuration that graphs were written for."""
    return hashlib.sha256((folder / "config.yaml").read_bytes()).hexdigest()[:16]


def read_weights(folder: Path) -> dict[str, Array]:
    """The weights of a model folder in single precision."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = folder / "weights.safetensors"
    try:
        return {name: array.astype(np.float32) for name, array in load_file(path).items()}
    except SafetensorError as error:
        raise ValueError(f"{path}: {error}") from None
