"""Frozen codecs: sound to tokens and back. This room knows nothing of text."""

import math
import re
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from codeclm import checkpoint
from codeclm.codecs.base import Codec, CodecSpec, Stream, residual_streams

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


class Published(NamedTuple):
    """A codec of others, whose weights users download.

    Attributes:
        adapter: where its class lies, as "module:class" in `codeclm.codecs.published`.
        hub: name of the weights at the hub.
        spec: what the published weights are, but for their fingerprint; its streams are those used
            unless told otherwise.
        files: what is needed of the hub's, as `weights.find` takes it.
        fewer: whether it can use fewer streams than all.
    """

    adapter: str
    hub: str
    spec: CodecSpec
    files: tuple[str, ...] = ("config.json", "model.safetensors")
    fewer: bool = True


def _tree(levels: int) -> tuple[Stream, ...]:
    """SNAC's streams: codes of a binary tree, depth first; each needs those above it."""

    def below(above: tuple[int, ...], row: int) -> list[Stream]:
        streams = [Stream(4096, depends_on=above)]
        if len(above) + 1 < levels:
            for _ in range(2):
                streams += below((*above, row), row + len(streams))
        return streams

    return tuple(below((), 0))


def _snac(name: str, rate: int, hop: int, levels: int, ahead: tuple[int, int]) -> Published:
    return Published(
        "snac:Snac",
        f"hubertsiuzdak/snac_{name.removeprefix('snac-')}hz",
        CodecSpec(name, "rvq", rate, hop, _tree(levels), False, ahead[0], "", 0, ahead[1]),
        files=("config.json", "model.safetensors|pytorch_model.bin"),
        fewer=False,
    )


def _nanocodec(
    name: str, hub: str, hop: int, groups: int, levels: tuple[int, ...], ahead: int
) -> Published:
    streams = (Stream(math.prod(levels), levels=levels),) * groups
    return Published(
        "nanocodec:NanoCodec",
        f"nvidia/nemo-nano-codec-22khz-{hub}",
        CodecSpec(name, "fsq", 22_050, hop, streams, True, ahead, ""),
        files=("*.nemo",),
        fewer=False,
    )


def _single(name: str, adapter: str, hub: str, sample_rate: int) -> Published:
    hop, wait = sample_rate // 50, 1099  # frames of a window and its overlap, but for one
    streams = (Stream(65_536, levels=(4,) * 8),)
    spec = CodecSpec(name, "fsq", sample_rate, hop, streams, False, wait * hop, "", 0, wait * hop)
    return Published(f"xcodec2:{adapter}", hub, spec, fewer=False)


PUBLISHED = {
    "encodec-24k": Published(
        "encodec:Encodec",
        "facebook/encodec_24khz",
        CodecSpec("encodec-24k", "rvq", 24_000, 320, residual_streams(1024, 8), True, 0, ""),
    ),
    "dac-16k": Published(
        "dac:Dac",
        "descript/dac_16khz",
        CodecSpec(
            "dac-16k", "rvq", 16_000, 320, residual_streams(1024, 12), False, 2501, "", 0, 3520
        ),
    ),
    "dac-24k": Published(
        "dac:Dac",
        "descript/dac_24khz",
        CodecSpec(
            "dac-24k", "rvq", 24_000, 320, residual_streams(1024, 32), False, 2501, "", 0, 3520
        ),
    ),
    "dac-44k": Published(
        "dac:Dac",
        "descript/dac_44khz",
        CodecSpec(
            "dac-44k", "rvq", 44_100, 512, residual_streams(1024, 9), False, 3733, "", 0, 5120
        ),
    ),
    "mimi": Published(
        "mimi:Mimi",
        "kyutai/mimi",
        CodecSpec(
            name="mimi",
            family="semantic-rvq",
            sample_rate=24_000,
            hop=1920,
            streams=(Stream(2048, "semantic"), *residual_streams(2048, 8, begin=1, since=1)),
            causal=True,
            lookahead=0,
            fingerprint="",
        ),
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
    "snac-24k": _snac("snac-24k", 24_000, 2048, 3, (4757, 5120)),
    "snac-32k": _snac("snac-32k", 32_000, 3072, 4, (23_949, 22_656)),
    "snac-44k": _snac("snac-44k", 44_100, 3072, 4, (23_949, 22_656)),
    "nanocodec-22k": _nanocodec("nanocodec-22k", "1.89kbps-21.5fps", 1024, 8, (8, 7, 6, 6), 12_722),
    "nanocodec-22k-1.78": _nanocodec(
        "nanocodec-22k-1.78", "1.78kbps-12.5fps", 1764, 13, (8, 7, 6, 6), 24_000
    ),
    "nanocodec-22k-0.6": _nanocodec(
        "nanocodec-22k-0.6", "0.6kbps-12.5fps", 1764, 4, (9, 8, 8, 7), 24_000
    ),
    "xcodec2": _single("xcodec2", "XCodec2", "HKUSTAudio/xcodec2-hf", 16_000),
    "neucodec": _single("neucodec", "NeuCodec", "neuphonic/neucodec", 24_000),
}
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
        return _load_published(parts["name"], weights or parts["weights"], streams)
    if parts and parts["name"] in YARDSTICKS:
        raise ValueError(
            f"{name} has no tokens to learn: a yardstick for `codec roundtrip` and `codec bench`"
        )
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
    if streams not in (None, usual) and not known.fewer:
        raise ValueError(f"{name} has {usual} streams and needs them all: {streams} cannot be used")
    module, _, adapter = known.adapter.partition(":")
    called = name if streams in (None, usual) else f"{name}:{streams}"
    folder = weights.find(called, given or known.hub, known.files)
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
