"""What speech models are scored on: sentences in seen voices, clones of unseen ones, the hard set.

Beside what a model says stand the recordings themselves and their way through the codec, which are
its ceilings, and two different speakers, which are the floor of similarity.
"""

import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from codeclm.audio import write
from codeclm.codecs import Codec
from codeclm.corpus import Utterance, read_audio
from codeclm.evaluation import asr, audio_metrics, hard, speaker
from codeclm.evaluation.items import RATE, Row, Task, at_16k, shuffled
from codeclm.tts.generate import TTS
from codeclm.tts.sampling import Sampling
from codeclm.tts.voice import Voice

SHORTEST_VOICE = 2.5  # seconds of audio that a voice is made from
COLUMNS = (
    "part", "kind", "id", "speaker", "voice_id", "text", "heard", "errors", "words", "char_errors",
    "chars", "failures", "similarity", "dnsmos", "pesq_wb", "stoi", "mel_db", "codec_similarity",
    "audio_seconds", "generation_seconds", "first_audio_ms", "interventions",
)  # fmt: skip


@dataclass(frozen=True)
class Items:
    """What is said, and in whose voice.

    Attributes:
        sentences: (target, another utterance of its speaker) in voices of the training set.
        clones: (target, another utterance of its speaker, one of somebody else), all unseen.
        hard: (id, text), in the voices of the first sentences.
    """

    sentences: list[tuple[Utterance, Utterance]]
    clones: list[tuple[Utterance, Utterance, Utterance]]
    hard: list[tuple[str, str]]

    @classmethod
    def pick(
        cls,
        utterances: list[Utterance],
        sentences: int,
        clones: int,
        difficult: bool = False,
        split: str = "test",
        seed: int = 0,
    ) -> "Items":
        """The same items for every model."""
        return cls(
            pick_sentences(utterances, split, sentences, seed),
            pick_clones(utterances, clones, seed) if clones else [],
            [(name, text) for name, _, text in hard.items()] if difficult else [],
        )

    @property
    def spoken(self) -> list[tuple[str, Utterance, Utterance]]:
        """Part, target and voice of all that is recorded."""
        seen = [("sentences", target, voice) for target, voice in self.sentences]
        return seen + [("clones", target, voice) for target, voice, _ in self.clones]


def pick_sentences(
    utterances: list[Utterance], split: str, count: int, seed: int
) -> list[tuple[Utterance, Utterance]]:
    """Utterances of a split, each with a long enough other one of its speaker as the voice.

    The voice comes from the train split where the speaker has one there.
    """
    voices = _by_speaker(u for u in utterances if u.split == "train" and _long_enough(u))
    voices |= _by_speaker(
        u for u in utterances if u.split == split and _long_enough(u) and u.speaker not in voices
    )
    chosen: list[tuple[Utterance, Utterance]] = []
    for target in shuffled((u for u in utterances if u.split == split), seed):
        others = [u for u in voices.get(target.speaker, []) if u.id != target.id]
        if others and len(chosen) < count:
            chosen.append((target, random.Random(f"{seed}-{target.id}").choice(others)))
    if not chosen:
        raise ValueError(
            f"no utterance of split {split!r} has another one of its speaker of at least "
            f"{SHORTEST_VOICE} s: check the split names and durations of the manifest"
        )
    return chosen


def pick_clones(
    utterances: list[Utterance], count: int, seed: int
) -> list[tuple[Utterance, Utterance, Utterance]]:
    """(target, reference of the same speaker, recording of another speaker), speakers in turn."""
    speakers = _by_speaker(shuffled((u for u in utterances if u.split == "unseen"), seed))
    if len(speakers) < 2:
        raise ValueError("cloning needs two speakers in split 'unseen': use --clones 0 without")
    names = sorted(speakers)
    chosen: list[tuple[Utterance, Utterance, Utterance]] = []
    for turn in range(max(len(rows) for rows in speakers.values())):
        for i, name in enumerate(names):
            rows = speakers[name]
            if turn >= len(rows) or len(chosen) >= count:
                continue
            target = rows[turn]
            references = [u for u in rows if u.id != target.id and _long_enough(u)]
            other = names[(i + 1 + turn % (len(names) - 1)) % len(names)]
            strangers = [u for u in speakers[other] if _long_enough(u)]
            if references and strangers:
                draw = random.Random(f"{seed}-{target.id}")
                chosen.append((target, draw.choice(references), draw.choice(strangers)))
    return chosen


def _long_enough(utterance: Utterance) -> bool:
    """True when a voice can be made from it."""
    return utterance.duration is not None and utterance.duration >= SHORTEST_VOICE


def _by_speaker(utterances: Iterable[Utterance]) -> dict[str, list[Utterance]]:
    """Utterances grouped by speaker, order kept."""
    groups: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        groups[utterance.speaker].append(utterance)
    return dict(groups)


class Judge:
    """Hears what is said, and whose voice it is."""

    def __init__(self, recognizer: asr.ASR) -> None:
        self.recognizer = recognizer
        self._voices: dict[str, speaker.Embedding] = {}

    def all(
        self,
        text: str,
        wav: Tensor,
        rate: int,
        language: str,
        voice: Utterance,
        rated: bool = True,
    ) -> Row:
        """Words, voice and, if it is to be rated, quality of a sound [1, N]."""
        said = self.words(text, wav, rate, language) | self.voice(wav, voice, rate)
        return said | (self.quality(wav, rate) if rated else {})

    def words(self, text: str, wav: Tensor, rate: int, language: str) -> Row:
        """What is heard in a sound [1, N], the errors in it, and the kinds of failure they are."""
        heard = self.recognizer.transcribe(at_16k(wav, rate), language)
        found, seconds = asr.word_errors(text, heard, language), wav.shape[-1] / rate
        wrong, chars = asr.character_errors(text, heard, language)
        return {
            "text": text,
            "heard": heard,
            "errors": found.errors,
            "words": found.words,
            "char_errors": wrong,
            "chars": chars,
            "failures": ", ".join(hard.failures(text, heard, seconds, language)),
            "audio_seconds": round(seconds, 3),
        }

    def voice(self, wav: Tensor, voice: Utterance, rate: int) -> Row:
        """How like the voice of an utterance a sound [1, N] is."""
        if voice.id not in self._voices:
            self._voices[voice.id] = speaker.embed(read_audio(voice, RATE)[0].numpy())
        own = self._voices[voice.id]
        facts = {"voice_id": voice.id, "speaker": voice.speaker}
        return facts | {"similarity": speaker.cosine(speaker.embed(at_16k(wav, rate)), own)}

    def quality(self, wav: Tensor, rate: int) -> Row:
        """What a predictor of listeners' scores thinks of a sound [1, N]; None of an empty one."""
        with suppress(ValueError):
            return {"dnsmos": audio_metrics.dnsmos(at_16k(wav, rate))}
        return {"dnsmos": None}


def of_recordings(items: Items, judge: Judge, rate: int) -> Iterator[Task]:
    """The recordings, and for each clone somebody else."""

    def row(target: Utterance, voice: Utterance) -> Row:
        wav = read_audio(target, rate)
        return judge.all(target.text, wav, rate, target.language, voice)

    def stranger(other: Utterance, voice: Utterance) -> Row:
        return judge.voice(read_audio(other, rate), voice, rate)

    for part, target, voice in items.spoken:
        yield (part, "recording", target.id), partial(row, target, voice)
    for target, voice, other in items.clones:
        yield ("clones", "impostor", target.id), partial(stranger, other, voice)


def of_codec(
    items: Items, judge: Judge, load: Callable[[], Codec], keep: Path | None = None
) -> Iterator[Task]:
    """The recordings after their way through a codec.

    Args:
        items: what to pass through.
        judge: hears it.
        load: gives the codec, once a row needs it.
        keep: folder for the sound files; None: they are not kept.
    """

    def row(target: Utterance, voice: Utterance) -> Row:
        codec = load()
        rate = codec.spec.sample_rate
        original = read_audio(target, rate)
        wav = codec.decode(codec.encode(original[None]))[0, :, : original.shape[1]]
        if keep is not None:
            write(keep / f"{target.id}.wav", wav, rate)
        a, b = at_16k(original, rate), at_16k(wav, rate)
        return judge.all(target.text, wav, rate, target.language, voice) | {
            "codec_similarity": speaker.cosine(speaker.embed(a), speaker.embed(b)),
            "pesq_wb": audio_metrics.pesq_wb(a, b),
            "stoi": audio_metrics.stoi(a, b, RATE),
            "mel_db": audio_metrics.mel_distance(original[0].numpy(), wav[0].numpy(), rate),
        }

    for part, target, voice in items.spoken:
        yield (part, "codec", target.id), partial(row, target, voice)


def of_model(
    items: Items,
    judge: Judge,
    load: Callable[[], TTS],
    kind: str = "spoken",
    sampling: Sampling | None = None,
    seed: int = 0,
    keep: Path | None = None,
) -> Iterator[Task]:
    """What a model says.

    Args:
        items: what to say.
        judge: hears it.
        load: gives the model that says it, once a row needs it.
        kind: of the rows.
        sampling: how codes are drawn; None: as the model was made to.
        seed: of speaking.
        keep: folder for the sound files; None: they are not kept.
    """

    def row(text: str, voice: Utterance, language: str, name: str, rated: bool) -> Row:
        tts = load()
        rate = tts.sample_rate
        speech = tts.speak(
            text,
            voice=Voice.from_wav(read_audio(voice, rate), tts.codec),
            language=language,
            seed=seed,
            sampling=sampling,
        )
        if keep is not None:
            write(keep / f"{name}.wav", speech.wav, rate)
        wav = torch.from_numpy(speech.wav)[None]
        return judge.all(text, wav, rate, language, voice, rated) | {
            "generation_seconds": round(speech.generation_seconds, 4),
            "first_audio_ms": round(speech.first_audio_ms, 1),
            "interventions": json.dumps(speech.interventions),
        }

    for part, target, voice in items.spoken:
        task = partial(row, target.text, voice, target.language, target.id, True)
        yield (part, kind, target.id), task
    for number, (name, text) in enumerate(items.hard):
        _, voice = items.sentences[number % len(items.sentences)]
        yield ("hard", kind, name), partial(row, text, voice, "en", name, False)


def interventions(rows: Iterable[Row]) -> Counter[str]:
    """How often guards stepped in, by kind."""
    total: Counter[str] = Counter()
    for row in rows:
        total.update(json.loads(row.get("interventions") or "{}"))
    return total
