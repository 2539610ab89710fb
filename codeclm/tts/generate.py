"""Speech from a model: `load_tts("starter").speak("Hello.")`, whole, streamed, or many at once.

`speak` joins what `stream` yields, so that both are the same sound. A voice is run through the
networks once; every talk starts from a copy of that memory.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codeclm import checkpoint
from codeclm.tts.engine import Engine, How, Talk, TokenizedSentence
from codeclm.tts.guard import Guards
from codeclm.tts.runtime import Network
from codeclm.tts.sampling import Sampling
from codeclm.tts.sentences import parts
from codeclm.tts.sound_stream import Sound, SoundStream, Wav

if TYPE_CHECKING:
    from codeclm.codecs import Codec
    from codeclm.data_prep.text import Tokenizer
    from codeclm.tts.voice import Voice

KEPT_VOICES = 16  # whose prefilled caches stay in memory
UNDERSTOOD = 0.2  # word errors a word, above which a listener asks again
TOGETHER = 16  # talks at a time

Listener = Callable[[Wav, int, str, str], float]  # sound, sample rate, text, language: word errors
Drawing = Sampling | Sequence[Sampling]


@dataclass(frozen=True)
class Speech:
    """What was said, and what it took.

    Attributes:
        wav: [N] samples, float32.
        first_audio_ms: from the call to the first samples.
        interventions: how often a guard stepped in, by kind (`tts.guard`).
    """

    wav: Wav
    sample_rate: int
    generation_seconds: float
    first_audio_ms: float
    seed: int
    interventions: Mapping[str, int]

    @property
    def audio_seconds(self) -> float:
        """Seconds of sound."""
        return len(self.wav) / self.sample_rate

    @property
    def speed(self) -> float:
        """Seconds of sound made in a second."""
        return self.audio_seconds / self.generation_seconds


@dataclass(frozen=True)
class Request:
    """Something to say; arguments as `TTS.speak`."""

    text: str
    voice: "Voice | None" = None
    language: str = "en"
    seed: int = 0


class TTS:
    """A speech model with its codec, tokenizer and stock voices.

    Attributes:
        sampling: how it draws when nobody says otherwise.
        aligner: file of what timed the texts that it was trained on; there may be none.
    """

    def __init__(
        self,
        network: Network,
        sound: Sound,
        tokenizer: "Tokenizer",
        voices: "dict[str, Voice]",
        meta: dict[str, Any],
        aligner: Path | None = None,
    ) -> None:
        self.network, self.sound = network, sound
        self.tokenizer, self.voices, self.meta, self.aligner = tokenizer, voices, meta, aligner
        self.sample_rate = sound.sample_rate
        self.sampling = Sampling(**meta.get("sampling", {}))
        self._prefilled: dict[int, tuple[Voice, Any]] = {}

    @property
    def codec(self) -> "Codec":
        """The codec, to make voices with."""
        return self.sound.codec

    def speak(
        self,
        text: str | Iterable[str],
        *,
        voice: "Voice | None" = None,
        language: str = "en",
        seed: int | None = None,
        sampling: Drawing | None = None,
        guards: Guards | None = None,
        listener: Listener | None = None,
        retries: int = 2,
    ) -> Speech:
        """Says a text.

        Args:
            text: one or more sentences; or pieces of a text, as they come.
            voice: who speaks; None takes the first stock voice.
            language: of the text, an espeak code where the model reads phonemes.
            seed: makes the answer repeatable; None draws one and reports it.
            sampling: how codes are drawn, for all streams or one for each; None: as the model was
                made to.
            guards: bounds of the speech; None: the usual ones.
            listener: judges what was said; what it does not understand is said again, and the
                best is kept.
            retries: how often, at most.

        Raises:
            ValueError: nothing to say, or a voice of another codec.
        """
        seed = int(np.random.default_rng().integers(2**31)) if seed is None else seed
        how: dict[str, Any] = {"voice": voice, "language": language}
        how |= {"sampling": sampling, "guards": guards}
        counts: Counter[str] = Counter()
        began, first, chunks = time.perf_counter(), 0.0, []
        if listener is not None:
            text = text if isinstance(text, str) else "".join(text)
        for chunk in self.stream(text, seed=seed, interventions=counts, **how):
            first = first or time.perf_counter() - began
            chunks.append(chunk)
        wav = np.concatenate(chunks)
        if listener is not None:
            assert isinstance(text, str)
            heard = listener(wav, self.sample_rate, text, language)
            for attempt in range(1, retries + 1):
                if heard <= UNDERSTOOD:
                    break
                counts["retry"] += 1
                other = self.speak(text, seed=seed + attempt, **how).wav
                again = listener(other, self.sample_rate, text, language)
                if again < heard:
                    wav, heard = other, again
        took = time.perf_counter() - began
        return Speech(wav, self.sample_rate, took, 1000 * first, seed, dict(+counts))

    def stream(
        self,
        text: str | Iterable[str],
        *,
        voice: "Voice | None" = None,
        language: str = "en",
        seed: int = 0,
        sampling: Drawing | None = None,
        guards: Guards | None = None,
        interventions: Counter[str] | None = None,
    ) -> Iterator[Wav]:
        """Says a text, yielding sound [n] as soon as it is known; arguments as `speak`."""
        guards = guards or Guards()
        counts: Counter[str] = Counter() if interventions is None else interventions
        talk = self.talk(self.said(text, language), voice, sampling, seed, guards, counts)
        sounds, engine = SoundStream(self.sound, guards, counts), Engine(self.network)
        engine.add(talk)
        with ThreadPoolExecutor(1) as beside:  # sounds a chunk while the next frames are drawn
            due: deque[Future[Wav]] = deque()
            begun = False  # the first sound is waited for
            while engine.talks:
                for output in engine.step():
                    if (chunk := sounds.take(output)) is not None:
                        due.append(beside.submit(sounds.say, chunk))
                while due and (due[0].done() or not begun):
                    if len(wav := due.popleft().result()):
                        begun = True
                        yield wav
            due.append(beside.submit(sounds.close))
            for each in due:
                if len(wav := each.result()):
                    yield wav

    def speak_all(
        self,
        requests: Sequence[Request],
        *,
        sampling: Drawing | None = None,
        guards: Guards | None = None,
        together: int = TOGETHER,
    ) -> list[Speech]:
        """Says several texts at a time, each as it would sound alone; arguments as `speak`.

        `together` of them are in the engine at once; the next joins when one is said.
        """
        from codeclm.tts.scheduler import Scheduler

        with Scheduler(self, together) as scheduler:
            said = [(one, self.said(one.text, one.language)) for one in requests]
            answers = [scheduler.answer(*one, sampling=sampling, guards=guards) for one in said]
            return [answer.result() for answer in answers]

    def said(self, text: str | Iterable[str], language: str) -> Iterator[TokenizedSentence]:
        """The sentences of a text, as they come."""
        for part in parts(text):
            yield TokenizedSentence(self.tokenizer.encode(part.text, language), part.pause)

    def talk(
        self,
        sentences: Iterator[TokenizedSentence],
        voice: "Voice | None",
        sampling: Drawing | None,
        seed: int | np.random.Generator,
        guards: Guards,
        counts: Counter[str],
    ) -> Talk:
        """Sentences to give to an engine."""
        voice, how = voice or next(iter(self.voices.values()), None), self.how(sampling)
        known = self.network.start() if voice is None else self.prepare(voice)
        heard = 0 if voice is None else voice.tokens.shape[1]
        return Talk(self.network, sentences, known, heard, how, seed, guards, counts)

    def timed(self, voice: "Voice") -> "Voice":
        """A voice that knows when each token of its transcript sounds, if this model asks for that.

        Raises:
            ValueError: the transcript does not fit the recording, or cannot be timed.
        """
        if not voice.transcript or voice.durations or not self.network.takes_times:
            return voice
        if self.aligner is None or not self.aligner.exists():
            raise ValueError(
                f"voice {voice.name} has a transcript, and this model no {checkpoint.ALIGNER} to "
                "find its sounds with: make the voice without the transcript"
            )
        from codeclm.tts.transcript import time_tokens

        ids = self.tokenizer.encode(voice.transcript, voice.language)
        return replace(voice, durations=time_tokens(self.aligner, self.codec, voice.tokens, ids))

    def prepare(self, voice: "Voice") -> Any:
        """Hears a voice, so that its first talk need not; the memory that its talks begin with.

        Raises:
            ValueError: it is of another codec, or its transcript does not fit.
        """
        self.sound.check(voice)
        if id(voice) in self._prefilled:  # stays for longer
            self._prefilled[id(voice)] = self._prefilled.pop(id(voice))
        else:
            cache, ids, durations = self.network.start(), [], self.timed(voice).durations
            if voice.transcript:
                ids = self.tokenizer.encode(voice.transcript, voice.language)
                if durations and len(durations) != len(ids):
                    raise ValueError(
                        f"voice {voice.name} was timed for a model that reads text differently: "
                        "make it again with this one"
                    )
            self.network.hear(self.sound.enter(voice), cache, ids, durations)
            if len(self._prefilled) == KEPT_VOICES:
                del self._prefilled[next(iter(self._prefilled))]
            self._prefilled[id(voice)] = voice, cache
        return self._prefilled[id(voice)][1]

    def how(self, sampling: Drawing | None = None) -> How:
        """One sampling for each stream; None: as the model was made to."""
        given = self.sampling if sampling is None else sampling
        rows = self.network.grid.rows
        each = (given,) * rows if isinstance(given, Sampling) else tuple(given)
        if len(each) != rows:
            raise ValueError(f"{len(each)} samplings for {rows} streams: give one, or {rows}")
        if len({(one.guidance, one.guide_top_k) for one in each}) > 1:
            raise ValueError("guidance must be the same for all streams")
        return each


def load_tts(name: str | Path, codec: str | Path | None = None) -> TTS:
    """Loads a model by name ("starter"), folder or hub name, and the codec it speaks.

    One that was exported (`codeclm export`) runs in ONNX Runtime, if that is installed and no other
    codec is asked for.

    Raises:
        ValueError: no such model; or the codec at hand is not the one it was trained on.
    """
    folder = checkpoint.resolve(name)
    if codec is None and (folder / "onnx").is_dir() and find_spec("onnxruntime"):
        from codeclm.tts.exported import run

        return run.load(folder)
    from codeclm.tts import network

    return network.load(name, codec)
