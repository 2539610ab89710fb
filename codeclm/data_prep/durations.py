"""The time of every text token of a corpus, shard by shard.

Codecs whose frames lie at the same times share their durations: an aligner is trained on the tokens
of one of them, which is cheaper, and makes models of these codecs comparable.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor
from tqdm import tqdm

from codeclm.checkpoint import ALIGNER
from codeclm.codecs import CodecSpec
from codeclm.codecs.latents import Scale
from codeclm.data_prep.align import Aligner, NothingToAlign, align, train_aligner
from codeclm.data_prep.distribute import Engine, spread
from codeclm.data_prep.encode import one_processor
from codeclm.data_prep.shards import read_header, read_shard
from codeclm.files import write_tensors
from codeclm.remote import AnyPath, local

MOST = 20_000  # utterances that an aligner is trained on, evenly spaced in the corpus


@dataclass(frozen=True)
class Texts:
    """What is to be aligned.

    Attributes:
        ids: of every text, by the id of its utterance, below `vocabulary`.
        trained: ids of the utterances that an aligner may learn from.
        digest: of the texts.
    """

    ids: Mapping[str, Sequence[int]]
    vocabulary: int
    trained: Sequence[str]
    digest: str


@dataclass(frozen=True)
class Part:
    """A shard of tokens and the texts of its utterances.

    Attributes:
        aligner: a file; None: nothing can be aligned.
        scale: of latents.
        mark: what the durations depend on.
    """

    tokens: AnyPath
    texts: Mapping[str, Sequence[int]]
    aligner: AnyPath | None
    scale: Scale | None
    path: AnyPath
    mark: str


def grid(spec: CodecSpec) -> str:
    """Where the frames of a codec lie in time."""
    return f"{spec.sample_rate}-{spec.hop}"


def time_texts(
    folder: AnyPath,
    shards: Sequence[AnyPath],
    spec: CodecSpec,
    scale: Scale | None,
    texts: Texts,
    steps: int,
    seed: int,
    engine: Engine = "local",
    workers: int | None = None,
    begin: AnyPath | None = None,
) -> dict[str, Any]:
    """Writes the durations of the texts of all shards into a folder; what there is, stays.

    `begin` is an aligner of the same texts and tokens, to go on from; the rest as `train_aligner`
    and `spread` take it.

    Returns:
        `unaligned`, the utterances without times, and `aligner_loss`.
    """
    made = {"text": texts.digest, "steps": steps, "seed": seed, "aligned": spec.fingerprint}
    mark = json.dumps(made | ({"begin": header(begin)["loss"]} if begin is not None else {}))
    aligner = folder.with_name(f"{folder.name}.aligner.safetensors")
    if not aligner.exists() or header(aligner)["mark"] != mark:
        weights: dict[str, Tensor] = {}
        about: dict[str, Any] = {"mark": mark, "loss": None}
        rows, ids = _sample(shards, scale, texts)
        first = load_file(local(begin)) if begin is not None else None
        try:
            size = texts.vocabulary
            model, loss = train_aligner(spec, size, rows, ids, steps, seed=seed, begin=first)
            about |= {"loss": loss, "spec": spec.to_dict(), "vocabulary": size}
            about["scale"] = scale.to_dict() if scale else None
            weights = model.state_dict()
        except NothingToAlign as error:
            print(f"{error}: a model of these data must read its text as a prefix")
        write_tensors(aligner, weights, {"made": json.dumps(about)})
    loss = header(aligner)["loss"]
    parts = [
        Part(
            shard,
            {name: texts.ids[name] for name in read_header(shard).ids},
            aligner if loss is not None else None,
            scale,
            folder / shard.name,
            mark,
        )
        for shard in shards
    ]
    todo = [p for p in parts if not p.path.exists() or header(p.path)["mark"] != mark]
    for _ in tqdm(spread(align_part, todo, engine, workers), "align", len(todo), unit="shard"):
        pass
    return {
        "unaligned": sum(header(part.path)["unaligned"] for part in parts),
        "aligner_loss": round(loss, 4) if loss is not None else None,
    }


def copy_aligner(data: AnyPath, spec: CodecSpec, folder: Path) -> None:
    """Puts the aligner of prepared tokens beside a model of them, in half precision."""
    path = data / "durations" / f"{grid(spec)}.aligner.safetensors"
    if not path.exists():
        return
    made = header(path)
    if made["loss"] is not None:
        weights = {name: tensor.half() for name, tensor in load_file(local(path)).items()}
        write_tensors(folder / ALIGNER, weights, {"made": json.dumps(made)})


def align_part(part: Part) -> None:
    """Writes the durations of one shard."""
    spent, unaligned = [], 0
    with one_processor():
        model = _kept(part.aligner, part.mark) if part.aligner is not None else None
        _, names, rows = read_shard(part.tokens)
        for name, matrix in zip(names, rows, strict=True):
            ids = part.texts[name]
            found = align(model, readable(matrix, part.scale), ids) if model else None
            unaligned += found is None
            spent += found or [0] * len(ids)
    made = {"mark": part.mark, "unaligned": unaligned}
    durations = {"durations": torch.tensor(spent, dtype=torch.int16)}
    write_tensors(part.path, durations, {"made": json.dumps(made)})


def readable(matrix: Tensor, scale: Scale | None) -> Tensor:
    """A token matrix of a shard as models read it."""
    if not matrix.is_floating_point():
        return matrix.long()
    return scale.enter(matrix.float()) if scale is not None else matrix.float()


def _sample(
    shards: Sequence[AnyPath], scale: Scale | None, texts: Texts
) -> tuple[list[Tensor], list[Sequence[int]]]:
    """Token matrices and texts to learn from."""
    chosen = set(texts.trained[:: 1 + len(texts.trained) // MOST])
    found = [
        (name, matrix)
        for shard in shards
        if not chosen.isdisjoint(read_header(shard).ids)
        for name, matrix in zip(*read_shard(shard)[1:], strict=True)
        if name in chosen
    ]
    return [readable(matrix, scale) for _, matrix in found], [texts.ids[name] for name, _ in found]


def header(path: AnyPath) -> dict[str, Any]:
    """What stands in a file of durations, or of an aligner."""
    with safe_open(local(path), "pt") as file:
        made: dict[str, Any] = json.loads(file.metadata()["made"])
    return made


def load_aligner(path: AnyPath) -> Aligner:
    """An aligner, ready to align."""
    made = header(path)
    model = Aligner(CodecSpec.from_dict(made["spec"]), made["vocabulary"])
    model.load_state_dict(load_file(local(path)))
    return model.eval()


@lru_cache(maxsize=1)
def _kept(path: AnyPath, mark: str) -> Aligner:
    return load_aligner(path)
