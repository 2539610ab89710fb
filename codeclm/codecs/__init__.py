"""Frozen codecs: sound to tokens and back. This room knows nothing of text."""

from pathlib import Path

from codeclm import checkpoint
from codeclm.codecs.base import Codec, CodecSpec, Stream

HOUSE = ("house-rvq", "house-fsq", "house-semantic", "house-vae")  # shipped in the package

__all__ = ["HOUSE", "Codec", "CodecSpec", "Stream", "codec_folder", "load_codec"]


def load_codec(name: str | Path) -> Codec:
    """A codec by name, folder or hub name."""
    from codeclm.codecs.house.codec import HouseCodec

    return HouseCodec.load(codec_folder(name))


def codec_folder(name: str | Path) -> Path:
    """Where a codec lies, by name, folder or hub name."""
    shipped = isinstance(name, str) and name in HOUSE
    return checkpoint.resolve(f"starter/{name}" if shipped else name)
