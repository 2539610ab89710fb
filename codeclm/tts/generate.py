"""Speech from a model: `load_tts("starter").speak("Hello.")`, whole or frame by frame.

A voice is run through the backbone once; every sentence starts from a copy of that cache. `speak`
joins what `stream` yields, so that both are the same sound.
"""

import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from codeclm import checkpoint
from codeclm.codecs import Codec, CodecSpec, codec_of
from codeclm.codecs.latents import Scale
from codeclm.data_prep.text import Tokenizer, load_tokenizer
from codeclm.tts.backbone import Decoder
from codeclm.tts.heads import DepthHead
from codeclm.tts.model import ModelConfig, SpeechLM
from codeclm.tts.pretrained import Backbone, make_decoder
from codeclm.tts.sampling import Draw, Sampling
from codeclm.tts.voice import Voice

OLDEST = 1.2  # seconds after which a token must give way
ROOM = 256  # frames a matrix of codes grows by
LARGEST_CHUNK = 8  # frames decoded at a time, once the first have been heard
KEPT_VOICES = 16  # whose prefilled caches stay in memory
SENTENCE_END = re.compile(r"(?<=[.!?…।])[\"')\]]*\s+")


@dataclass(frozen=True)
class Speech:
    """What was said, and what it took.

    Attributes:
        wav: [N] samples, float32.
        speed: seconds of audio made in a second.
        first_audio_ms: from the call to the first samples.
        interventions: how often a guard stepped in, by kind.
    """

    wav: Tensor
    sample_rate: int
    audio_seconds: float
    generation_seconds: float
    speed: float
    first_audio_ms: float
    seed: int
    interventions: Mapping[str, int]


def load_tts(name: str | Path, codec: str | Path | None = None) -> "TTS":
    """Loads a model by name ("starter"), folder or hub name, and the codec it speaks.

    Raises:
        ValueError: no such model; or the codec at hand is not the one it was trained on.
    """
    saved = checkpoint.load(name)
    if saved.meta.get("kind") != "tts":
        raise ValueError(f"{name} holds a {saved.meta.get('kind')}, not a speech model")
    spec = CodecSpec.from_dict(saved.meta["codec"])
    voice_of = codec_of(spec, codec, f"{name} was trained on")
    tokenizer = load_tokenizer(saved.meta["tokenizer"])
    config = ModelConfig(**saved.config)
    model = SpeechLM(config, spec, len(tokenizer.tokens), trains=False)
    decoder = speaking(model, saved.weights(), saved.meta.get("llm"))
    voices = {
        path.name.removesuffix(".voice.safetensors"): Voice.load(path)
        for path in sorted((saved.folder / "voices").glob("*.voice.safetensors"))
    }
    return TTS(model, decoder, voice_of, tokenizer, voices, saved.meta)


def speaking(
    model: SpeechLM, weights: Mapping[str, Tensor], llm: Mapping[str, Any] | None = None
) -> Backbone:
    """Gives a model without backbone its weights; the decoder that stands for the backbone.

    Args:
        model: built with `trains=False`.
        weights: of a finished model.
        llm: the config of a pretrained LLM, if that is what it was made from.
    """
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


class TTS:
    """A speech model with its codec, tokenizer and stock voices."""

    def __init__(
        self,
        model: SpeechLM,
        decoder: Backbone,
        codec: Codec,
        tokenizer: Tokenizer,
        voices: dict[str, Voice],
        meta: dict[str, Any],
    ) -> None:
        self.model, self.decoder = model.eval().requires_grad_(False), decoder
        self.codec, self.tokenizer, self.voices, self.meta = codec, tokenizer, voices, meta
        self.sample_rate = codec.spec.sample_rate
        self.sampling = Sampling(**meta.get("sampling", {}))
        self.scale = Scale(**meta["scale"]) if "scale" in meta else None
        self._prefilled: dict[int, tuple[Voice, Any]] = {}

    def speak(
        self,
        text: str,
        *,
        voice: Voice | None = None,
        language: str = "en",
        seed: int | None = None,
        sampling: Sampling | Sequence[Sampling] | None = None,
    ) -> Speech:
        """Says a text.

        Args:
            text: one or more sentences.
            voice: who speaks; None takes the first stock voice.
            language: of the text, an espeak code where the model reads phonemes.
            seed: makes the answer repeatable; None draws one and reports it.
            sampling: how codes are drawn, for all streams or one for each; None: as the model was
                made to.

        Raises:
            ValueError: nothing to say, or a voice of another codec.
        """
        seed = int(torch.seed() % 2**31) if seed is None else seed
        counts: Counter[str] = Counter()
        began, first, chunks = time.perf_counter(), 0.0, []
        for chunk in self.stream(
            text,
            voice=voice,
            language=language,
            seed=seed,
            sampling=sampling,
            interventions=counts,
        ):
            first = first or time.perf_counter() - began
            chunks.append(chunk)
        took = time.perf_counter() - began
        wav = torch.cat(chunks)
        seconds = len(wav) / self.sample_rate
        return Speech(
            wav, self.sample_rate, seconds, took, seconds / took, 1000 * first, seed, dict(counts)
        )

    def stream(
        self,
        text: str,
        *,
        voice: Voice | None = None,
        language: str = "en",
        seed: int = 0,
        sampling: Sampling | Sequence[Sampling] | None = None,
        interventions: Counter[str] | None = None,
    ) -> Iterator[Tensor]:
        """Says a text, yielding sound [n] as soon as it is known; arguments as `speak`."""
        voice = voice or next(iter(self.voices.values()), None)
        if voice is not None:
            voice.check(self.codec.spec, f"voice {voice.name}")
        sentences = [self.tokenizer.encode(s, language) for s in split_sentences(text)]
        generator = torch.Generator().manual_seed(seed)
        how = self.sampling if sampling is None else sampling

        def chunks() -> Iterator[Tensor]:
            size = 1
            for ids in sentences:
                waiting: list[Tensor] = []
                for frame in self.frames(ids, voice, how, generator, interventions):
                    waiting.append(frame)
                    if len(waiting) == size:
                        yield self._tokens(waiting)
                        waiting, size = [], min(2 * size, LARGEST_CHUNK)
                if waiting:
                    yield self._tokens(waiting)

        for wav in self.codec.stream(chunks()):
            yield wav[0, 0]

    @torch.inference_mode()
    def frames(
        self,
        ids: list[int],
        voice: Voice | None,
        sampling: Sampling | Sequence[Sampling],
        generator: torch.Generator,
        interventions: Counter[str] | None = None,
    ) -> Iterator[Tensor]:
        """Columns [1, K] of the token matrix of one sentence, as soon as the layout has them."""
        model, layout = self.model, self.model.layout
        draw = Draw(sampling, layout.streams, generator)
        text = _Text(self, ids)
        caches = [self._prefill(voice).copy()]
        if draw.guided and not model.head.guides:  # beside it, the same without text and voice
            caches.append(self.decoder.start())
        for prefix in text.before():
            self.decoder(prefix, caches[0])
        rows = len(caches)
        slots = torch.full((rows, 1, layout.slots), layout.before)
        tokens = slots.new_zeros(layout.streams, 0)
        states: list[Tensor] = []  # kept where passes follow
        steps: list[Tensor] = []
        step = yielded = 0
        heard = text.now(rows)
        while text.frames is None or step < layout.steps(text.frames):
            now = torch.full((rows, 1), step)
            x = model.said(slots, now) + heard
            state = torch.cat([self.decoder(x[i : i + 1], c) for i, c in enumerate(caches)])[:, -1]
            stream, frame = layout.where(torch.tensor(step))
            marks = torch.zeros_like(slots[0, 0]).masked_fill(frame < 0, layout.before)
            if text.frames is not None:
                marks = marks.masked_fill(frame >= text.frames, layout.after)
            hidden = []
            for inside in range(layout.patch):
                hidden.append(model.frame(state, heard[:, 0], inside))
                if text.frames is None and step % layout.period == layout.period - 1:
                    chance = model.advance(hidden[-1][0]).sigmoid()
                    text.advance(float(chance), interventions)
                    heard = text.now(rows)
            state = torch.cat(hidden, dim=-1)
            drawn = model.head.sample(state, marks.expand(rows, -1), stream, draw)
            known = marks == 0
            while frame.max() >= tokens.shape[1]:
                tokens = F.pad(tokens, (0, ROOM))
            tokens[stream[known], frame[known]] = drawn[0, known]
            draw.remember(drawn, torch.where(known, stream, -1))
            if layout.drawn < layout.slots:
                states.append(state)
                steps.append(drawn)
            slots, step = drawn[:, None], step + 1
            ready = layout.ready(step - 1)
            ready = ready if text.frames is None else min(ready, text.frames)
            for t in range(yielded, ready):
                yield tokens[None, :, t]
            yielded = max(yielded, ready)
        if steps:
            done = model.head.finish(torch.stack(states, 1), torch.stack(steps, 1), draw)
            yield from layout.unpack(done[:1]).unbind(2)

    def _tokens(self, frames: list[Tensor]) -> Tensor:
        """Columns [1, K] as the codec has its tokens."""
        matrix = torch.stack(frames, dim=2)
        return self.codec.spec.matrix(self.scale.leave(matrix) if self.scale else matrix)

    @torch.inference_mode()
    def _prefill(self, voice: Voice | None) -> Any:
        """The backbone's cache after hearing a voice; computed once, kept for the last few."""
        if voice is None:
            return self.decoder.start()
        if id(voice) not in self._prefilled:
            model = self.model
            tokens = self.scale.enter(voice.tokens) if self.scale else voice.tokens
            slots = model.layout.pack(tokens[None])
            before = F.pad(slots[:, :-1], (0, 0, 1, 0), value=model.layout.before)
            step = torch.arange(slots.shape[1])[None]
            cache = self.decoder.start()
            self.decoder(model.said(before, step) + model.silent, cache)
            if len(self._prefilled) == KEPT_VOICES:
                del self._prefilled[next(iter(self._prefilled))]
            self._prefilled[id(voice)] = voice, cache
        return self._prefilled[id(voice)][1]


class _Text:
    """Where a sentence is: before the audio as a prefix, or beside it as a stream.

    Attributes:
        frames: of the utterance, once they are known.
    """

    def __init__(self, tts: TTS, ids: list[int]) -> None:
        self.model, self.count = tts.model, len(ids)
        self.encoded = tts.model.text(torch.tensor([ids]))[0]
        self.oldest = round(OLDEST * tts.codec.spec.frame_rate)
        self.streamed = tts.model.config.text == "stream"
        self.token, self.age, self.unmoved, self.frame = 0, 0, 1.0, 0
        self.frames: int | None = None

    def before(self) -> Iterator[Tensor]:
        """What the backbone reads before the audio begins, [1, L, D] if anything."""
        if not self.streamed:
            token = torch.arange(self.count)[None]
            yield self.model.text_at(self.encoded, token, torch.zeros_like(token))

    def now(self, rows: int) -> Tensor:
        """What the text adds to this step, [rows, 1, D]; rows after the first are shown none."""
        token = torch.full((rows, 1), -1)
        if self.streamed and self.frames is None:
            token[0] = self.token
        return self.model.text_at(self.encoded, token, torch.full((rows, 1), self.age))

    def advance(self, chance: float, interventions: Counter[str] | None) -> None:
        """A frame is over, and with this chance the token in it, or with a prefix the speech.

        It is not drawn by lot: the chance of staying is multiplied up frame by frame until it falls
        under one half, which is the median duration under the model.
        """
        self.unmoved *= 1 - chance
        self.frame, self.age = self.frame + 1, self.age + 1
        late = self.age >= self.oldest * (1 if self.streamed else self.count)
        if late and interventions is not None:
            interventions["token held too long" if self.streamed else "speech cut off"] += 1
        if self.unmoved < 0.5 or late:
            self.token, self.age, self.unmoved = self.token + 1, 0, 1.0
            if not self.streamed or self.token == self.count:
                self.frames = self.frame


def split_sentences(text: str, longest: int = 160) -> list[str]:
    """Cuts a text at sentence ends into parts of up to about `longest` characters.

    Short sentences stay together, so that one breath carries them; a sentence is never cut.
    """
    parts: list[str] = []
    for sentence in SENTENCE_END.split(text.strip()):
        if parts and len(parts[-1]) + len(sentence) < longest:
            parts[-1] += " " + sentence
        elif sentence.strip():
            parts.append(sentence)
    if not parts:
        raise ValueError("the text is empty: give at least one word to say")
    return parts
