"""The voices of a server: the stock ones of its model, and those that were uploaded.

The folder is the truth, so that what was uploaded survives the process, and several processes can
share it. A file is written whole and then renamed; ids are made here and are no paths.
"""

import contextlib
import re
import secrets
import shutil
import tempfile
import time
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from codeclm import audio
from codeclm.serve.errors import RefusalError, unknown
from codeclm.tts.generate import TTS
from codeclm.tts.voice import SUFFIX, Voice

ID = re.compile(r"[a-z0-9_-]{1,64}")
DEFAULT = "default"
MOST = 1000  # voices of one's own
KEPT = 64  # of them in memory
LONGEST = 60.0  # seconds of a recording
RATES, CHANNELS = range(8_000, 192_001), 2  # of one
NAME, TRANSCRIPT = 64, 500  # characters
KINDS = (b"RIFF", b"fLaC", b"OggS", b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"\xff\xfa")


class Voices:
    """The voices of a server.

    Args:
        tts: whose stock voices and codec they are.
        folder: of the uploaded ones; None: they are gone with the process.
    """

    def __init__(self, tts: TTS, folder: Path | None) -> None:
        self.tts, self._temporary = tts, folder is None
        # The same object each time while the file is the same, so that it is prefilled once.
        self._load = lru_cache(KEPT)(lambda path, changed: Voice.load(path))
        folder = folder or Path(tempfile.mkdtemp(prefix="codeclm-voices-"))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for left in folder.glob(f".*{SUFFIX}.tmp"):  # by a process that was killed
                if time.time() - left.stat().st_mtime > 60:
                    left.unlink(missing_ok=True)
        except OSError as error:
            raise ValueError(f"voices cannot be kept in {folder}: {error.strerror}") from None
        self.folder = folder

    def close(self) -> None:
        """Forgets the uploaded voices, if no folder was given for them."""
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    def find(self, wanted: str | None) -> Voice | None:
        """A voice by its id; None and `default`: the first stock one. Unknown ones are refused."""
        if wanted is None or wanted == DEFAULT:
            return next(iter(self.tts.voices.values()), None)
        if wanted in self.tts.voices:
            return self.tts.voices[wanted]
        if ID.fullmatch(wanted):
            path = self.folder / (wanted + SUFFIX)
            with contextlib.suppress(OSError, ValueError):
                return self._load(path, path.stat().st_mtime_ns)
        stock = ", ".join([DEFAULT, *self.tts.voices])
        raise unknown("voice", wanted, f"; there are {stock}, and those of GET /v1/voices", 400)

    def listed(self) -> list[dict[str, Any]]:
        """All that this model can speak with: stock ones first, then the oldest."""
        stock = [about(name, voice, "stock") for name, voice in self.tts.voices.items()]
        own = []
        for path in self._files():
            with contextlib.suppress(OSError, ValueError):  # gone, damaged, or of another codec
                made, voice = path.stat().st_mtime, Voice.load(path)
                self.tts.sound.check(voice)
                own.append((made, about(path.name.removesuffix(SUFFIX), voice, "own", int(made))))
        return stock + [told for _, told in sorted(own, key=lambda pair: pair[0])]

    def add(self, voice: Voice) -> dict[str, Any]:
        """Keeps a voice; too many are refused."""
        if len(self._files()) >= MOST:
            raise RefusalError(f"there are {MOST} voices already: delete some", "too_many_voices")
        name = f"voice_{secrets.token_hex(8)}"
        path = self.folder / (name + SUFFIX)
        voice.save(path)
        return about(name, voice, "own", int(path.stat().st_mtime))

    def remove(self, wanted: str) -> None:
        """Forgets an uploaded voice; stock voices and unknown ones are refused."""
        if wanted in self.tts.voices:
            told = f"{wanted} is a stock voice and stays"
            raise RefusalError(told, "stock_voice", "voice", status=403)
        try:
            if not ID.fullmatch(wanted):
                raise FileNotFoundError
            (self.folder / (wanted + SUFFIX)).unlink()
        except FileNotFoundError:
            raise unknown("voice", wanted) from None

    def _files(self) -> list[Path]:
        files = self.folder.glob(f"*{SUFFIX}")
        return [path for path in files if ID.fullmatch(path.name.removesuffix(SUFFIX))]


def about(name: str, voice: Voice, kind: str, created: int = 0) -> dict[str, Any]:
    """A voice, as clients see it."""
    shown = {"id": name, "object": "voice", "name": name if kind == "stock" else voice.name}
    return {**shown, "kind": kind, "created_at": created, "language": voice.language}


def make(tts: TTS, file: BinaryIO, name: str, transcript: str, language: str) -> Voice:
    """A voice from an uploaded recording, or why it cannot be one.

    Nothing is decoded beyond `LONGEST`, whatever the header promises.
    """
    if not name.isprintable() or len(name) > NAME:
        raise RefusalError(f"name: at most {NAME} printable characters", "invalid_value", "name")
    if len(transcript) > TRANSCRIPT:
        raise RefusalError(
            f"transcript: at most {TRANSCRIPT} characters", "invalid_value", "transcript"
        )
    begins = file.read(4)
    file.seek(0)
    if not begins.startswith(KINDS):
        raise RefusalError("send a recording as wav, flac, ogg, opus or mp3", "wrong_type", "file")
    info = audio.info(file)
    if info.sample_rate not in RATES or not 1 <= info.channels <= CHANNELS:
        told = f"this one has {info.sample_rate} Hz and {info.channels} channels"
        raise RefusalError(
            f"send a recording of 8 to 192 kHz, mono or stereo; {told}", "wrong_type", "file"
        )
    rate = tts.codec.spec.sample_rate
    file.seek(0)
    wav = audio.read(file, rate, seconds=LONGEST + 0.1) if info.seconds <= LONGEST else None
    if wav is None or wav.shape[1] > LONGEST * rate:
        raise RefusalError(
            f"send at most {LONGEST:.0f} s of sound; 3 to 8 s are enough", "too_long", "file"
        )
    return tts.timed(Voice.from_wav(wav, tts.codec, name, "the recording", transcript, language))
