"""Speaks from exported graphs: no torch, no transformers, one thread.

A model folder with a folder `onnx` in it is loaded here where `onnxruntime` is installed, and by
`tts.network` elsewhere; both say the same.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codeclm.codecs.base import EMPTY, END, CodecSpec
from codeclm.data_prep.text import load_tokenizer
from codeclm.tts.draw import Draw
from codeclm.tts.exported.draw import cost, make_head, scores_of
from codeclm.tts.exported.memory import Cache, Memory, Session
from codeclm.tts.exported.sound import OnnxSound
from codeclm.tts.follow import follow, sounding
from codeclm.tts.generate import TTS
from codeclm.tts.grid import Grid
from codeclm.tts.past import Past
from codeclm.tts.sampling import Sampling
from codeclm.tts.voice import stock_voices

Array = NDArray[Any]

GRAPHS, FACTS = "onnx", "graphs.json"


@dataclass
class State:
    """Of one step: the backbone's states [R, D], those of the frames so far, and their chances."""

    step: Array
    chance: Array | None
    frames: list[Array] = field(default_factory=list)

    @property
    def hidden(self) -> Array:
        """What the head draws from, [R, P * D]."""
        return self.frames[0] if len(self.frames) == 1 else np.concatenate(self.frames, axis=-1)


class OnnxNetwork:
    """`engine.Network` over graphs.

    Args:
        facts: that were written with them.
        graphs: the sessions by name.
        weights: of the model, by name.
    """

    def __init__(
        self, facts: Mapping[str, Any], graphs: Mapping[str, Session], weights: Mapping[str, Array]
    ) -> None:
        self.grid = Grid.from_dict(facts["grid"])
        self.drawn, self.rate, self.streamed = facts["drawn"], facts["rate"], facts["streamed"]
        self.latents = facts["latents"]
        self.marks = (float("nan"), float("nan")) if self.latents else (EMPTY, END)
        self.guides = facts["head"]["kind"] == "flow"
        self.graphs, self.memory = graphs, Memory(facts["shape"])
        self.ages, self.silent = weights["ages.weight"], weights["silent"]
        self.facts = facts["head"]
        self.head = make_head(self.facts, graphs, weights)

    def text(self, ids: Sequence[int]) -> Array:
        """The vectors of a sentence, [L, D]."""
        found: Array = self.graphs["text"](ids=np.array([ids], np.int64))["text"][0]
        return found

    def twice(self, how: Sequence[Sampling]) -> bool:
        return how[0].guidance != 1.0 and not self.guides

    def start(self) -> Cache:
        return self.memory.start()

    def copy(self, cache: Cache) -> Cache:
        return self.memory.copy(cache)

    def join(self, caches: Sequence[Cache]) -> Cache:
        return self.memory.join(caches)

    def part(self, cache: Cache, rows: Sequence[int]) -> Cache:
        return self.memory.part(cache, rows)

    def hear(self, tokens: Array, cache: Cache, ids: Sequence[int] = ()) -> None:
        slots = self.pack(tokens)
        token = np.full(len(slots), -1)
        age, text = np.zeros_like(token), self.silent[None]
        if ids and not self.streamed:
            self.read(self.text(ids), cache)
        elif ids and self.grid.patch == 1:
            text = self.text(ids)
            frames = np.arange(len(slots)) // self.grid.period
            token, age = sounding(follow(self, ids, tokens), frames)
        before = np.full_like(slots, self.marks[0])
        before[1:] = slots[:-1]
        heard = self._heard([text] * len(slots), token, age)
        self._run(before[None], np.arange(len(slots))[None], heard[None], cache)

    def read(self, text: Array, cache: Cache) -> None:
        nothing = np.zeros(
            (1, len(text), self.grid.slots), np.float32 if self.latents else np.int64
        )
        self._run(nothing, np.full((1, len(text)), -1), (text + self.ages[0])[None], cache)

    def step(
        self,
        slots: Array,
        number: Array,
        texts: Sequence[Array],
        token: Array,
        age: Array,
        cache: Cache,
    ) -> State:
        heard = self._heard(texts, token, age)[:, None]
        found = self._run(slots[:, None], number[:, None], heard, cache)
        return State(found["state"], found.get("chance"))

    def advance(
        self, state: State, inside: int, texts: Sequence[Array], token: Array, age: Array
    ) -> Array:
        if state.chance is not None:
            state.frames.append(state.step)
            return state.chance
        heard = self._heard(texts, token, age)
        found = self.graphs["frame"](state=state.step, text=heard, inside=np.array(inside))
        state.frames.append(found["frame"])
        return found["chance"]

    def draw(
        self,
        state: State,
        rows: Sequence[int],
        marks: Sequence[float],
        streams: Sequence[int],
        how: Sequence[Sampling],
        pasts: Sequence[Past],
    ) -> Array:
        hidden = state.hidden
        if list(rows) != list(range(len(hidden))):
            hidden = hidden[list(rows)]
        kind = np.float32 if self.latents else np.int64
        slots = np.broadcast_to(np.array(marks, kind), (len(rows), len(marks)))
        return self.head(hidden, slots, streams, Draw(how, pasts, np))

    def states(self, state: State, rows: Sequence[int]) -> Array:
        return state.hidden[list(rows)]

    def finish(
        self, states: Sequence[Array], slots: Array, how: Sequence[Sampling], past: Past
    ) -> Array:
        raise NotImplementedError("a model whose steps leave something open is not exported")

    def pack(self, tokens: Array) -> Array:
        """The steps [S, C] of a token matrix [K, T]."""
        count = tokens.shape[1]
        cells = [self.grid.cells(step) for step in range(self.grid.steps(count))]
        streams, frames = (np.array([cell[i] for cell in cells]) for i in (0, 1))
        slots = tokens[streams, frames.clip(0, count - 1)]
        slots = np.where(frames < 0, tokens.dtype.type(self.marks[0]), slots)
        found: Array = np.where(frames >= count, tokens.dtype.type(self.marks[1]), slots)
        return found

    def surprise(self, state: State, slots: Array, streams: Sequence[int]) -> Array:
        """Nats [R] that one and the same step [C] costs after each row of a state."""
        if self.facts["kind"] != "linear":
            raise ValueError(
                f"an exported head `{self.facts['kind']}` cannot follow the transcript of a voice: "
                "make the voice without one"
            )
        scores = scores_of(self.facts, self.graphs, state.hidden, streams)
        said = np.broadcast_to(slots, scores.shape[:2])
        nats: Array = cost(scores, said, self.facts["digits"]).sum(1)
        return nats

    def _run(self, slots: Array, number: Array, text: Array, cache: Cache) -> dict[str, Array]:
        given = {"slots": slots, "number": number, "text": text}
        return self.memory.step(self.graphs["step"], given, cache, slots.shape[1])

    def _heard(self, texts: Sequence[Array], token: Array, age: Array) -> Array:
        """What the text adds to each row, [R, D]."""
        last = len(self.ages) - 1
        each = [
            text[now] + self.ages[min(since, last)] if now >= 0 else self.silent
            for text, now, since in zip(texts, token.tolist(), age.tolist(), strict=True)
        ]
        return np.stack(each)


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
    return TTS(network, sound, tokenizer, stock_voices(folder), meta)


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
