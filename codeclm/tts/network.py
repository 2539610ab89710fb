"""A model in torch, as the engine needs it: its networks, and the codec that sounds them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from codeclm import checkpoint
from codeclm.codecs import Codec, CodecSpec, codec_of
from codeclm.codecs.latents import Scale
from codeclm.data_prep.text import load_tokenizer
from codeclm.tts.backbone import Decoder
from codeclm.tts.draw import Draw
from codeclm.tts.flops import step_weights
from codeclm.tts.follow import follow, sounding
from codeclm.tts.generate import TTS
from codeclm.tts.heads import DepthHead
from codeclm.tts.model import OLDEST, ModelConfig, SpeechLM
from codeclm.tts.past import Past
from codeclm.tts.pretrained import Backbone, make_decoder
from codeclm.tts.sampling import Sampling
from codeclm.tts.voice import Voice, stock_voices

Array = NDArray[Any]


@dataclass
class State:
    """Of one step: the backbone's states [R, D], and those of the frames so far, [R, D] each."""

    step: Tensor
    frames: list[Tensor] = field(default_factory=list)

    @property
    def hidden(self) -> Tensor:
        """What the head draws from, [R, P * D]."""
        return self.frames[0] if len(self.frames) == 1 else torch.cat(self.frames, dim=-1)


class TorchNetwork:
    """A model without its backbone, and the decoder that stands for it.

    Args:
        weights: of the finished model.
        llm: the config of a pretrained LLM, if that is what it was made from.

    Attributes:
        step_bytes: of the weights that a step reads.
    """

    def __init__(
        self,
        model: SpeechLM,
        weights: Mapping[str, Tensor],
        rate: float,
        llm: Mapping[str, Any] | None = None,
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.decoder = _give(model, weights, llm)
        layout = model.layout
        self.grid, self.drawn = layout.grid, layout.drawn
        self.marks = (layout.before, layout.after)
        self.rate, self.streamed = rate, model.config.text == "stream"
        decoders = ("backbone.", "head.body.") if isinstance(model.head, DepthHead) else "backbone."
        given = sum(t.nbytes for name, t in weights.items() if name.startswith(decoders))
        self.step_bytes = given + 4 * step_weights(self.model)

    def text(self, ids: Sequence[int]) -> Tensor:
        """The vectors of a sentence, [L, D]."""
        with torch.inference_mode():
            encoded: Tensor = self.model.text(torch.tensor([list(ids)]))[0]
        return encoded

    def twice(self, how: Sequence[Sampling]) -> bool:
        return how[0].guidance != 1.0 and not self.model.head.guides

    def start(self) -> Any:
        return self.decoder.start()

    @torch.inference_mode()
    def hear(self, tokens: Array, cache: Any, ids: Sequence[int] = ()) -> None:
        model, layout = self.model, self.model.layout
        slots = layout.pack(torch.from_numpy(tokens)[None])
        before = F.pad(slots[:, :-1], (0, 0, 1, 0), value=layout.before)
        steps = np.arange(slots.shape[1])
        heard: Tensor = model.silent
        if ids and not self.streamed:
            self.read(self.text(ids), cache)
        elif ids and layout.patch == 1:
            places = sounding(follow(self, ids, tokens), steps // layout.period)
            heard = model.text_at(self.text(ids), *map(torch.from_numpy, places))
        self.decoder(model.said(before, torch.from_numpy(steps)[None]) + heard, cache)

    @torch.inference_mode()
    def read(self, text: Tensor, cache: Any) -> None:
        token = torch.arange(len(text))[None]
        self.decoder(self.model.text_at(text, token, torch.zeros_like(token)), cache)

    def copy(self, cache: Any) -> Any:
        return cache.copy()

    def join(self, caches: Sequence[Any]) -> Any:
        return caches[0].join(caches)

    def part(self, cache: Any, rows: Sequence[int]) -> Any:
        return cache.part(rows)

    @torch.inference_mode()
    def step(
        self,
        slots: Array,
        number: Array,
        texts: Sequence[Tensor],
        token: Array,
        age: Array,
        cache: Any,
    ) -> State:
        said = self.model.said(torch.from_numpy(slots)[:, None], torch.from_numpy(number)[:, None])
        x = said + self._heard(texts, token, age)[:, None]
        return State(self.decoder(x, cache)[:, 0])

    @torch.inference_mode()
    def advance(
        self, state: State, inside: int, texts: Sequence[Tensor], token: Array, age: Array
    ) -> Array:
        frame = state.step
        if self.model.within is not None:
            frame = self.model.frame(frame, self._heard(texts, token, age), inside)
        state.frames.append(frame)
        chance: Tensor = self.model.advance(state.frames[-1])[:, 0].sigmoid()
        return chance.numpy()

    def _heard(self, texts: Sequence[Tensor], token: Array, age: Array) -> Tensor:
        """What the text adds to each row, [R, D]: `SpeechLM.text_at`, looked up row by row."""
        ages, silent = self.model.ages.weight, self.model.silent
        each = [
            text[now] + ages[min(since, OLDEST - 1)] if now >= 0 else silent
            for text, now, since in zip(texts, token.tolist(), age.tolist(), strict=True)
        ]
        return torch.stack(each) if len(each) > 1 else each[0][None]

    @torch.inference_mode()
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
        kind = torch.float32 if math.isnan(self.marks[0]) else torch.long
        slots = torch.tensor(marks, dtype=kind).expand(len(rows), -1)
        draw = Draw(how, pasts, torch)
        drawn = self.model.head.sample(hidden, slots, torch.tensor(streams), draw)
        return drawn.numpy()

    def pack(self, tokens: Array) -> Array:
        """The steps [S, C] of a token matrix [K, T]."""
        return self.model.layout.pack(torch.from_numpy(tokens)[None])[0].numpy()

    @torch.inference_mode()
    def surprise(self, state: State, slots: Array, streams: Sequence[int]) -> Array:
        """Nats [R] that one and the same step [C] costs after each row of a state."""
        hidden = state.hidden
        drawn = torch.from_numpy(slots).expand(len(hidden), -1)
        begin = torch.ones(len(hidden), dtype=torch.bool)
        with torch.random.fork_rng(devices=[]):  # some heads look at a random part
            torch.manual_seed(0)
            nats = self.model.head.loss(
                hidden, drawn, torch.tensor(streams).expand(len(hidden), -1), begin
            )
        cost: Tensor = nats[:, : self.drawn].sum(1)
        return cost.numpy()

    def states(self, state: State, rows: Sequence[int]) -> Tensor:
        return state.hidden[list(rows)]

    @torch.inference_mode()
    def finish(
        self, states: Sequence[Tensor], slots: Array, how: Sequence[Sampling], past: Past
    ) -> Array:
        hidden = torch.stack(list(states), dim=1)  # [rows, S, D]
        drawn = torch.from_numpy(slots).expand(len(hidden), -1, -1)
        done = self.model.head.finish(hidden, drawn, Draw(how, [past], torch))
        return done[0].numpy()


class TorchSound:
    """A codec, and the scale that a model has of its latents."""

    def __init__(self, codec: Codec, scale: Scale | None = None) -> None:
        self.codec, self.scale = codec, scale
        self.sample_rate, self.hop = codec.spec.sample_rate, codec.spec.hop

    def check(self, voice: Voice) -> None:
        voice.check(self.codec.spec, f"voice {voice.name}")

    def enter(self, voice: Voice) -> Array:
        if self.scale is None:
            return voice.tokens
        return self.scale.enter(torch.from_numpy(voice.tokens)).numpy()

    def decode(self, frames: Array, state: Any, last: bool) -> tuple[NDArray[np.float32], Any]:
        matrix = torch.from_numpy(frames)[None]
        tokens = self.codec.spec.matrix(self.scale.leave(matrix) if self.scale else matrix)
        wav, state = self.codec.decode_chunk(tokens, state, last)
        return wav[0, 0].numpy(), state


def load(name: str | Path, codec: str | Path | None = None) -> TTS:
    """`generate.load_tts`, in torch."""
    saved = checkpoint.load_speech(name)
    spec = CodecSpec.from_dict(saved.meta["codec"])
    speaks = codec_of(spec, codec, f"{name} was trained on")
    config = ModelConfig(**saved.config)
    return speaker(config, speaks, saved.weights(), saved.meta, stock_voices(saved.folder))


def speaker(
    config: ModelConfig,
    codec: Codec,
    weights: Mapping[str, Tensor],
    meta: Mapping[str, Any],
    voices: Mapping[str, Voice],
) -> TTS:
    """A model that speaks.

    Args:
        config: of the model.
        codec: that it speaks.
        weights: of the finished model.
        meta: facts of its folder; `tokenizer`, and if there are `scale`, `sampling`, `llm`.
        voices: stock voices.
    """
    tokenizer = load_tokenizer(meta["tokenizer"])
    model = SpeechLM(config, codec.spec, len(tokenizer.tokens), trains=False)
    network = TorchNetwork(model, weights, codec.spec.frame_rate, meta.get("llm"))
    sound = TorchSound(codec, Scale(**meta["scale"]) if "scale" in meta else None)
    return TTS(network, sound, tokenizer, dict(voices), dict(meta))


def _give(
    model: SpeechLM, weights: Mapping[str, Tensor], llm: Mapping[str, Any] | None
) -> Backbone:
    """Gives a model that was built with `trains=False` its weights, and a decoder the others."""
    bodies: dict[str, dict[str, Tensor]] = {"backbone.": {}}
    if isinstance(model.head, DepthHead):
        bodies["head.body."] = {}
    rest: dict[str, Tensor] = {}
    for key, tensor in weights.items():
        prefix = next((p for p in bodies if key.startswith(p)), "")
        bodies.get(prefix, rest)[key.removeprefix(prefix)] = tensor
    model.load_state_dict(rest)
    if isinstance(model.head, DepthHead):
        model.head.decoder = Decoder(model.config.local, bodies["head.body."])
    if llm is not None:
        return make_decoder(llm, bodies["backbone."], model.config.attention)
    return Decoder(model.config, bodies["backbone."])
