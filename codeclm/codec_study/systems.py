"""What a bench compares: a codec, its first few codebooks, or Opus, as one kind of thing.

Sound goes in and the same stretch of sound comes out, with the tokens it became, the bits it took
and the seconds of work. What a system is called is what users call it: a name, a folder, or either
with the number of its first codebooks behind a colon.
"""

import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from codeclm import checkpoint
from codeclm.codecs import PUBLISHED, YARDSTICKS, Codec, load_codec
from codeclm.codecs.published.opus import Opus, bits

_FIRST = re.compile(r"(?P<name>.+?):(?P<count>\d+)")


class Passed(NamedTuple):
    """What became of a recording.

    Attributes:
        wav: [1, N] at the rate of the system, as long as what went in.
        tokens: codes [K, T], or latents [T, D]; None of Opus.
        bits: what the tokens or packets take; None of latents.
        encode_seconds: of work on one thread, counted in processor time.
        decode_seconds: the same.
    """

    wav: Tensor
    tokens: Tensor | None
    bits: float | None
    encode_seconds: float
    decode_seconds: float


@dataclass(frozen=True)
class System:
    """A way from sound to sound, loaded.

    Attributes:
        facts: what it says about itself, for JSON.
        encode: [B, 1, N] at `sample_rate` to tokens, or to the files of Opus.
        decode: the inverse.
        codec: None: it is Opus.
        sizes: codes of each codebook; empty without any.
    """

    name: str
    sample_rate: int
    facts: dict[str, Any]
    encode: Callable[[Tensor], Any]
    decode: Callable[[Any], Tensor]
    codec: Codec | None = None
    sizes: tuple[int, ...] = ()

    def through(self, wav: Tensor) -> Passed:
        """What becomes of a recording [1, N] at `sample_rate`."""
        begin = time.process_time()
        tokens = self.encode(wav[None])
        encoded = time.process_time()
        decoded = self.decode(tokens)[0, :, : wav.shape[1]]
        done = time.process_time()
        spent = encoded - begin, done - encoded
        if self.codec is None:
            return Passed(decoded, None, float(bits(tokens[0])), *spent)
        amount = self.facts["bitrate"] * wav.shape[1] / self.sample_rate if self.sizes else None
        return Passed(decoded, tokens[0], amount, *spent)


class Absent(ValueError):
    """A known codec that cannot be used here; the message says why."""


def names(codecs: Sequence[str], streams: Sequence[int]) -> list[str]:
    """The systems to bench: each codec, then those of its first codebooks that `streams` asks for.

    Only residual codecs have first codebooks that sound by themselves; SNAC, NanoCodec and other
    codecs that need all of theirs, and continuous ones, are benched whole.

    Raises:
        ValueError: no such codec, or one is named twice.
    """
    found: list[str] = []
    for name in codecs:
        found.append(name)
        if name in YARDSTICKS:
            continue
        count = _prefixes(name)
        found += [f"{name}:{n}" for n in sorted(set(streams)) if 0 < n < count]
    if len(set(found)) < len(found):
        twice = sorted({name for name in found if found.count(name) > 1})
        raise ValueError(f"named twice: {', '.join(twice)}: name each codec once")
    return found


def load(name: str) -> System:
    """A system by its name.

    Raises:
        Absent: a published codec whose weights or library are not here.
        ValueError: no such codec.
    """
    if name in YARDSTICKS:
        return _opus(Opus(name, YARDSTICKS[name]))
    if _published(name):
        try:
            return _codec(name, load_codec(name), None)
        except (ValueError, ImportError) as error:
            raise Absent(" ".join(str(error).split())) from error
    if first := _FIRST.fullmatch(name):
        return _codec(name, load_codec(first["name"]), int(first["count"]))
    return _codec(name, load_codec(name), None)


def _published(name: str) -> bool:
    return re.split("[:@]", name, maxsplit=1)[0] in PUBLISHED


def _prefixes(name: str) -> int:
    """How many codebooks a residual codec has; 0 of all others, and of one that was cut already."""
    if _FIRST.fullmatch(name):
        return 0
    if _published(name):
        known = PUBLISHED[name.partition("@")[0]]
        streams = known.spec.streams if known.fewer and "@" not in name else ()
    else:
        streams = load_codec(name).spec.streams
    return len(streams) if any(stream.depends_on for stream in streams) else 0


def _codec(name: str, codec: Codec, first: int | None) -> System:
    spec = codec.spec
    if first is not None and not (0 < first <= len(spec.streams)):
        raise ValueError(f"{name}: {spec.name} has {len(spec.streams)} codebooks")
    sizes = tuple(stream.size for stream in spec.streams[:first])
    facts = {
        "family": spec.family,
        "sample_rate": spec.sample_rate,
        "frame_rate": spec.frame_rate,
        "streams": len(sizes),
        "latent_dims": spec.latent_dims,
        "bitrate": spec.frame_rate * sum(map(math.log2, sizes)) if sizes else None,
        "steps": 10 * spec.frame_rate,
        "steps_flat": 10 * spec.frame_rate * max(1, len(sizes)),
        "latency_ms": spec.latency_ms,
        "fingerprint": fingerprint(codec),
    }

    def encode(wav: Tensor) -> Tensor:
        return codec.encode(wav)[:, :first]

    return System(name, spec.sample_rate, facts, encode, codec.decode, codec, sizes)


def _opus(opus: Opus) -> System:
    import soundfile

    facts = {
        "family": opus.family,
        "sample_rate": opus.sample_rate,
        "frame_rate": opus.sample_rate / opus.hop,
        "streams": 0,
        "latent_dims": 0,
        "bitrate": opus.bitrate,
        "steps": None,
        "steps_flat": None,
        "latency_ms": opus.latency_ms,
        "fingerprint": f"soundfile {soundfile.__version__}, {soundfile.__libsndfile_version__}",
    }
    return System(opus.name, opus.sample_rate, facts, opus.encode, opus.decode)


@torch.no_grad()
def fingerprint(codec: Codec) -> str:
    """Of all weights, those that only make sound too; the spec's own is of the tokens."""
    weights: dict[str, Tensor] = {}
    for name, part in vars(codec).items():
        if isinstance(part, nn.Module):
            weights |= part.state_dict(prefix=f"{name}.")
    return checkpoint.fingerprint(weights)
