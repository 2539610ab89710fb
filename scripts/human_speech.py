"""Make two corpora of real human speech from packages of Debian: for codec training, and for tests.

    python scripts/human_speech.py --out runs/human [--debs FOLDER]

`OUT/train/manifest.jsonl` points to the unpacked recordings; nothing is encoded anew. Its `text` is
the name of the file, not what is said: the codec trainer ignores it, so never train a TTS on it.
The last 3 % of each speaker (1 clip at least) are the split `dev`. `OUT/test/manifest.jsonl` has
16 kHz FLAC and true transcripts (by the publisher, not checked word by word). It needs PyAV
(`pip install av`), which decodes G.722.

What is dropped: copies, files of less than 16 kHz, clips that are too short, too long, near silent,
clipped, or of even level like noise. The last lines printed say how many.

Packages and licences, by their `copyright` files:

    fillets-ng-data-cs            GPL-2     voices of a game: Czech cast, a fish each for m and v
    fillets-ng-data-nl            GPL-2     the same, Dutch
    klettres-data                 GPL-2+    letters and syllables, 20 languages
    ktuberling-data               GPL-2+    words, 23 languages
    asterisk-core-sounds-en, -es  CC-BY-SA-3.0  Allison Smith, prompts of a telephone exchange
    asterisk-core-sounds-fr       CC-BY-SA-3.0  June Wallack
    asterisk-core-sounds-it       CC-BY-3.0     Carlo Flora
    asterisk-core-sounds-ru       CC-BY-3.0     provided by Maxim Topal
"""

import argparse
import gzip
import hashlib
import os
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import debian
import soundfile
import torch
from debian import Row
from rich.progress import track
from torch import Tensor

from codeclm.audio import read, rms_db, write

TRAIN = ("fillets-ng-data-cs", "fillets-ng-data-nl", "klettres-data", "ktuberling-data")
TEST = tuple(f"asterisk-core-sounds-{language}" for language in ("en", "es", "fr", "it", "ru"))
PACKAGES = (*TRAIN, *TEST, *(f"{name}-g722" for name in TEST))

TRAIN_SECONDS = (0.4, 20.0)
TEST_SECONDS = (1.5, 15.0)
LOWEST_RATE = 16_000  # Hz; what is below sounds like a telephone
G722_RATE = 16_000
DEV_SHARE = 0.03
UNFIT = {"ktuberling-gl": "loud hum", "ktuberling-sr": "loud noise"}  # all clips of a speaker
NOT_SPEECH = re.compile("hudba|huhu|shout")  # file names of music, howling, shouts in fillets
FISH = re.compile(r"(?:^|[-_])([mv])(?:[-_]|$)")  # "let-m-divna": the small fish
NO_SENTENCE = re.compile("tt-|spy-|(digits|letters|phonetic|silence)/")  # jokes, spelling, words
NOT_SPOKEN = re.compile(r"[][(){}<>#*/]|\S-\S+: ")  # notes, signs, the name of a run-on next line


def main() -> None:
    """Unpack, choose, write both manifests."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the corpora")
    parser.add_argument("--debs", type=Path, help="folder with the .deb files (else downloaded)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    try:
        unpacked = debian.unpack(PACKAGES, args.debs, args.out)
        finish(args.out / "train", train_rows(unpacked, args.out / "train"))
        finish(args.out / "test", test_rows(unpacked, args.out / "test"))
    except ValueError as error:
        sys.exit(f"error: {error}")


def train_rows(unpacked: Path, folder: Path) -> tuple[list[Row], Counter[str]]:
    """The rows of the training corpus, and what was dropped for which reason."""
    rows: list[Row] = []
    dropped: Counter[str] = Counter()
    seen: set[bytes] = set()
    share = unpacked / "usr/share"
    for path, package, speaker, language in track(list(recordings(share)), "training speech"):
        digest = hashlib.sha256(path.read_bytes()).digest()
        try:
            rate = soundfile.info(path).samplerate
            wav = read(path, rate)
        except (ValueError, soundfile.LibsndfileError):
            dropped["unreadable or empty"] += 1
            continue
        reason = (
            ("copy" if digest in seen else None)
            or ("below 16 kHz" if rate < LOWEST_RATE else None)
            or UNFIT.get(speaker)
            or ("not speech" if NOT_SPEECH.search(path.stem) else None)
            or fault(wav, rate, *TRAIN_SECONDS)
        )
        if reason:
            dropped[reason] += 1
            continue
        seen.add(digest)
        name = str(path.relative_to(share).with_suffix(""))
        about = (os.path.relpath(path, folder), path.stem, speaker, "train", language)
        rows.append(debian.row(name, *about, wav, rate) | {"source": package})
    by_speaker = defaultdict(list)
    for row in rows:
        by_speaker[row["speaker"]].append(row)
    for own in by_speaker.values():
        for row in own[-max(1, round(DEV_SHARE * len(own))) :]:
            row["split"] = "dev"
    return rows, dropped


def recordings(share: Path) -> Iterator[tuple[Path, str, str, str]]:
    """Path, package, speaker and language of all that may be training speech, in fixed order."""
    for language in ("cs", "nl"):
        for path in sorted(share.glob(f"games/fillets-ng/sound/**/{language}/*.ogg")):
            fish = FISH.search(path.stem)
            speaker = f"fillets-{language}-{fish[1] if fish else 'other'}"
            yield path, f"fillets-ng-data-{language}", speaker, language
    for game, pattern, up in (("klettres", "*/*/*", 1), ("ktuberling", "sounds/*/*", 0)):
        for path in sorted((share / game).glob(pattern)):
            if path.suffix in (".ogg", ".opus", ".wav"):
                language = path.parents[up].name.partition("@")[0].replace("_", "-").lower()
                yield path, f"{game}-data", f"{game}-{language}", language


def fault(wav: Tensor, rate: int, shortest: float, longest: float) -> str | None:
    """Why `[1, N]` is no good speech, or None."""
    seconds = wav.shape[1] / rate
    if not shortest <= seconds <= longest:
        return f"not of {shortest} to {longest} s"
    hop = rate // 100
    frames = wav[0, : wav.shape[1] // hop * hop].view(-1, hop)
    levels = torch.tensor([rms_db(frame) for frame in frames])
    low, high = levels.quantile(torch.tensor([0.1, 0.9])).tolist()
    if high < -45:
        return "near silent"
    if (wav.abs() >= 0.99).float().mean() > 0.01:
        return "clipped"
    return "of even level" if high - low < 5 else None


def test_rows(unpacked: Path, folder: Path) -> tuple[list[Row], Counter[str]]:
    """The rows of the test corpus, their audio written, and what was dropped for which reason."""
    rows: list[Row] = []
    dropped: Counter[str] = Counter()
    for package in TEST:
        language = package[-2:]
        (sounds,) = (unpacked / "usr/share/asterisk/sounds").glob(f"{language}_*")
        texts = unpacked / f"usr/share/doc/{package}/core-sounds-{language}.txt.gz"
        for name, text in track(sorted(transcripts(texts).items()), f"test speech, {language}"):
            path = sounds / f"{name}.g722"
            if not path.is_file():
                dropped["text without sound"] += 1
                continue
            if NO_SENTENCE.match(name) or NOT_SPOKEN.search(text) or " " not in text:
                dropped["joke, tone, note or single word"] += 1
                continue
            wav = decode(path)
            reason = fault(wav, G722_RATE, *TEST_SECONDS)
            if reason:
                dropped[reason] += 1
                continue
            audio = f"audio/{language}/{name}.flac"
            write(folder / audio, wav, G722_RATE)
            speaker = f"asterisk-{language}"
            about = (audio, text, speaker, "test", language)
            row = debian.row(f"{speaker}/{name}", *about, wav, G722_RATE)
            rows.append(row | {"source": package})
    return rows, dropped


def transcripts(path: Path) -> dict[str, str]:
    """Name to text, from lines of `name: text`; lines that begin with `;` are comments."""
    texts = {}
    with gzip.open(path, "rt", encoding="utf-8-sig") as lines:
        for line in lines:
            name, colon, text = line.partition(":")
            if colon and not line.startswith(";"):
                texts[name.strip()] = " ".join(text.split()).strip(' "“”').lstrip(".… ")
    return texts


def decode(path: Path) -> Tensor:
    """Raw G.722 as `[1, N]`."""
    try:
        import av
    except ImportError:
        raise ValueError("PyAV is missing, it decodes G.722: pip install av") from None
    with av.open(str(path), format="g722") as container:
        parts = [torch.from_numpy(frame.to_ndarray()) for frame in container.decode(audio=0)]
    return torch.cat(parts, dim=1).float() / 32_768


def finish(folder: Path, made: tuple[list[Row], Counter[str]]) -> None:
    """Writes the manifest and says what it holds."""
    rows, dropped = made
    path = debian.write_manifest(folder, rows)
    for source in sorted({row["source"] for row in rows}):
        own = [row for row in rows if row["source"] == source]
        hours = sum(row["duration"] for row in own) / 3600
        speakers = len({row["speaker"] for row in own})
        print(f"{source:24} {len(own):5} clips  {hours:.2f} h  {speakers:2} speakers")
    print("dropped:", ", ".join(f"{n} {reason}" for reason, n in dropped.most_common()))
    print(path, flush=True)


if __name__ == "__main__":
    main()
