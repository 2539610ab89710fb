"""A voice: a few seconds of a speaker as codes or latents.

Made once, saved as one file, used by every model of that codec.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from codeclm import audio
from codeclm.codecs.base import Codec, CodecSpec

SHORTEST, LONGEST = 1.0, 8.0  # seconds of speech
LEVEL = 0.7  # peak that a reference is brought to, that of the starter corpus
QUIET = -50.0  # dB below full scale, under which a reference is silence


@dataclass(frozen=True)
class Voice:
    """A speaker, as the token matrix of a short recording.

    Attributes:
        tokens: codes [K, T], int64, or latents [D, T], float32.
        name: for people.
        codec: name of the codec.
        fingerprint: of the codec's weights; another codec cannot read these tokens.
    """

    tokens: Tensor
    name: str
    codec: str
    fingerprint: str

    @classmethod
    def from_audio(cls, path: str | Path, codec: Codec, name: str | None = None) -> "Voice":
        """Makes a voice from a recording of one speaker, 1 to 8 seconds of it.

        Raises:
            ValueError: unreadable, empty, silent, too short, or not finite.
        """
        wav = audio.read(path, codec.spec.sample_rate)
        return cls.from_wav(wav, codec, name or Path(path).stem, where=str(path))

    @classmethod
    def from_wav(
        cls, wav: Tensor, codec: Codec, name: str = "voice", where: str = "the reference"
    ) -> "Voice":
        """Makes a voice from sound [1, N] at the codec's sample rate; errors as `from_audio`."""
        rate = codec.spec.sample_rate
        if not torch.isfinite(wav).all():
            raise ValueError(f"{where}: holds values that are not finite; export it again")
        if audio.rms_db(wav) < QUIET:
            raise ValueError(
                f"{where}: is silent ({audio.rms_db(wav):.0f} dB); record it closer or louder"
            )
        wav = audio.trim(wav, rate)
        seconds = wav.shape[1] / rate
        if seconds < SHORTEST:
            raise ValueError(
                f"{where}: holds {seconds:.1f} s of speech; a voice needs at least "
                f"{SHORTEST:.0f} s, better 3 to 8"
            )
        wav = audio.peak_normalize(wav[:, : int(LONGEST * rate)], LEVEL)
        tokens = codec.spec.matrix(codec.encode(wav[None]))[0]
        return cls(tokens, name, codec.spec.name, codec.spec.fingerprint)

    def save(self, path: str | Path) -> None:
        """Writes the voice file, whole or not at all."""
        path = Path(path)
        audio.check_folder(path)
        about = {"name": self.name, "codec": self.codec, "fingerprint": self.fingerprint}
        temporary = path.with_name(f".{path.name}.tmp")
        latents = self.tokens.is_floating_point()
        tokens = self.tokens.to(torch.float16 if latents else torch.int16).contiguous()
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
            with safe_open(path, "pt") as file:
                about = json.loads(file.metadata()["voice"])
                latents = "latents" in file.keys()  # noqa: SIM118, a safetensors file is no dict
                tokens = file.get_tensor("latents" if latents else "codes")
            tokens = tokens.float() if latents else tokens.long()
            return cls(tokens, about["name"], about["codec"], about["fingerprint"])
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
