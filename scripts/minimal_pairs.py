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
from functools import cache, partial
from pathlib import Path
from typing import Any

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
QUIET = {"espeak": (40.0, 0.04), "festival": (14.0, 0.08)}  # dB below the loudest, margin in s

Sound = tuple[NDArray[np.float32], int]  # [N] and its rate
Speaker = Callable[[list[str], int], Iterator[tuple[str, Sound]]]  # words, number of the take


def main(arguments: Sequence[str] | None = None) -> None:
    """Speaks what is missing, then writes the manifest."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder for clips and manifest")
    add("--pairs", type=Path, default=LIST, help="the list; default: the shipped one")
    add("--languages", nargs="+", help="codes such as hi; default: all of the list")
    add("--festival", action="store_true", help="the diphones of Festival too")
    args = parser.parse_args(arguments)
    words: dict[str, dict[str, None]] = {}  # by language, in the order of the list
    for pair in read_pairs(args.pairs):
        words.setdefault(pair.language, {}).update({pair.a: None, pair.b: None})
    rows = []
    for language in args.languages or words:
        (args.out / language).mkdir(parents=True, exist_ok=True)
        for name, takes, speak in speakers(language, args.festival):
            for take in range(takes):
                places = {
                    word: f"{language}/{number:03}-{name}-{take}.flac"
                    for number, word in enumerate(words[language])
                }
                missing = [word for word in places if not (args.out / places[word]).exists()]
                for word, (wav, rate) in speak(missing, take):
                    audio.write(args.out / places[word], trimmed(wav, rate, name), rate)
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
        voice = f"{language}+{variant}"  # a language with the throat of a variant
        yield f"espeak-{variant}", len(ESPEAK_TAKES), partial(espeak, voice)
    if diphones and language in FESTIVAL:
        if not shutil.which("festival"):
            raise ValueError("festival is not installed")
        yield "festival-nsk", len(FESTIVAL_TAKES), partial(festival, FESTIVAL[language])


def trimmed(wav: NDArray[np.float32], rate: int, name: str) -> torch.Tensor:
    """[1, N] without the silence around it but for a margin, at a peak of `PEAK`.

    Festival's pauses hum, and its limit of silence is high.
    """
    below, margin = QUIET[name.partition("-")[0]]
    cut = audio.trim(torch.from_numpy(wav)[None], rate, margin, below)
    return cut * (PEAK / cut.abs().max())


def espeak(voice: str, words: list[str], take: int) -> Iterator[tuple[str, Sound]]:
    """Words by a voice of eSpeak NG such as `hi+f1`, whose library calls back with sound."""
    library, rate, chunks = _espeak()
    if library.espeak_SetVoiceByName(voice.encode()):
        raise ValueError(f"espeak-ng has no voice {voice}")
    speed, pitch = ESPEAK_TAKES[take]
    library.espeak_SetParameter(1, speed, 0)
    library.espeak_SetParameter(3, pitch, 0)
    for word in words:
        chunks.clear()
        text = word.encode()
        library.espeak_Synth(text, len(text) + 1, 0, 1, 0, 1, None, None)  # UTF-8
        library.espeak_Synchronize()
        yield word, (np.concatenate(chunks).astype(np.float32) / 32768, rate)


@cache
def _espeak() -> tuple[ctypes.CDLL, int, list[NDArray[np.int16]]]:
    """The library of `espeakng-loader`, its sample rate, and where it puts sound (speak_lib.h)."""
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data = os.fsencode(espeakng_loader.get_data_path())
    rate = library.espeak_Initialize(2, 0, data, 0x8000)  # synchronous, never exit
    chunks: list[NDArray[np.int16]] = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    def receive(wav: Any, count: int, _: int) -> int:
        if count > 0:
            chunks.append(np.ctypeslib.as_array(wav, (count,)).copy())
        return 0

    library.receive = receive  # so that it lives as long
    library.espeak_SetSynthCallback(receive)
    return library, rate, chunks


def festival(language: str, words: list[str], take: int) -> Iterator[tuple[str, Sound]]:
    """Words by the diphones of NSK in Festival, many a process."""
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


if __name__ == "__main__":
    main()
