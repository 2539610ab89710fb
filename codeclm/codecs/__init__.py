"""Frozen codecs: sound to tokens and back. This room knows nothing of text."""

import re
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from codeclm import checkpoint
from codeclm.codecs.base import Codec, CodecSpec, Stream

__all__ = [
    "HOUSE",
    "PUBLISHED",
    "Codec",
    "CodecSpec",
    "Published",
    "Stream",
    "codec_folder",
    "codec_of",
    "load_codec",
]

HOUSE = ("house-rvq", "house-fsq", "house-semantic", "house-vae")  # shipped in the package


class Published(NamedTuple):
    """A codec of others, whose weights users download.

    Attributes:
        adapter: where its class lies, as "module:class" in `codeclm.codecs.published`.
        hub: name of the weights at the hub.
        spec: what the published weights are, but for their fingerprint; its streams are those used
            unless told otherwise.
    """

    adapter: str
    hub: str
    spec: CodecSpec


def _rvq(streams: int, size: int) -> tuple[Stream, ...]:
    return tuple(Stream(size, depends_on=tuple(range(k))) for k in range(streams))


def _split_rvq(streams: int, size: int) -> tuple[Stream, ...]:
    acoustic = (Stream(size, depends_on=tuple(range(1, k))) for k in range(1, streams))
    return (Stream(size, "semantic"), *acoustic)


PUBLISHED = {
    "encodec-24k": Published(
        "encodec:Encodec",
        "facebook/encodec_24khz",
        CodecSpec("encodec-24k", "rvq", 24_000, 320, _rvq(8, 1024), True, 0, ""),
    ),
    "dac-16k": Published(
        "dac:Dac",
        "descript/dac_16khz",
        CodecSpec("dac-16k", "rvq", 16_000, 320, _rvq(12, 1024), False, 2501, "", 0, 3520),
    ),
    "dac-24k": Published(
        "dac:Dac",
        "descript/dac_24khz",
        CodecSpec("dac-24k", "rvq", 24_000, 320, _rvq(32, 1024), False, 2501, "", 0, 3520),
    ),
    "dac-44k": Published(
        "dac:Dac",
        "descript/dac_44khz",
        CodecSpec("dac-44k", "rvq", 44_100, 512, _rvq(9, 1024), False, 3733, "", 0, 5120),
    ),
    "mimi": Published(
        "mimi:Mimi",
        "kyutai/mimi",
        CodecSpec("mimi", "semantic-rvq", 24_000, 1920, _split_rvq(8, 2048), True, 0, ""),
    ),
    "pocket-vae": Published(
        "pocket:Pocket",
        "eustlb/pocket-tts-audio-tokenizer",
        CodecSpec("pocket-vae", "vae", 24_000, 1920, (), True, 0, "", latent_dims=32),
    ),
    "vibevoice-vae": Published(
        "vibevoice:VibeVoice",
        "microsoft/VibeVoice-AcousticTokenizer",
        CodecSpec("vibevoice-vae", "vae", 24_000, 3200, (), True, 0, "", latent_dims=64),
    ),
}
_PUBLISHED_NAME = re.compile(r"(?P<name>[\w-]+)(:(?P<streams>\d+))?(@(?P<weights>.+))?")


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
        return _load_published(parts["name"], weights or parts["weights"], streams)
    if weights is not None or streams is not None:
        raise ValueError(f"{name} is no published codec: it has its own weights and streams")
    from codeclm.codecs.house.codec import HouseCodec

    return HouseCodec.load(codec_folder(name))


def _load_published(name: str, given: str | Path | None, streams: int | None) -> Codec:
    from codeclm.codecs.published import weights

    known = PUBLISHED[name]
    usual = len(known.spec.streams)
    if streams is not None and not (usual and streams > 0):
        raise ValueError(f"{name} has no {streams} codebooks to use")
    module, _, adapter = known.adapter.partition(":")
    called = name if streams in (None, usual) else f"{name}:{streams}"
    folder = weights.find(called, given or known.hub)
    loader = getattr(import_module(f"codeclm.codecs.published.{module}"), adapter)
    codec: Codec = loader.load(called, folder, streams or usual)
    return codec


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
