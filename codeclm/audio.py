"""Reading, writing and resampling sound: the only room that knows an audio library.

Sound is a float32 tensor in [-1, 1], mono, `[1, N]` or `[N]`. The libraries are imported inside the
functions, so that the command line can check a path before anything heavy is loaded.
"""

import contextlib
import math
import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing import BinaryIO

    import numpy as np
    from numpy.typing import NDArray
    from soundfile import SoundFile
    from torch import Tensor

# What `write` can make: suffix -> container and coding, in the words of libsndfile.
FORMATS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}
READABLE = "wav, flac, ogg, opus, mp3, aiff, au, caf"

OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)
BLOCK = 1 << 16  # samples per write; libsndfile's Vorbis encoder overflows its stack on long ones
_NOTHING: Mapping[str, str] = MappingProxyType({})


class Info(NamedTuple):
    """What the header of a sound file says."""

    sample_rate: int
    channels: int
    seconds: float


def info(path: "str | Path | BinaryIO") -> Info:
    """Reads the header alone, with `read`'s errors; a file cut off can hold less than it says."""
    with _open(path) as file:
        return Info(file.samplerate, file.channels, file.frames / file.samplerate)


def read(
    path: "str | Path | BinaryIO",
    sample_rate: int,
    start: float = 0.0,
    seconds: float | None = None,
    channel: int | None = None,
) -> "Tensor":
    """Reads a sound file, or a part of it, as mono `[1, N]` float32 at `sample_rate`.

    Args:
        path: a file, or an open binary file (a member of a tar, an upload).
        sample_rate: in Hz.
        start: seconds of the file to leave out.
        seconds: how many to read at most; None reads to the end.
        channel: the one to take, counted from 0, instead of the average.

    Raises:
        ValueError: missing, a folder, not audio, empty, holding NaN or infinite samples, shorter
            than `start`, or without that channel.
    """
    import numpy as np
    import torch

    name = _name(path)
    with _open(path) as file:
        file_rate = file.samplerate
        if channel is not None and channel >= file.channels:
            raise ValueError(f"{name} has {file.channels} channel(s), so none of number {channel}")
        first = round(start * file_rate)
        if start > 0 and first >= file.frames:
            raise ValueError(f"{name} ends after {file.frames / file_rate:.2f} s, before {start} s")
        before = min(first, file_rate // 2)  # decoders of mp3 and opus need some to settle
        if first > before:
            file.seek(first - before)
        left = file.frames - first if seconds is None else round(seconds * file_rate)
        # In one go: soundfile seeks after each read, and that makes an mp3 decoder settle anew.
        samples = file.read(before + max(0, left), dtype="float32", always_2d=True)[before:]
    mono = samples.mean(axis=1) if channel is None else samples[:, channel]
    if not np.isfinite(mono).all():
        raise ValueError(f"{name} holds samples that are NaN or infinite; export it again")
    wav = resample(torch.from_numpy(np.ascontiguousarray(mono)), file_rate, sample_rate)
    if wav.numel() == 0:
        raise ValueError(f"{name} is empty (no sample at {sample_rate} Hz)")
    return wav[None]


def _name(path: "str | Path | BinaryIO") -> str:
    return str(path) if isinstance(path, str | Path) else "the sound"


@contextlib.contextmanager
def _open(path: "str | Path | BinaryIO") -> "Iterator[SoundFile]":
    """A sound file to read from; what libsndfile cannot read becomes a ValueError."""
    import soundfile

    name = _name(path)
    if isinstance(path, str | Path):
        if os.path.isdir(path):
            raise ValueError(f"{name} is a folder; name a sound file")
        if not os.path.exists(path):
            raise ValueError(f"{name}: no such file")
        if os.path.getsize(path) == 0:
            raise ValueError(f"{name} is empty (0 bytes)")
    try:
        with soundfile.SoundFile(path) as file:
            yield file
    except (soundfile.LibsndfileError, OSError, TypeError) as error:  # TypeError: the suffix .raw
        reason = getattr(error, "error_string", error)
        raise ValueError(
            f"cannot read {name} as audio ({str(reason).strip()}); formats that work: {READABLE}"
        ) from None
    except MemoryError:  # a damaged header can promise any number of samples
        raise ValueError(f"cannot read {name}: it says it is too long for the memory") from None


def write(
    path: str | Path,
    wav: "Tensor | NDArray[np.float32]",
    sample_rate: int,
    metadata: Mapping[str, str] = _NOTHING,
) -> None:
    """Writes a sound file whole: a temporary sibling first, then a rename.

    The suffix decides the format: 16 bit wav and flac; ogg (Vorbis), opus and mp3. Opus knows five
    sample rates only; sound at another is resampled to 48 kHz.

    Args:
        path: where; missing parent folders are made.
        wav: `[N]` or `[1, N]`; samples beyond [-1, 1] are clipped.
        sample_rate: in Hz.
        metadata: title, comment, software and others that libsndfile knows.

    Raises:
        ValueError: `path` cannot be written in this format, or `wav` holds NaN or infinity.
    """
    import numpy as np
    import soundfile

    check_writable(path)
    plain = wav if isinstance(wav, np.ndarray) else wav.detach().cpu().float().numpy()
    mono = plain.astype(np.float32, copy=False).reshape(-1)
    assert mono.size == wav.shape[-1], f"expected [N] or [1, N], got {list(wav.shape)}"
    if not np.isfinite(mono).all():
        raise ValueError(f"{path} is not written: the sound holds samples that are NaN or infinite")
    path = Path(path)
    container, coding = FORMATS[path.suffix.lower()]
    if coding == "OPUS" and sample_rate not in OPUS_RATES:
        import torch

        mono = resample(torch.from_numpy(mono), sample_rate, 48_000).numpy()
        sample_rate = 48_000
    samples = mono.clip(-1, 1)
    fresh = path.with_name(f".{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with soundfile.SoundFile(
            fresh, "w", sample_rate, channels=1, format=container, subtype=coding
        ) as file:
            for key, text in metadata.items():
                setattr(file, key, text)
            for start in range(0, len(samples), BLOCK):
                file.write(samples[start : start + BLOCK])
        fresh.replace(path)
    except (soundfile.LibsndfileError, OSError) as error:
        reason = getattr(error, "error_string", None) or getattr(error, "strerror", None) or error
        raise ValueError(f"cannot write {path} at {sample_rate} Hz: {reason}") from error
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink()


def check_writable(path: str | Path) -> None:
    """Says before long work, with a ValueError, if `write` could not make this file."""
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        known = ", ".join(FORMATS)
        raise ValueError(f"{path}: unknown sound format {suffix!r}; end the name in {known}")
    check_folder(path)


def check_folder(path: str | Path) -> None:
    """Says before long work, with a ValueError, if no file of any kind can be made at `path`."""
    if os.path.isdir(path):
        raise ValueError(f"{path} is a folder; name a file in it")
    folder = os.path.dirname(os.path.abspath(path))
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder):
        raise ValueError(f"cannot write {path}: {folder} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError(f"cannot write {path}: no permission to write in {folder}")


def resample(wav: "Tensor", from_rate: int, to_rate: int) -> "Tensor":
    """Changes the sample rate of `[..., N]`; the length becomes `round(N * to_rate / from_rate)`.

    High quality and band limited (soxr); not differentiable.

    Raises:
        ValueError: a rate that is not positive.
    """
    if from_rate <= 0 or to_rate <= 0:
        raise ValueError(f"a sample rate must be positive, got {from_rate} and {to_rate} Hz")
    if from_rate == to_rate:
        return wav
    import numpy as np
    import soxr
    import torch

    length = round(wav.shape[-1] * to_rate / from_rate)
    rows = wav.detach().cpu().float().reshape(-1, wav.shape[-1]).numpy()
    out = np.zeros((len(rows), length), dtype=np.float32)
    for row, samples in zip(out, rows, strict=True):
        resampled = soxr.resample(samples, from_rate, to_rate, quality="HQ")[:length]
        row[: len(resampled)] = resampled
    return torch.from_numpy(out).reshape(*wav.shape[:-1], length).to(wav.device)


def rms_db(wav: "Tensor") -> float:
    """Loudness of the whole `[..., N]` in dB below full scale; silence is -120."""
    rms = wav.float().square().mean().sqrt().item() if wav.numel() else 0.0
    return 20 * math.log10(max(rms, 1e-6))


def trim(wav: "Tensor", sample_rate: int) -> "Tensor":
    """Cuts silence off both ends of `[1, N]`, but for 50 ms: 40 dB under the loudest 10 ms."""
    hop = sample_rate // 100
    if wav.shape[1] < hop:
        return wav
    whole = wav[0, : wav.shape[1] // hop * hop]
    power = whole.view(-1, hop).square().mean(-1)
    loud = (power > power.max() * 1e-4).nonzero()[:, 0]
    if not len(loud):
        return wav
    margin = round(0.05 * sample_rate)
    first, last = int(loud[0]) * hop - margin, (int(loud[-1]) + 1) * hop + margin
    return wav[:, max(0, first) : last]
