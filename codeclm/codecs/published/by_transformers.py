"""What the adapters of networks of `transformers` share: how they are loaded."""

from pathlib import Path
from typing import Any, ClassVar

from codeclm.codecs.base import Codec, CodecSpec, Stream, residual_streams
from codeclm.codecs.chunked import ChunkedCodec
from codeclm.codecs.published import weights


def first_codebooks(name: str, streams: int, total: int, size: int) -> tuple[Stream, ...]:
    """The first `streams` of `total` residual codebooks, of `size` codes each."""
    if streams > total:
        raise ValueError(f"{name} has {total} codebooks, not {streams}")
    return residual_streams(size, streams)


class TransformersCodec(ChunkedCodec):
    """A codec whose network is a model of `transformers`.

    A subclass is made of the name, the model, the number of streams and the fingerprint.

    Attributes:
        network: the class of the model, as "module:class" in `transformers.models`.
        decoding: how the names of all weights begin that do not give tokens their meaning.
    """

    network: ClassVar[str]
    decoding: ClassVar[tuple[str, ...]] = ("decoder.",)

    def __init__(self, spec: CodecSpec, model: Any) -> None:
        super().__init__(spec)
        self.model = model

    @classmethod
    def load(cls, name: str, folder: Path, streams: int) -> Codec:
        """Reads the folder as `transformers` saves it, and uses the first `streams` codebooks."""
        module, _, network = cls.network.partition(":")
        kind = getattr(weights.library(f"transformers.models.{module}", "codecs"), network)
        model, mark = (
            weights.load_model(kind, folder),
            weights.token_fingerprint(folder, cls.decoding),
        )
        return cls(name, model, streams, mark)  # type: ignore[call-arg,arg-type]
