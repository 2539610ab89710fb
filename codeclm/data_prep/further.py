"""What a finished speech model asks of the data that it is trained further on."""

from dataclasses import dataclass
from pathlib import Path

from codeclm import checkpoint
from codeclm.codecs import CodecSpec
from codeclm.codecs.latents import Scale
from codeclm.data_prep.durations import header
from codeclm.data_prep.text import Tokenizer, load_tokenizer


@dataclass(frozen=True)
class Further:
    """A finished model, as far as its data are concerned.

    Attributes:
        name: folder or name.
        spec: of its codec.
        scale: of its latents.
        aligner: what timed the texts that it was trained on, if its folder has that and it
            reads the same codec.
        fingerprint: of its weights.
    """

    name: str
    tokenizer: Tokenizer
    spec: CodecSpec
    scale: Scale | None
    aligner: Path | None
    fingerprint: str

    @classmethod
    def of(cls, name: str) -> "Further":
        """Reads the folder of a model.

        Raises:
            ValueError: there is none, or it does not speak.
        """
        saved = checkpoint.load_speech(name)
        spec = CodecSpec.from_dict(saved.meta["codec"])
        tokenizer = load_tokenizer(saved.meta["tokenizer"])
        aligner, fits = saved.folder / checkpoint.ALIGNER, False
        if aligner.exists():
            made = header(aligner)
            read = made["vocabulary"], made["spec"]["fingerprint"]
            fits = read == (len(tokenizer.tokens), spec.fingerprint)
        return cls(
            name,
            tokenizer,
            spec,
            Scale(**saved.meta["scale"]) if "scale" in saved.meta else None,
            aligner if fits else None,
            checkpoint.fingerprint(saved.tensors),
        )
