"""A model in torch, as the engine needs it: its networks, and the codec that sounds them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from codeclm import checkpoint
from codeclm.codecs import Codec, CodecSpec, codec_of
from codeclm.codecs.latents import Scale
from codeclm.data_prep.text import load_tokenizer
from codeclm.tts.backbone import Decoder, below
from codeclm.tts.draw import Draw
from codeclm.tts.flops import step_weights
from codeclm.tts.generate import TTS
from codeclm.tts.heads import DepthHead
from codeclm.tts.model import ModelConfig, SpeechLM
from codeclm.tts.past import Past
from codeclm.tts.pretrained import Backbone, make_decoder
from codeclm.tts.runtime import Network, State
from codeclm.tts.sampling import Sampling
from codeclm.tts.voice import Voice, stock_voices

Array = NDArray[Any]


class TorchNetwork(Network):
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
        self.xp, self.model = torch, model.eval().requires_grad_(False)
        self.decoder = _give(model, weights, llm)
        layout = model.layout
        self.grid, self.drawn = layout.grid, layout.drawn
        self.marks = (layout.before, layout.after)
        self.rate, self.streamed = rate, model.config.text == "stream"
        self.guides, self.ages, self.silent = model.head.guides, model.ages.weight, model.silent
        given = sum(t.nbytes for name, t in weights.items() if name.startswith(_bodies(model)))
        self.step_bytes = given + 4 * step_weights(self.model)

    @torch.inference_mode()
    def text(self, ids: Sequence[int]) -> Tensor:
        encoded: Tensor = self.model.text(torch.tensor([list(ids)]))[0]
        return encoded

    def start(self) -> Any:
        return self.decoder.start()

    @torch.inference_mode()
    def run(self, slots: Array, number: Array, heard: Tensor, cache: Any) -> State:
        said = self.model.said(torch.from_numpy(slots), torch.from_numpy(number))
        state = self.decoder(said + heard, cache)[:, -1]
        return State(state, self._chance(state) if self.model.within is None else None)

    @torch.inference_mode()
    def read(self, text: Tensor, cache: Any) -> None:
        """Without the reader of slots, which has nothing to read here."""
        self.decoder((text + self.ages[0])[None], cache)

    @torch.inference_mode()
    def frame(self, state: Tensor, inside: int, heard: Tensor) -> tuple[Tensor, Array]:
        state = self.model.frame(state, heard, inside)
        return state, self._chance(state)

    def _chance(self, state: Tensor) -> Array:
        chance: Tensor = self.model.advance(state)[:, 0].sigmoid()
        return chance.numpy()

    @torch.inference_mode()
    def sample(self, hidden: Tensor, slots: Array, streams: Sequence[int], draw: Draw) -> Array:
        of = torch.tensor(streams)
        return self.model.head.sample(hidden, torch.from_numpy(slots), of, draw).numpy()

    @torch.inference_mode()
    def finish(
        self, states: Sequence[Tensor], slots: Array, how: Sequence[Sampling], past: Past
    ) -> Array:
        hidden = torch.stack(list(states), dim=1)  # [rows, S, D]
        drawn = torch.from_numpy(slots).expand(len(hidden), -1, -1)
        return self.model.head.finish(hidden, drawn, Draw(how, [past], torch))[0].numpy()


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

    def decode(self, frames: Array, state: Any, last: bool) -> tuple[Array, Any]:
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
    voices, aligner = stock_voices(saved.folder), saved.folder / checkpoint.ALIGNER
    return speaker(config, speaks, saved.weights(), saved.meta, voices, aligner)


def speaker(
    config: ModelConfig,
    codec: Codec,
    weights: Mapping[str, Tensor],
    meta: Mapping[str, Any],
    voices: Mapping[str, Voice],
    aligner: Path | None = None,
) -> TTS:
    """A model that speaks, from its weights and the facts of its folder.

    These are `tokenizer` and, if there are, `scale`, `sampling` and `llm`. Without an aligner it
    takes no transcripts of voices.
    """
    tokenizer = load_tokenizer(meta["tokenizer"])
    model = SpeechLM(config, codec.spec, len(tokenizer.tokens), trains=False)
    network = TorchNetwork(model, weights, codec.spec.frame_rate, meta.get("llm"))
    sound = TorchSound(codec, Scale(**meta["scale"]) if "scale" in meta else None)
    return TTS(network, sound, tokenizer, dict(voices), dict(meta), aligner)


def _give(
    model: SpeechLM, weights: Mapping[str, Tensor], llm: Mapping[str, Any] | None
) -> Backbone:
    """Gives a model that was built with `trains=False` its weights, and a decoder the others."""
    model.load_state_dict({k: t for k, t in weights.items() if not k.startswith(_bodies(model))})
    if isinstance(model.head, DepthHead):
        model.head.decoder = Decoder(model.config.local, below(weights, "head.body."))
    backbone = below(weights, "backbone.")
    if llm is not None:
        return make_decoder(llm, backbone, model.config.attention)
    return Decoder(model.config, backbone)


def _bodies(model: SpeechLM) -> tuple[str, ...]:
    """What the names of the weights begin with that decoders have."""
    return ("backbone.", "head.body.") if isinstance(model.head, DepthHead) else ("backbone.",)
