"""Frozen codecs: sound to tokens and back. This room knows nothing of text."""

from pathlib import Path

from codeclm import checkpoint
from codeclm.codecs.base import Codec, CodecSpec, Stream

HOUSE = ("house-rvq", "house-fsq", "house-semantic", "house-vae")  # shipped in the package

__all__ = ["HOUSE", "Codec", "CodecSpec", "Stream", "codec_folder", "codec_of", "load_codec"]


def load_codec(name: str | Path) -> Codec:
    """A codec by name, folder or hub name."""
    from codeclm.codecs.house.codec import HouseCodec

    return HouseCodec.load(codec_folder(name))


def codec_of(spec: CodecSpec, given: str | Path | None, owner: str) -> Codec:
    """The codec that made the tokens at hand.

    Args:
        spec: what came with the tokens.
        given: name, folder or hub name; None: the name in the spec.
        owner: whose tokens they are, to begin the message with: "runs/data was prepared with".

    Raises:
        ValueError: no such codec, or it has other weights.
    """
    codec = load_codec(given or spec.name)
    if codec.spec.fingerprint != spec.fingerprint:
        raise ValueError(
            f"{owner} codec {spec.name} {spec.fingerprint}, but the codec given is "
            f"{codec.spec.name} {codec.spec.fingerprint}: give the right one as `codec`"
        )
    return codec


def codec_folder(name: str | Path) -> Path:
    """Where a codec lies, by name, folder or hub name."""
    shipped = isinstance(name, str) and name in HOUSE
    return checkpoint.resolve(f"starter/{name}" if shipped else name)
