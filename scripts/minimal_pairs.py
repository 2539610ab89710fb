"""Speaks the words of a list of minimal pairs in several voices: for `codec minimal-pairs`.

    python scripts/minimal_pairs.py --out runs/pairs
    python scripts/minimal_pairs.py --out runs/pairs --languages hi mr

    espeak    formant synthesis of every language, four voices, by `espeakng-loader`
    festival  diphones of one man who speaks Hindi, Marathi and Telugu (`--festival`); on Debian
              by `apt-get install festival festvox-kallpc16k festvox-hi-nsk festival-hi`, and the
              same with mr and te. They hum, and no voice is found in them again: with it the error
              on the recordings themselves is three times as high

Every voice speaks every word twice, at two speeds (espeak also at two pitches). Silence is cut to
some ms on both sides, peaks are brought to 0.7. The out folder holds `manifest.jsonl` and the
clips; words that are there are not spoken again. Synthetic speech makes a contrast as well as its
synthesizer does: the error on the recordings themselves, which stands beside that on tokens, says
how well. Recordings of native speakers take the same kind of manifest.
"""

import argparse
import ctypes
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from codeclm import audio
from codeclm.codec_study.minimal_pairs import LIST, read_pairs
from codeclm.files import write_text

ESPEAK = ("f1", "f3", "m1", "m7")
ESPEAK_TAKES = ((140, 45), (175, 60))  # words a minute, pitch of 100
FESTIVAL = {"hi": "hindi", "mr": "marathi", "te": "telugu"}
FESTIVAL_TAKES = (0.9, 1.15)  # times as long
PEAK = 0.7  # full scale
QUIET = {"espeak": (-40.0, 0.04), "festival": (-14.0, 0.08)}  # dB below the loudest, margin in s

Sound = tuple[NDArray[np.float32], int]  # [N] and its rate
Speaker = Callable[[list[str], int], Iterator[tuple[str, Sound]]]  # words, number of the take


def main(arguments: Sequence[str] | None = None) -> None:
    """Speaks what is missing, then writes the manifest."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for clips and manifest")
    parser.add_argument(
        "--pairs", type=Path, default=LIST, help="the list; default: the shipped one"
    )
    parser.add_argument("--languages", nargs="+", help="codes such as hi; default: all of the list")
    parser.add_argument("--festival", action="store_true", help="the diphones of Festival too")
    args = parser.parse_args(arguments)
    words: dict[str, dict[str, int]] = {}  # by language: the number of every word
    for pair in read_pairs(args.pairs):
        for word in (pair.a, pair.b):
            own = words.setdefault(pair.language, {})
            own.setdefault(word, len(own))
    rows = []
    for language in args.languages or words:
        (args.out / language).mkdir(parents=True, exist_ok=True)
        numbers = words[language]
        for name, takes, speak in speakers(language, args.festival):
            for take in range(takes):
                places = {w: f"{language}/{n:03}-{name}-{take}.flac" for w, n in numbers.items()}
                missing = [
                    word for word, place in places.items() if not (args.out / place).exists()
                ]
                for word, (wav, rate) in speak(missing, take):
                    cut = torch.from_numpy(trimmed(wav, rate, name))[None]
                    audio.write(args.out / places[word], cut, rate)
                rows += [
                    {"id": place, "audio": place, "text": word, "language": language}
                    | {"speaker": name}
                    for word, place in places.items()
                    if (args.out / place).exists()
                ]
            print(f"{language}: {name}", flush=True)
    lines = (json.dumps(row, ensure_ascii=False) for row in rows)
    write_text(args.out / "manifest.jsonl", "\n".join([*lines, ""]))
    print(f"{args.out}: {len(rows)} clips")


def speakers(language: str, diphones: bool) -> Iterator[tuple[str, int, Speaker]]:
    """Name, takes and voice of everyone who speaks a language."""
    for variant in ESPEAK:
        yield f"espeak-{variant}", len(ESPEAK_TAKES), espeak(language, variant)
    if diphones and language in FESTIVAL:
        if not shutil.which("festival"):
            raise ValueError("festival is not installed")
        yield "festival-nsk", len(FESTIVAL_TAKES), festival(FESTIVAL[language])


def trimmed(wav: NDArray[np.float32], rate: int, name: str) -> NDArray[np.float32]:
    """[N] without the silence around it but for a margin, at a peak of `PEAK`.

    Silence is what stays so far below the loudest 10 ms; Festival's pauses hum, and its limit is
    high.
    """
    limit, margin = QUIET[name.partition("-")[0]]
    step = rate // 100
    power = np.square(wav[: len(wav) // step * step].reshape(-1, step)).mean(axis=1)
    loud = np.flatnonzero(power > 10 ** (limit / 10) * power.max()) * step
    wav = wav[max(0, loud[0] - round(margin * rate)) : loud[-1] + step + round(margin * rate)]
    return (wav * (PEAK / np.abs(wav).max())).astype(np.float32)


def espeak(language: str, variant: str) -> Speaker:
    """A voice of eSpeak NG: a language with the throat of a variant."""

    def speak(words: list[str], take: int) -> Iterator[tuple[str, Sound]]:
        for word in words:
            yield word, Espeak.only().say(word, f"{language}+{variant}", *ESPEAK_TAKES[take])

    return speak


class Espeak:
    """The library of `espeakng-loader`, which gives sound to a callback (speak_lib.h)."""

    here: "Espeak | None" = None

    def __init__(self) -> None:
        import espeakng_loader

        self.library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = os.fsencode(espeakng_loader.get_data_path())
        self.rate = self.library.espeak_Initialize(2, 0, data, 0x8000)  # synchronous, never exit
        kind = ctypes.CFUNCTYPE(
            ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
        )
        self.callback = kind(self._receive)
        self.library.espeak_SetSynthCallback(self.callback)

    @classmethod
    def only(cls) -> "Espeak":
        """The one of this process: the library keeps its state in globals."""
        cls.here = cls.here or cls()
        return cls.here

    def _receive(self, wav: "ctypes._Pointer[ctypes.c_short]", count: int, _: int) -> int:
        if count > 0:
            self.chunks.append(np.ctypeslib.as_array(wav, (count,)).copy())
        return 0

    def say(self, word: str, voice: str, speed: int, pitch: int) -> Sound:
        """A word by a voice such as `hi+f1`."""
        self.chunks: list[NDArray[np.int16]] = []
        if self.library.espeak_SetVoiceByName(voice.encode()):
            raise ValueError(f"espeak-ng has no voice {voice}")
        self.library.espeak_SetParameter(1, speed, 0)
        self.library.espeak_SetParameter(3, pitch, 0)
        text = word.encode()
        self.library.espeak_Synth(text, len(text) + 1, 0, 1, 0, 1, None, None)  # UTF-8
        self.library.espeak_Synchronize()
        return np.concatenate(self.chunks).astype(np.float32) / 32768, self.rate


def festival(language: str) -> Speaker:
    """The diphones of NSK by Festival, many words a process."""

    def speak(words: list[str], take: int) -> Iterator[tuple[str, Sound]]:
        left = list(words)
        while left:
            with tempfile.TemporaryDirectory() as name:
                clips = [Path(name) / f"{n}.wav" for n in range(len(left))]
                said = [
                    f'(utt.save.wave (utt.synth (Utterance Text "{word}")) "{clip}" \'riff)'
                    for word, clip in zip(left, clips, strict=True)
                ]
                stretch = f"(Parameter.set 'Duration_Stretch {FESTIVAL_TAKES[take]})"
                script = Path(name) / "words.scm"
                order = [f"(voice_{language}_NSK_diphone)", stretch, *said]
                script.write_text("\n".join(order), encoding="utf-8")
                subprocess.run(["festival", "-b", str(script)], capture_output=True, timeout=600)
                done = sum(clip.exists() and clip.stat().st_size > 44 for clip in clips)
                for word, clip in zip(left[:done], clips[:done], strict=True):
                    yield word, (audio.read(clip, 16_000)[0].numpy(), 16_000)
            if done < len(left):
                print(f"festival cannot say {left[done]}")  # it crashes at some words
            left = left[done + 1 :]

    return speak


if __name__ == "__main__":
    main()
