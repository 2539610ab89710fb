"""A prepared corpus on disk: text once, codes of one codec in shards, times of every token.

    tokenizer.json        rebuilds the tokenizer
    text.jsonl            one row an utterance: id, speaker, split, ids (tokens)
    codes/00000.safetensors ...   `codes` [K, sum T] int16 and `frames` [n] of n utterances in a
                          row, with the codec's spec and fingerprint in the header
    durations.safetensors `durations` [sum L] int16: codec frames a token lasts; all 0: not aligned
    report.json           written last: the corpus is complete

Every file is written to a temporary name and renamed, so that a file which is there is whole.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from codeclm.codecs.base import CodecSpec
from codeclm.data_prep.text import Tokenizer, load_tokenizer


@dataclass(frozen=True)
class Item:
    """One utterance, ready for training: codes [K, T] int16, token ids and their durations [L]."""

    id: str
    speaker: str
    split: str
    ids: tuple[int, ...]
    codes: Tensor
    durations: tuple[int, ...]


@dataclass(frozen=True)
class Prepared:
    """A whole prepared corpus."""

    spec: CodecSpec
    tokenizer: Tokenizer
    items: list[Item]


def write_text(path: Path, text: str) -> None:
    """Writes a file under a temporary name, then renames it."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def write_tensors(path: Path, tensors: dict[str, Tensor], header: dict[str, str]) -> None:
    """Writes a safetensors file under a temporary name, then renames it."""
    temporary = path.with_name(path.name + ".tmp")
    save_file(tensors, temporary, metadata=header)
    os.replace(temporary, path)


def write_codes(path: Path, codes: Sequence[Tensor], spec: CodecSpec) -> None:
    """Writes one shard: a list of codes [K, T]."""
    tensors = {
        "codes": torch.cat(list(codes), dim=1).to(torch.int16).contiguous(),
        "frames": torch.tensor([c.shape[1] for c in codes], dtype=torch.int32),
    }
    write_tensors(path, tensors, {"spec": json.dumps(spec.to_dict())})


def read_codes(path: Path, fingerprint: str | None = None) -> tuple[CodecSpec, list[Tensor]]:
    """The spec and the list of codes [K, T] of a shard.

    Raises:
        ValueError: the codes are of other weights than `fingerprint`.
    """
    with safe_open(path, "pt") as file:
        spec = CodecSpec.from_dict(json.loads(file.metadata()["spec"]))
        if fingerprint not in (None, spec.fingerprint):
            raise ValueError(
                f"{path} holds codes of {spec.name} {spec.fingerprint}, not of {fingerprint}: "
                "prepare the corpus again into another folder"
            )
        codes, frames = file.get_tensor("codes"), file.get_tensor("frames")
    return spec, list(codes.split(frames.tolist(), dim=1))


def read_prepared(folder: Path) -> Prepared:
    """Reads a corpus that `codeclm prep` finished."""
    if not (folder / "report.json").exists():
        raise ValueError(f"{folder} is no finished corpus: run `codeclm prep` on it (again)")
    rows: list[dict[str, Any]] = [
        json.loads(line) for line in (folder / "text.jsonl").read_text("utf-8").splitlines()
    ]
    codes: list[Tensor] = []
    spec: CodecSpec | None = None
    for shard in sorted((folder / "codes").glob("*.safetensors")):
        spec, some = read_codes(shard, spec.fingerprint if spec else None)
        codes += some
    with safe_open(folder / "durations.safetensors", "pt") as file:
        flat = file.get_tensor("durations")
    spent = [tuple(d.tolist()) for d in flat.split([len(row["ids"]) for row in rows])]
    if spec is None or len(codes) != len(rows):
        raise ValueError(f"{folder} has {len(rows)} texts and {len(codes)} codes: prepare it again")
    items = [
        Item(row["id"], row["speaker"], row["split"], tuple(row["ids"]), code, time)
        for row, code, time in zip(rows, codes, spent, strict=True)
    ]
    tokenizer = load_tokenizer(json.loads((folder / "tokenizer.json").read_text("utf-8")))
    return Prepared(spec, tokenizer, items)
