"""Sound to tokens: one part of a corpus becomes a shard of each codec, from one reading of it.

`tokenize` is a function of its part alone, so that any process on any machine can do it, and do it
again: a shard that is there is left as it is. One processor computes a part, however many there
are, so that the bytes do not depend on how many parts are done at a time.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain

from torch import Tensor
from tqdm import tqdm

from codeclm.codecs import Codec, CodecSpec, codec_of
from codeclm.corpus import Utterance
from codeclm.data_prep.distribute import Engine, spread
from codeclm.data_prep.encode import encode, one_processor, read_ahead
from codeclm.data_prep.shards import Precision, read_header, write_shard
from codeclm.remote import AnyPath


@dataclass(frozen=True)
class Target:
    """A codec and where its shard goes.

    Attributes:
        given: what `load_codec` takes.
        spec: what the codec must be.
    """

    given: str
    spec: CodecSpec
    path: AnyPath


@dataclass(frozen=True)
class Part:
    """The utterances of one shard, and what to make of them.

    Attributes:
        seconds: of sound, padding included, that a codec encodes at once.
        readers: threads that read sound.
        device: where the codecs run.
        precision: what they compute in.
    """

    utterances: tuple[Utterance, ...]
    targets: tuple[Target, ...]
    seconds: float = 30.0
    readers: int = 2
    device: str = "cpu"
    precision: Precision = "fp32"

    def missing(self) -> list[Target]:
        """What is still to be made.

        Raises:
            ValueError: there is a shard of other utterances, another codec or another precision
                in its place.
        """
        names = [utterance.id for utterance in self.utterances]
        there = [target for target in self.targets if target.path.exists()]
        for target in there:
            made = read_header(target.path, names, target.spec.fingerprint).precision
            if made != self.precision:
                raise ValueError(
                    f"{target.path} was made with precision={made}, not {self.precision}: tokens "
                    "of both do not go together; prepare the corpus into another folder"
                )
        return [target for target in self.targets if target not in there]


def tokenize(part: Part) -> tuple[int, float, Mapping[str, str]]:
    """Makes the shards of a part that are not there.

    Returns:
        Its utterances, the seconds of sound that have tokens now, and by the id of an utterance
        without tokens why; what stands before the colon is the kind of reason.

    Raises:
        ValueError: a codec is not the one that the spec says, or the shard of another codec is of
            other utterances.
    """
    missing = part.missing()
    if missing:
        _make(part, missing)
    path = part.targets[0].path
    header = read_header(path)
    for folder in path.parent.parent.glob("*"):  # of any codec
        other = folder / path.name
        if other != path and other.exists() and read_header(other).ids != header.ids:
            raise ValueError(
                f"{path} and {other} are not of the same utterances: the corpus or its sound "
                "changed since one was made; prepare it into another folder"
            )
    return len(part.utterances), sum(header.frames) / header.spec.frame_rate, header.skipped


def _make(part: Part, targets: Sequence[Target]) -> None:
    codecs = [_codec(target.spec, target.given, part.device) for target in targets]
    rates = {target.spec.sample_rate for target in part.targets}  # of all: who is skipped is one
    rows: list[list[Tensor]] = [[] for _ in targets]
    ids: list[str] = []
    skipped: dict[str, str] = {}
    with one_processor():
        for pool in read_ahead(part.utterances, sorted(rates), part.readers):
            sounds = []
            for utterance, sound in pool:
                if isinstance(sound, str):
                    skipped[utterance.id] = sound
                else:
                    ids.append(utterance.id)
                    sounds.append(sound)
            for made, codec in zip(rows, codecs, strict=True):
                wavs = [sound[codec.spec.sample_rate] for sound in sounds]
                made += encode(codec, wavs, part.seconds, part.device, part.precision)
    for target, made in zip(targets, rows, strict=True):
        write_shard(target.path, ids, made, target.spec, skipped, part.precision)


@cache
def _codec(spec: CodecSpec, given: str, device: str) -> Codec:
    return codec_of(spec, given, "the corpus is prepared with").to(device)


def tokenize_all(
    parts: Sequence[Part],
    skipped: Mapping[str, str],
    engine: Engine = "local",
    workers: int | None = None,
) -> dict[str, str]:
    """Makes the shards of all parts that are not there, and shows how far it is.

    Returns:
        Which utterances have no tokens, and why: those `skipped` before, which are in no part, and
        those whose sound is no good.

    Raises:
        ValueError: that is more than half of the corpus, or as `tokenize`.
    """
    skipped, seconds = dict(skipped), 0.0
    total = len(skipped) + sum(len(part.utterances) for part in parts)
    todo = [part for part in parts if part.missing()]
    there = [part for part in parts if part not in todo]
    gpus = int(bool(parts) and parts[0].device.startswith("cuda"))
    made = chain(map(tokenize, there), spread(tokenize, todo, engine, workers, gpus))
    before = total - sum(len(part.utterances) for part in todo)
    with tqdm(desc="tokenize", unit="clip", total=total, initial=before) as bar:
        for number, (utterances, lasting, useless) in enumerate(made):
            skipped |= useless
            seconds += lasting
            bar.update(utterances if number >= len(there) else 0)
            bar.set_postfix({"hours": f"{seconds / 3600:.2f}", **kinds(skipped)})
            check_skipped(skipped, total)
    return skipped


def kinds(skipped: Mapping[str, str]) -> dict[str, int]:
    """How many utterances were skipped for each kind of reason, the most frequent first."""
    return dict(Counter(reason.partition(":")[0] for reason in skipped.values()).most_common())


def check_skipped(skipped: Mapping[str, str], total: int) -> None:
    """ValueError if more than half of a corpus cannot be used."""
    if 2 * len(skipped) <= total:
        return
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds(skipped).items())
    name, reason = list(skipped.items())[-1]
    raise ValueError(
        f"{len(skipped)} of {total} utterances cannot be used ({counts}), such as {name!r} "
        f"({reason}): mend the corpus, then prepare it into an empty folder"
    )


def plain(name: str) -> str:
    """The name of a codec as that of a folder."""
    return re.sub(r"[^\w.-]", "-", name)
