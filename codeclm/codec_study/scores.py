"""All that a bench measures of one item: a recording alone, and what a codec made of it.

Every measure is named in `MEASURES` with its variant and the package that takes it. A judge whose
package is not installed is left out and named; sound that a judge refuses (silence, less than a
second) leaves that one cell empty. Words and phonemes are compared in `hear`.
"""

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from codeclm.audio import resample
from codeclm.corpus import Utterance
from codeclm.evaluation import asr, audio_metrics, phonemes, pitch, speaker, trust
from codeclm.evaluation.items import RATE, Row, installed

COMMON = 24_000  # Hz at which spectra are compared, whatever the rate of the codec


class Sound:
    """A sound as the judges take it, each form computed once."""

    def __init__(self, wav: Tensor, rate: int) -> None:
        """Args: wav: [1, N] at `rate`."""
        self._wav, self._rate = wav, rate

    @cached_property
    def low(self) -> NDArray[np.float32]:
        """[n] at 16 kHz."""
        return np.asarray(resample(self._wav, self._rate, RATE)[0].numpy())

    @cached_property
    def full(self) -> NDArray[np.float32]:
        """[n] at 24 kHz."""
        return np.asarray(resample(self._wav, self._rate, COMMON)[0].numpy())

    @cached_property
    def voice(self) -> speaker.Embedding:
        """Who speaks."""
        return speaker.embed(self.low)

    @cached_property
    def pitch(self) -> pitch.Pitch:
        """The melody."""
        return pitch.track(self.low)

    @property
    def bandwidth(self) -> float:
        """Hz up to which it reaches."""
        return audio_metrics.bandwidth(self._wav[0].numpy(), self._rate)


class Measure(NamedTuple):
    """One column: how it is called and printed, and how it is taken.

    Attributes:
        title: of the column.
        decimals: printed.
        variant: which definition, at which rate.
        package: what takes it, as pip knows it; "" for what is computed here.
        take: from the original and the sound.
        alone: needs no original, so that recordings have it too.
    """

    title: str
    decimals: int
    variant: str
    package: str
    take: Callable[[Sound, Sound], float | None]
    alone: bool = False


MEASURES = {
    "pesq_wb": Measure("PESQ-WB", 2, "ITU-T P.862.2, 16 kHz, 1.0 to 4.64", "pesq",
        lambda a, b: audio_metrics.pesq_wb(a.low, b.low)),
    "stoi": Measure("STOI", 3, "Taal et al. 2011, 16 kHz in, 0 to 1", "pystoi",
        lambda a, b: audio_metrics.stoi(a.low, b.low, RATE)),
    "estoi": Measure("ESTOI", 3, "Jensen and Taal 2016, extended STOI", "pystoi",
        lambda a, b: audio_metrics.stoi(a.low, b.low, RATE, extended=True)),
    "visqol": Measure("ViSQOL", 2, "v3, speech mode, lattice mapping, 16 kHz", "visqol-python",
        lambda a, b: audio_metrics.visqol_speech(a.low, b.low)),
    "mel_db": Measure("mel distance, dB", 2, "80 bands, mean absolute difference, at 24 kHz", "",
        lambda a, b: audio_metrics.mel_distance(a.full, b.full, COMMON)),
    "si_sdr": Measure("SI-SDR, dB", 1, "at 24 kHz: of the waveform, not of what is heard", "",
        lambda a, b: audio_metrics.si_sdr(a.full, b.full)),
    "similarity": Measure("voice", 3, "cosine of GE2E embeddings to the recording", "resemblyzer",
        lambda a, b: speaker.cosine(a.voice, b.voice)),
    "voicing": Measure("voicing error, %", 1, "SwiftF0: frames voiced in one only", "swift-f0",
        lambda a, b: 100 * pitch.pitch_error(a.pitch, b.pitch).voicing),
    "gross": Measure("gross pitch error, %", 1, "SwiftF0: more than 20 % off", "swift-f0",
        lambda a, b: _percent(pitch.pitch_error(a.pitch, b.pitch).gross)),
    "cents": Measure("F0 RMSE, cents", 0, "SwiftF0: of the frames that are not gross", "swift-f0",
        lambda a, b: pitch.pitch_error(a.pitch, b.pitch).cents),
    "dnsmos": Measure("DNSMOS", 2, "P.835 OVRL, no reference, 16 kHz", "speechmos",
        lambda a, b: audio_metrics.dnsmos(b.low), alone=True),
}  # fmt: skip
QUICK = ("pesq_wb", "stoi", "similarity", "voicing")  # of a codec with its first codebooks alone
HEARD = (
    "heard", "doubt", "errors", "words", "char_errors", "chars", "same_errors", "same_words",
    "exact", "phoneme_errors", "phonemes",
)  # fmt: skip


def at_hand() -> tuple[list[str], list[str]]:
    """The measures that can be taken here, and packages that others would need."""
    there = versions()
    packages = {m.package for m in MEASURES.values() if m.package}
    lacking = sorted(name for name in packages if not there[f"package {name}"])
    return [name for name, m in MEASURES.items() if m.package not in lacking], lacking


def versions() -> dict[str, str | None]:
    """Of every package that judges."""
    packages = {m.package for m in MEASURES.values() if m.package}
    return installed(*sorted({*packages, "jiwer", "torch", "numpy"}))


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def measure(original: Sound, sound: Sound, wanted: Iterable[str]) -> Row:
    """The measures by name; None where a judge refuses the sound."""
    row: Row = {}
    for name in wanted:
        try:
            row[name] = MEASURES[name].take(original, sound)
        except ValueError:  # one item must not end a long run
            row[name] = None
    return row


def hear(recognizer: Any, utterance: Utterance, sound: Sound, before: str | None) -> Row:
    """What is understood of a sound, against the text and against the recording.

    Args:
        recognizer: an `asr.ASR`.
        utterance: whose text is true.
        sound: of the recording or of a codec.
        before: what was understood of the recording; None for the recording itself.
    """
    language = utterance.language
    heard = recognizer.transcribe(sound.low, language)
    return {"heard": heard} | compare(utterance.text, heard, language, before)


def compare(text: str, heard: str, language: str, before: str | None) -> Row:
    """The errors of a text that was heard; accents are dropped on both sides."""
    if not asr.normalize_text(text, language, accents=False):
        return {"doubt": "the transcript has no words"}
    found = asr.word_errors(text, heard, language, accents=False)
    wrong, chars = asr.character_errors(text, heard, language, accents=False)
    row: Row = {
        "doubt": trust.doubt(text, heard), "errors": found.errors, "words": found.words,
        "char_errors": wrong, "chars": chars,
    }  # fmt: skip
    if before is not None and asr.normalize_text(before, language, accents=False):
        same = asr.word_errors(before, heard, language, accents=False)
        row |= {"same_errors": same.errors, "same_words": same.words}
        row["exact"] = int(same.errors == 0)
    try:
        sounds = phonemes.compare(text, heard, language)
    except ValueError:  # espeak has no such language
        return row
    return row | {"phoneme_errors": sounds.errors, "phonemes": sounds.phonemes}
