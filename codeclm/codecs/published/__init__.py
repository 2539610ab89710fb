"""Codecs of others: the table of what is known, and one adapter a file, loaded when asked for."""

import math
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from codeclm.codecs.base import Codec, CodecSpec, Stream, residual_streams, tree_streams


class Published(NamedTuple):
    """A codec of others.

    Attributes:
        adapter: where its class lies, as "module:class" in `codeclm.codecs.published`.
        hub: name of the weights at the hub, which users download; "": it has none.
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


def _dac(name: str, rate: int, hop: int, streams: int, ahead: tuple[int, int]) -> Published:
    rows = residual_streams(1024, streams)
    spec = CodecSpec(name, "rvq", rate, hop, rows, False, ahead[0], decoder_lookahead=ahead[1])
    return Published("dac:Dac", f"descript/{name.replace('-', '_')}hz", spec)


def _snac(
    name: str, rate: int, hop: int, strides: tuple[int, ...], ahead: tuple[int, int]
) -> Published:
    rows = tree_streams(4096, strides)
    spec = CodecSpec(name, "rvq", rate, hop, rows, False, ahead[0], decoder_lookahead=ahead[1])
    hub = f"hubertsiuzdak/{name.replace('-', '_')}hz"
    files = ("config.json", "model.safetensors|pytorch_model.bin")
    return Published("snac:Snac", hub, spec, files, fewer=False)


def _nanocodec(
    name: str, hub: str, hop: int, groups: int, levels: tuple[int, ...], ahead: int
) -> Published:
    rows = (Stream(math.prod(levels), levels=levels),) * groups
    spec = CodecSpec(name, "fsq", 22_050, hop, rows, lookahead=ahead)
    hub = f"nvidia/nemo-nano-codec-22khz-{hub}"
    return Published("nanocodec:NanoCodec", hub, spec, ("*.nemo",), fewer=False)


def _single(name: str, adapter: str, hub: str, rate: int) -> Published:
    hop, rows = rate // 50, (Stream(65_536, levels=(4,) * 8),)
    wait = 1099 * hop  # a window and its overlap, but for one frame
    spec = CodecSpec(name, "fsq", rate, hop, rows, False, wait, decoder_lookahead=wait)
    return Published(f"xcodec2:{adapter}", hub, spec, fewer=False)


_MIMI = (Stream(2048, "semantic"), *residual_streams(2048, 8, begin=1, since=1))

PUBLISHED = {
    "encodec-24k": Published(
        "encodec:Encodec",
        "facebook/encodec_24khz",
        CodecSpec("encodec-24k", "rvq", 24_000, 320, residual_streams(1024, 8)),
    ),
    "dac-16k": _dac("dac-16k", 16_000, 320, 12, (2501, 3520)),
    "dac-24k": _dac("dac-24k", 24_000, 320, 32, (2501, 3520)),
    "dac-44k": _dac("dac-44k", 44_100, 512, 9, (3733, 5120)),
    "mimi": Published(
        "mimi:Mimi", "kyutai/mimi", CodecSpec("mimi", "semantic-rvq", 24_000, 1920, _MIMI)
    ),
    "pocket-vae": Published(
        "pocket:Pocket",
        "eustlb/pocket-tts-audio-tokenizer",
        CodecSpec("pocket-vae", "vae", 24_000, 1920, latent_dims=32),
    ),
    "vibevoice-vae": Published(
        "vibevoice:VibeVoice",
        "microsoft/VibeVoice-AcousticTokenizer",
        CodecSpec("vibevoice-vae", "vae", 24_000, 3200, latent_dims=64),
    ),
    "snac-24k": _snac("snac-24k", 24_000, 2048, (4, 2, 1), (4757, 5120)),
    "snac-32k": _snac("snac-32k", 32_000, 3072, (8, 4, 2, 1), (23_949, 22_656)),
    "snac-44k": _snac("snac-44k", 44_100, 3072, (8, 4, 2, 1), (23_949, 22_656)),
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


def load_published(name: str, given: str | Path | None, streams: int | None) -> Codec:
    """A codec of `PUBLISHED`; arguments as `codeclm.codecs.load_codec` takes them."""
    from codeclm.codecs.published import weights

    known = PUBLISHED[name]
    usual = len(known.spec.streams)
    if streams is not None and not (usual and streams > 0):
        raise ValueError(f"{name} has no {streams} codebooks to use")
    if streams not in (None, usual) and not known.fewer:
        raise ValueError(f"{name} has {usual} streams and needs them all: {streams} cannot be used")
    module, _, adapter = known.adapter.partition(":")
    called = name if streams in (None, usual) else f"{name}:{streams}"
    folder = weights.find(called, given or known.hub, known.files) if known.hub else Path()
    loader = getattr(import_module(f"codeclm.codecs.published.{module}"), adapter)
    codec: Codec = loader.load(called, folder, streams or usual)
    return codec
