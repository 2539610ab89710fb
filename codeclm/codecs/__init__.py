"""Frozen codecs: sound to tokens and back. This room knows nothing of text."""

import re
from pathlib import Path

from codeclm import checkpoint
from codeclm.codecs.base import Codec, CodecSpec, Stream
from codeclm.codecs.published import PUBLISHED, Published, load_published

__all__ = [
    "HOUSE",
    "PUBLISHED",
    "YARDSTICKS",
    "Codec",
    "CodecSpec",
    "Published",
    "Stream",
    "codec_folder",
    "codec_of",
    "load_codec",
]

HOUSE = ("house-rvq", "house-fsq", "house-semantic", "house-vae")  # shipped in the package
YARDSTICKS = {"opus-6k": 6_000, "opus-12k": 12_000, "opus-24k": 24_000}  # bits a second; no tokens
_PUBLISHED_NAME = re.compile(r"(?P<name>[\w.-]+)(:(?P<streams>\d+))?(@(?P<weights>.+))?")


def load_codec(
    name: str | Path, weights: str | Path | None = None, streams: int | None = None
) -> Codec:
    """A codec by name, folder or hub name.

    A published one may be called by its name alone, "encodec-24k", with the number of codebooks to
    use, "encodec-24k:4", and with its weights, "dac-24k@FOLDER" or "dac-24k@owner/name".

    Args:
        name: such a name, a name of `HOUSE`, or where a codec trained here lies.
        weights: of a published codec, the same as behind the @: a folder, or a hub name.
        streams: codebooks to use of a published codec, the same as behind the colon.

    Raises:
        ValueError: no such codec or weights, no such number of codebooks, or what it needs is not
            installed.
    """
    parts = _PUBLISHED_NAME.fullmatch(name) if isinstance(name, str) else None
    if parts and parts["name"] in PUBLISHED:
        if parts["streams"]:
            streams = int(parts["streams"])
        return load_published(parts["name"], weights or parts["weights"], streams)
    if parts and parts["name"] in YARDSTICKS:
        raise ValueError(
            f"{name} has no tokens to learn: a yardstick for `codec roundtrip` and `codec bench`"
        )
    if weights is not None or streams is not None:
        raise ValueError(f"{name} is no published codec: it has its own weights and streams")
    from codeclm.codecs.house.codec import HouseCodec

    return HouseCodec.load(codec_folder(name))


def codec_of(spec: CodecSpec, given: str | Path | None, owner: str) -> Codec:
    """The codec that made the tokens at hand.

    Args:
        spec: what came with the tokens.
        given: name, folder or hub name; None: the name in the spec.
        owner: whose tokens they are, to begin the message with: "runs/data was prepared with".

    Raises:
        ValueError: no such codec, or it has other weights or streams.
    """
    codec = load_codec(given or spec.name)
    if codec.spec.fingerprint != spec.fingerprint:
        raise ValueError(
            f"{owner} codec {spec.name} {spec.fingerprint}, but the codec given is "
            f"{codec.spec.name} {codec.spec.fingerprint}: give the right one as `codec`"
        )
    if len(codec.spec.streams) != len(spec.streams):
        raise ValueError(
            f"{owner} {len(spec.streams)} codebooks of {spec.name}, but the codec given has "
            f"{len(codec.spec.streams)}: write their number behind its name, as in {spec.name}"
        )
    return codec


def codec_folder(name: str | Path) -> Path:
    """Where a codec lies, by name, folder or hub name."""
    shipped = isinstance(name, str) and name in HOUSE
    return checkpoint.resolve(f"starter/{name}" if shipped else name)
