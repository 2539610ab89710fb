"""A prepared corpus on disk: texts once, and beside them the tokens of each codec in shards.

    tokenizer.json              rebuilds the tokenizer
    text.jsonl                  one row an utterance: id, speaker, split, language, ids (tokens)
    tokens/house-rvq/00000.safetensors ...
                                `codes` [K, sum T] int16, or `latents` [D, sum T] float16, and
                                `frames` [n] of n utterances in a row; in the header their ids, the
                                codec's spec and fingerprint, and who was skipped and why
    durations/24000-960/00000.safetensors ...
                                `durations` [sum L] int16 of the same utterances: frames of 960
                                samples at 24 kHz a token lasts; all 0: not aligned
    report.json, report.html    written last: the corpus is complete; what it holds

Codecs whose frames lie at the same times share their durations. A folder of one codec as earlier
versions wrote it (`codes/`, `durations.safetensors`) is read the same way.

Every file is written to a temporary name and renamed, so that a file which is there is whole.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from safetensors import safe_open
from torch import Tensor

from codeclm.codecs.base import CodecSpec
from codeclm.codecs.latents import Scale
from codeclm.data_prep.text import Tokenizer, load_tokenizer
from codeclm.files import write_tensors
from codeclm.remote import AnyPath, local, place

NOBODY: Mapping[str, str] = {}
Precision = Literal["fp32", "bf16"]  # what tokens are computed in


@dataclass(frozen=True)
class Item:
    """One utterance, ready for training.

    Attributes:
        ids: [L], of its text.
        tokens: codes [K, T] int16, or latents [D, T] float32 of mean 0 and deviation 1.
        durations: [L], codec frames that each of `ids` lasts.
    """

    id: str
    speaker: str
    split: str
    ids: tuple[int, ...]
    tokens: Tensor
    durations: tuple[int, ...]


@dataclass(frozen=True)
class Prepared:
    """A prepared corpus as one codec has it; `scale` is that of latents, which the items lack."""

    spec: CodecSpec
    tokenizer: Tokenizer
    items: list[Item]
    scale: Scale | None = None


@dataclass(frozen=True)
class Header:
    """What a shard says of itself.

    Attributes:
        ids: of its utterances, in their order.
        frames: codec frames of each.
        skipped: id of an utterance that has no tokens, and why.
    """

    spec: CodecSpec
    ids: list[str]
    frames: list[int]
    skipped: dict[str, str]
    precision: Precision = "fp32"


def write_shard(
    path: AnyPath,
    ids: Sequence[str],
    rows: Sequence[Tensor],
    spec: CodecSpec,
    skipped: Mapping[str, str] = NOBODY,
    precision: Precision = "fp32",
) -> None:
    """Writes one shard: the ids of its utterances and their token matrices [rows, T]."""
    name, kind = ("latents", torch.float16) if spec.latent_dims else ("codes", torch.int16)
    nothing = torch.zeros(spec.rows, 0, dtype=kind)  # a shard may be of skipped utterances alone
    tensors = {
        name: torch.cat([*rows] or [nothing], dim=1).to(kind).contiguous(),
        "frames": torch.tensor([matrix.shape[1] for matrix in rows], dtype=torch.int32),
    }
    made = {"spec": spec.to_dict(), "ids": list(ids), "skipped": dict(skipped)}
    made["precision"] = precision
    # One entry: safetensors keeps no order between several, and a shard's bytes must not vary.
    write_tensors(path, tensors, {"made": json.dumps(made)})


def read_header(
    path: AnyPath, ids: Sequence[str] | None = None, fingerprint: str | None = None
) -> Header:
    """What a shard says of itself.

    Raises:
        ValueError: the tokens are of other utterances than `ids`, or other weights than
            `fingerprint`.
    """
    with safe_open(local(path), "pt") as file:
        made = json.loads(file.metadata()["made"])
        frames = file.get_tensor("frames").tolist()
    spec, skipped = CodecSpec.from_dict(made["spec"]), made.get("skipped", {})
    header = Header(spec, made["ids"], frames, skipped, made.get("precision", "fp32"))
    if fingerprint not in (None, header.spec.fingerprint):
        raise ValueError(
            f"{path} holds tokens of {header.spec.name} {header.spec.fingerprint}, not of "
            f"{fingerprint}: prepare the corpus again into another folder"
        )
    if ids is not None and header.ids != [name for name in ids if name not in header.skipped]:
        raise ValueError(
            f"{path} holds other utterances than the manifest has at this place: prepare the "
            "corpus again into another folder"
        )
    return header


def read_shard(
    path: AnyPath, ids: Sequence[str] | None = None, fingerprint: str | None = None
) -> tuple[CodecSpec, list[str], list[Tensor]]:
    """The spec, the utterance ids and the token matrices [rows, T] of a shard.

    Raises:
        ValueError: as `read_header`.
    """
    header = read_header(path, ids, fingerprint)
    with safe_open(local(path), "pt") as file:
        tokens = file.get_tensor("latents" if header.spec.latent_dims else "codes")
    return header.spec, header.ids, list(tokens.split(header.frames, dim=1))


def read_prepared(folder: str | AnyPath, codec: str | None = None) -> Prepared:
    """Reads a corpus that `codeclm prep` finished.

    Args:
        folder: which it wrote; may be a URL.
        codec: whose tokens, by the name in its spec; there is no need to say it if there is one.

    Raises:
        ValueError: the corpus is not finished, or has no tokens, or not those alone, of `codec`.
    """
    folder = place(folder)
    entry = _entry(folder, codec)
    ids: list[str] = []
    tokens: list[Tensor] = []
    spec: CodecSpec | None = None
    for shard in _shards(folder / entry["tokens"]):
        spec, names, some = read_shard(shard, fingerprint=spec.fingerprint if spec else None)
        ids += names
        tokens += some
    texts = {row["id"]: row for row in read_texts(folder)}
    flat = torch.cat([read_durations(file) for file in _shards(folder / entry["durations"])])
    lengths = [len(texts[i]["ids"]) for i in ids if i in texts]
    if spec is None or len(lengths) < len(ids) or sum(lengths) != len(flat):
        raise ValueError(
            f"{folder}: texts and tokens are not of the same utterances: prepare again"
        )
    scale = Scale(**entry["scale"]) if entry.get("scale") else None
    if scale is not None:
        tokens = [scale.enter(latents.float()) for latents in tokens]
    items = []
    for i, matrix, spent in zip(ids, tokens, torch.split(flat, lengths), strict=True):
        row = texts[i]
        durations = tuple(spent.tolist())
        items.append(Item(i, row["speaker"], row["split"], tuple(row["ids"]), matrix, durations))
    tokenizer = load_tokenizer(json.loads((folder / "tokenizer.json").read_text("utf-8")))
    return Prepared(spec, tokenizer, items, scale)


def prepared_splits(folder: str | AnyPath) -> dict[str, str]:
    """The split of every utterance of a finished corpus, by id."""
    return {row["id"]: row["split"] for row in read_texts(folder)}


def read_texts(folder: str | AnyPath) -> list[dict[str, Any]]:
    """The rows of `text.jsonl`: id, speaker, split, language, ids."""
    lines = (place(folder) / "text.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def prepared_ids(folder: str | AnyPath, codec: str | None = None) -> list[str]:
    """The utterances that have tokens, from the headers alone; errors as `read_prepared`."""
    return [name for shard in _tokens(folder, codec) for name in read_header(shard).ids]


def prepared_seconds(folder: str | AnyPath, codec: str | None = None) -> float:
    """How long all utterances with tokens are together; as `prepared_ids`."""
    headers = [read_header(shard) for shard in _tokens(folder, codec)]
    return sum(sum(header.frames) for header in headers) / headers[0].spec.frame_rate


def prepared_spec(folder: str | AnyPath, codec: str | None = None) -> CodecSpec:
    """Of the codec whose tokens a finished corpus holds; errors as `read_prepared`."""
    return read_header(_tokens(folder, codec)[0]).spec


def prepared_codecs(folder: AnyPath) -> dict[str, dict[str, Any]]:
    """The codecs whose tokens a finished corpus holds, each with where they lie and their scale."""
    path = folder / "report.json"
    if not path.exists():
        raise ValueError(f"{folder} is no finished corpus: run `codeclm prep` on it (again)")
    report: dict[str, Any] = json.loads(path.read_text("utf-8"))
    if "codecs" not in report:  # an earlier version's
        name = read_header(_shards(folder / "codes")[0]).spec.name
        return {name: {"tokens": "codes", "durations": ".", "scale": report.get("scale")}}
    return dict(report["codecs"])


def read_durations(path: AnyPath) -> Tensor:
    """The `durations` [sum L] of a shard."""
    with safe_open(local(path), "pt") as file:
        flat: Tensor = file.get_tensor("durations")
    return flat


def _entry(folder: AnyPath, codec: str | None) -> dict[str, Any]:
    """Where the tokens and durations of the codec lie that is meant, and their scale."""
    codecs = prepared_codecs(folder)
    if codec is None and len(codecs) > 1:
        raise ValueError(
            f"{folder} holds the tokens of {', '.join(codecs)}: say which with `tokens`"
        )
    name = codec or next(iter(codecs))
    if name not in codecs:
        raise ValueError(
            f"{folder} has no tokens of {name!r}, only of {', '.join(codecs)}: choose one of them "
            "with `tokens`, or prepare the corpus with that codec too"
        )
    return codecs[name]


def _tokens(folder: str | AnyPath, codec: str | None) -> list[AnyPath]:
    folder = place(folder)
    return _shards(folder / _entry(folder, codec)["tokens"])


def _shards(folder: AnyPath) -> list[AnyPath]:
    found: list[AnyPath] = sorted(folder.glob("*.safetensors"), key=str)
    if not found:
        raise ValueError(f"no shards in {folder}: run `codeclm prep` again")
    return found
