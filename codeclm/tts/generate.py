"""Speech from a model: `load_tts("starter").speak("Hello.")`, whole or frame by frame.

A voice is run through the backbone once; every sentence starts from a copy of that cache. `speak`
joins what `stream` yields, so that both are the same sound.
"""

import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from codeclm import checkpoint
from codeclm.codecs import Codec, CodecSpec, load_codec
from codeclm.data_prep.text import Tokenizer, load_tokenizer
from codeclm.tts.backbone import Cache, Decoder
from codeclm.tts.model import ModelConfig, SpeechLM
from codeclm.tts.voice import Voice

TEMPERATURE = 0.3
OLDEST = 1.2  # seconds after which a token must give way
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
    voice_of = load_codec(codec or spec.name)
    if voice_of.spec.fingerprint != spec.fingerprint:
        raise ValueError(
            f"{name} was trained on codec {spec.name} {spec.fingerprint}, but the codec given is "
            f"{voice_of.spec.name} {voice_of.spec.fingerprint}: name the right one with --codec"
        )
    tokenizer = load_tokenizer(saved.meta["tokenizer"])
    config = ModelConfig(**saved.config)
    backbone: dict[str, Tensor] = {}
    rest: dict[str, Tensor] = {}
    for key, tensor in saved.weights().items():
        part = backbone if key.startswith("backbone.") else rest
        part[key.removeprefix("backbone.")] = tensor
    model = SpeechLM(config, spec.streams, len(tokenizer.tokens))
    model.load_state_dict(rest)
    voices = {
        path.name.removesuffix(".voice.safetensors"): Voice.load(path)
        for path in sorted((saved.folder / "voices").glob("*.voice.safetensors"))
    }
    return TTS(model, Decoder(config, backbone), voice_of, tokenizer, voices, saved.meta)


class TTS:
    """A speech model with its codec, tokenizer and stock voices."""

    def __init__(
        self,
        model: SpeechLM,
        decoder: Decoder,
        codec: Codec,
        tokenizer: Tokenizer,
        voices: dict[str, Voice],
        meta: dict[str, Any],
    ) -> None:
        self.model, self.decoder = model.eval().requires_grad_(False), decoder
        self.codec, self.tokenizer, self.voices, self.meta = codec, tokenizer, voices, meta
        self.sample_rate = codec.spec.sample_rate
        self._prefilled: dict[int, tuple[Voice, Cache]] = {}

    def speak(
        self,
        text: str,
        *,
        voice: Voice | None = None,
        language: str = "en",
        seed: int | None = None,
        temperature: float | None = None,
    ) -> Speech:
        """Says a text.

        Args:
            text: one or more sentences.
            voice: who speaks; None takes the first stock voice.
            language: of the text, an espeak code where the model reads phonemes.
            seed: makes the answer repeatable; None draws one and reports it.
            temperature: of the codes; 0 is greedy.

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
            temperature=temperature,
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
        temperature: float | None = None,
        interventions: Counter[str] | None = None,
    ) -> Iterator[Tensor]:
        """Says a text, yielding sound [n] as soon as it is known; arguments as `speak`."""
        voice = voice or next(iter(self.voices.values()), None)
        if voice is not None:
            voice.check(self.codec.spec, f"voice {voice.name}")
        sentences = [self.tokenizer.encode(s, language) for s in split_sentences(text)]
        generator = torch.Generator().manual_seed(seed)
        state, size = None, 1
        for ids in sentences:
            waiting: list[Tensor] = []
            heat = TEMPERATURE if temperature is None else temperature
            for frame in self.frames(ids, voice, heat, generator, interventions):
                waiting.append(frame)
                if len(waiting) == size:
                    wav, state = self.codec.decode_chunk(torch.stack(waiting, dim=2), state)
                    yield wav[0, 0]
                    waiting, size = [], min(2 * size, LARGEST_CHUNK)
            if waiting:
                wav, state = self.codec.decode_chunk(torch.stack(waiting, dim=2), state)
                yield wav[0, 0]

    @torch.inference_mode()
    def frames(
        self,
        ids: list[int],
        voice: Voice | None,
        temperature: float,
        generator: torch.Generator,
        interventions: Counter[str] | None = None,
    ) -> Iterator[Tensor]:
        """Codes [1, K] of one sentence, frame after frame."""
        model = self.model
        cache = self._prefill(voice).copy()
        encoded = model.text(torch.tensor([ids]))[0]
        oldest = round(OLDEST * self.codec.spec.frame_rate)
        before = model.begin[None, None]
        token, age, unmoved = 0, 0, 1.0
        while token < len(ids):
            text = model.text_at(encoded, torch.tensor([[token]]), torch.tensor([[age]]))
            state = self.decoder(before + text, cache)[:, -1]
            codes = model.head.sample(state, temperature, generator)
            yield codes
            before = model.frames(codes[..., None])
            unmoved *= 1 - float(model.advance(state).sigmoid())
            age += 1
            if age >= oldest and interventions is not None:
                interventions["token held too long"] += 1
            if unmoved < 0.5 or age >= oldest:
                token, age, unmoved = token + 1, 0, 1.0

    @torch.inference_mode()
    def _prefill(self, voice: Voice | None) -> Cache:
        """The backbone's cache after hearing a voice; computed once, kept for the last few."""
        if voice is None:
            return self.decoder.start()
        if id(voice) not in self._prefilled:
            model = self.model
            heard = model.frames(voice.codes[None, :, :-1])
            x = torch.cat([model.begin[None, None], heard], dim=1) + model.silent
            cache = self.decoder.start()
            self.decoder(x, cache)
            if len(self._prefilled) == KEPT_VOICES:
                del self._prefilled[next(iter(self._prefilled))]
            self._prefilled[id(voice)] = voice, cache
        return self._prefilled[id(voice)][1]


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
