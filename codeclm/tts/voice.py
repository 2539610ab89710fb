"""A voice: a few seconds of a speaker as codes or latents, perhaps with what is said in them.

Made once, saved as one file, used by every model of that codec.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from codeclm import audio
from codeclm.codecs.base import Codec, CodecSpec

if TYPE_CHECKING:  # voice files are read without torch; only making a voice needs it
    from torch import Tensor

SUFFIX = ".voice.safetensors"
SHORTEST, LONGEST = 1.0, 8.0  # seconds of speech
QUIET = -50.0  # dB below full scale, under which a reference is silence
LOUD, PEAK = -19.5, 0.95  # dB of speech that a reference is brought to, and its highest peak
CLIPPED = 0.002  # share of samples at the limit, from which a voice will sound harsh
NOISY = 20.0  # dB between speech and what is between words, under which a voice will sound noisy
FRAME = 0.02  # seconds


@dataclass(frozen=True)
class Voice:
    """A speaker, as the token matrix of a short recording.

    Attributes:
        tokens: an array of codes [K, T], int64, or latents [D, T], float32.
        name: for people.
        codec: name of the codec.
        fingerprint: of the codec's weights; another codec cannot read these tokens.
        transcript: what is said, for models to go on from; empty if it is not known.
        language: of the transcript.
        durations: frames that each token of the transcript lasts, for models that read text beside
            the audio (`TTS.timed`).
        doubts: what was found wrong with the recording, if anything; not saved.
    """

    tokens: NDArray[Any]
    name: str
    codec: str
    fingerprint: str
    transcript: str = ""
    language: str = "en"
    durations: tuple[int, ...] = ()
    doubts: tuple[str, ...] = ()

    @classmethod
    def from_audio(
        cls,
        path: str | Path,
        codec: Codec,
        name: str | None = None,
        transcript: str = "",
        language: str = "en",
    ) -> "Voice":
        """Makes a voice from a recording of one speaker, 1 to 8 seconds of it.

        Args:
            path: of a sound file.
            codec: that the model speaks.
            name: for people; none: that of the file.
            transcript: exactly what is said in it, if that is known.
            language: of the transcript.

        Raises:
            ValueError: unreadable, empty, silent, too short, or not finite; with a transcript also
                too long.
        """
        wav, name = audio.read(path, codec.spec.sample_rate), name or Path(path).stem
        return cls.from_wav(wav, codec, name, str(path), transcript, language)

    @classmethod
    def from_wav(
        cls,
        wav: "Tensor",
        codec: Codec,
        name: str = "voice",
        where: str = "the reference",
        transcript: str = "",
        language: str = "en",
    ) -> "Voice":
        """Makes a voice from sound [1, N] at the codec's sample rate; errors as `from_audio`."""
        spec, rate, loud = codec.spec, codec.spec.sample_rate, audio.rms_db(wav)
        if not wav.isfinite().all():
            raise ValueError(f"{where}: holds values that are not finite; export it again")
        if loud < QUIET:
            raise ValueError(f"{where}: is silent ({loud:.0f} dB); record it closer or louder")
        wav = audio.trim(wav, rate)
        seconds = wav.shape[1] / rate
        if seconds < SHORTEST:
            raise ValueError(
                f"{where}: holds {seconds:.1f} s of speech; a voice needs at least "
                f"{SHORTEST:.0f} s, better 3 to 8"
            )
        if transcript and seconds > LONGEST:
            raise ValueError(
                f"{where}: holds {seconds:.1f} s of speech, and with a transcript it may be "
                f"{LONGEST:.0f} s: cut both, or leave the transcript out"
            )
        wav = wav[:, : int(LONGEST * rate)]
        doubts = tuple(doubtful(wav, rate))
        tokens = spec.matrix(codec.encode(at_level(wav, rate)[None]))[0].numpy()
        said = transcript, language
        return cls(tokens, name, spec.name, spec.fingerprint, *said, doubts=doubts)

    def save(self, path: str | Path) -> None:
        """Writes the voice file, whole or not at all."""
        path = Path(path)
        audio.check_folder(path)
        about: dict[str, Any] = {"name": self.name, "codec": self.codec}
        about["fingerprint"] = self.fingerprint
        if self.transcript:
            about |= {"transcript": self.transcript, "language": self.language}
            about["durations"] = self.durations
        temporary = path.with_name(f".{path.name}.tmp")
        latents = self.tokens.dtype.kind == "f"
        tokens = np.ascontiguousarray(self.tokens, np.float16 if latents else np.int16)
        try:
            save_file(
                {"latents" if latents else "codes": tokens}, temporary, {"voice": json.dumps(about)}
            )
            temporary.replace(path)
        except (OSError, SafetensorError) as error:
            raise ValueError(f"cannot write {path}: {error}") from None
        finally:
            temporary.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | Path) -> "Voice":
        """Reads a voice file."""
        try:
            with safe_open(path, "np") as file:
                about = json.loads(file.metadata()["voice"])
                about["durations"] = tuple(about.get("durations", ()))
                latents = "latents" in file.keys()  # noqa: SIM118, a safetensors file is no dict
                tokens = file.get_tensor("latents" if latents else "codes")
            return cls(tokens.astype(np.float32 if latents else np.int64), **about)
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path} is not a voice file ({error}); make one with `codeclm voice make`"
            ) from None

    def check(self, spec: CodecSpec, where: str) -> None:
        """Refuses a codec that cannot read this voice."""
        if self.fingerprint != spec.fingerprint:
            raise ValueError(
                f"{where} was made for codec {self.codec} {self.fingerprint}, this model speaks "
                f"{spec.name} {spec.fingerprint}: make the voice again with this model"
            )


def stock_voices(folder: Path) -> dict[str, Voice]:
    """The voices that come with a model, by name."""
    return {
        path.name.removesuffix(SUFFIX): Voice.load(path)
        for path in sorted((folder / "voices").glob(f"*{SUFFIX}"))
    }


def levels(wav: "Tensor", rate: int) -> "Tensor":
    """Of the frames of a sound [1, N], in dB below full scale."""
    frames = wav[0].unfold(0, round(FRAME * rate), round(FRAME * rate))
    return 10 * frames.square().mean(-1).clamp(min=1e-12).log10()


def at_level(wav: "Tensor", rate: int) -> "Tensor":
    """A sound [1, N] whose speech has the level that models know, or as near as its peaks allow."""
    level = levels(wav, rate)
    speech = level[level > level.max() - 25]  # what is softer is pauses
    loud = 10 * (10 ** (speech / 10)).mean().log10()
    gain = 10 ** ((LOUD - float(loud)) / 20)
    return wav * min(gain, PEAK / float(wav.abs().max()))


def doubtful(wav: "Tensor", rate: int) -> Iterator[str]:
    """What will be heard in a voice made from this sound [1, N]."""
    size = wav.abs()
    clipped = float((size >= 0.99 * size.max()).float().mean())
    if clipped > CLIPPED:
        yield f"clipping: {100 * clipped:.1f} % of the samples are at the limit; record it softer"
    level = levels(wav, rate)
    loud, soft = (float(level.quantile(share)) for share in (0.9, 0.05))
    if loud - soft < NOISY:
        yield (
            f"noise: only {loud - soft:.0f} dB between the speech and what is behind it; record it "
            "in a quiet room"
        )
