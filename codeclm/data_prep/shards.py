"""A prepared corpus on disk: text once, tokens of one codec in shards, times of every text token.

    tokenizer.json        rebuilds the tokenizer
    text.jsonl            one row an utterance: id, speaker, split, ids (tokens)
    codes/00000.safetensors ...   `codes` [K, sum T] int16, or `latents` [D, sum T] float16, and
                          `frames` [n] of n utterances in a row, with their ids and the codec's spec
                          and fingerprint in the header
    durations.safetensors `durations` [sum L] int16: codec frames a token lasts; all 0: not aligned
    report.json           written last: the corpus is complete

Every file is written to a temporary name and renamed, so that a file which is there is whole.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from codeclm.codecs.base import CodecSpec
from codeclm.codecs.latents import Scale
from codeclm.data_prep.text import Tokenizer, load_tokenizer
from codeclm.files import write_tensors


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
    """A whole prepared corpus; `scale` is that of latents, which the items have left behind."""

    spec: CodecSpec
    tokenizer: Tokenizer
    items: list[Item]
    scale: Scale | None = None


def write_shard(path: Path, ids: Sequence[str], rows: Sequence[Tensor], spec: CodecSpec) -> None:
    """Writes one shard: the ids of its utterances and their token matrices [rows, T]."""
    name, kind = ("latents", torch.float16) if spec.latent_dims else ("codes", torch.int16)
    tensors = {
        name: torch.cat(list(rows), dim=1).to(kind).contiguous(),
        "frames": torch.tensor([matrix.shape[1] for matrix in rows], dtype=torch.int32),
    }
    # One entry: safetensors keeps no order between several, and a shard's bytes must not vary.
    write_tensors(path, tensors, {"made": json.dumps({"spec": spec.to_dict(), "ids": list(ids)})})


def read_shard(
    path: Path, ids: Sequence[str] | None = None, fingerprint: str | None = None
) -> tuple[CodecSpec, list[str], list[Tensor]]:
    """The spec, the utterance ids and the token matrices [rows, T] of a shard.

    Raises:
        ValueError: the tokens are of other utterances than `ids`, or other weights than
            `fingerprint`.
    """
    with safe_open(path, "pt") as file:
        made = json.loads(file.metadata()["made"])
        spec, found = CodecSpec.from_dict(made["spec"]), made["ids"]
        if fingerprint not in (None, spec.fingerprint):
            raise ValueError(
                f"{path} holds tokens of {spec.name} {spec.fingerprint}, not of {fingerprint}: "
                "prepare the corpus again into another folder"
            )
        if ids is not None and found != list(ids):
            raise ValueError(
                f"{path} holds other utterances than the manifest has at this place: prepare the "
                "corpus again into another folder"
            )
        tokens = file.get_tensor("latents" if spec.latent_dims else "codes")
        frames = file.get_tensor("frames").tolist()
    return spec, found, list(tokens.split(frames, dim=1))


def read_prepared(folder: Path) -> Prepared:
    """Reads a corpus that `codeclm prep` finished."""
    if not (folder / "report.json").exists():
        raise ValueError(f"{folder} is no finished corpus: run `codeclm prep` on it (again)")
    rows: list[dict[str, Any]] = [
        json.loads(line) for line in (folder / "text.jsonl").read_text("utf-8").splitlines()
    ]
    ids: list[str] = []
    tokens: list[Tensor] = []
    spec: CodecSpec | None = None
    for shard in sorted((folder / "codes").glob("*.safetensors")):
        spec, names, some = read_shard(shard, fingerprint=spec.fingerprint if spec else None)
        ids += names
        tokens += some
    with safe_open(folder / "durations.safetensors", "pt") as file:
        flat = file.get_tensor("durations")
    spent = [tuple(d.tolist()) for d in flat.split([len(row["ids"]) for row in rows])]
    if spec is None or ids != [row["id"] for row in rows]:
        raise ValueError(
            f"{folder}: texts and tokens are not of the same utterances: prepare again"
        )
    measured = json.loads((folder / "report.json").read_text("utf-8")).get("scale")
    scale = Scale(**measured) if measured else None
    if scale is not None:
        tokens = [scale.enter(latents.float()) for latents in tokens]
    items = [
        Item(row["id"], row["speaker"], row["split"], tuple(row["ids"]), matrix, time)
        for row, matrix, time in zip(rows, tokens, spent, strict=True)
    ]
    tokenizer = load_tokenizer(json.loads((folder / "tokenizer.json").read_text("utf-8")))
    return Prepared(spec, tokenizer, items, scale)
