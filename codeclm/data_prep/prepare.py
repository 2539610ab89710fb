"""Corpus to training data: `codeclm prep configs/data/starter.yaml`.

Text to tokens, sound to codes or latents, then the time of every text token. Each stage is skipped
where its files are already there, so a run that was stopped goes on where it was.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from tqdm import tqdm

from codeclm.codecs import Codec, load_codec
from codeclm.codecs.latents import Scale
from codeclm.config import Config, load_config
from codeclm.corpus import Utterance, read_audio, read_manifest
from codeclm.data_prep.align import NothingToAlign, align, train_aligner
from codeclm.data_prep.shards import read_shard, write_shard
from codeclm.data_prep.splits import Splits, leaks, split
from codeclm.data_prep.text import (
    Bytes,
    Phonemes,
    Pretrained,
    SentencePiece,
    Tokenizer,
    normalize,
    phonemize,
)
from codeclm.files import write_tensors, write_text


class Preparation(Config):
    """What to prepare.

    Attributes:
        manifest: the corpus: JSON lines, or any other kind that `codeclm.corpus` reads.
        codec: name, folder or hub name.
        out: folder of the prepared corpus.
        tokenizer: `phonemes`, `sentencepiece`, `bytes` or `pretrained`.
        pretrained: hub name or folder of the LLM whose tokenizer `pretrained` is.
        vocabulary: pieces of a sentencepiece tokenizer, which is trained on the corpus.
        normalize: what turns numbers into words: `none`, `nemo` or `num2words`.
        splits: how to split a corpus that has no splits.
        shard: utterances a shard.
        align_steps: training steps of the aligner.
        train_split: the aligner learns from this split alone.
    """

    manifest: Path
    codec: str
    out: Path
    tokenizer: str = "phonemes"
    pretrained: str | None = None
    vocabulary: int = 512
    normalize: Literal["none", "nemo", "num2words"] = "none"
    splits: Splits | None = None
    shard: int = 500
    align_steps: int = 900
    train_split: str = "train"
    seed: int = 0


def run(config_path: str | Path | None, overrides: Sequence[str] = ()) -> Path:
    """Prepares the corpus; returns the folder."""
    config = load_config(Preparation, config_path, overrides)
    utterances = read_manifest(config.manifest)
    if config.splits is not None:
        utterances = split(utterances, config.splits)
    leaking = leaks(utterances, config.train_split)
    if leaking:
        raise ValueError(
            f"{config.manifest}: speakers {sorted(leaking)[:5]} stand in both the train and the "
            "unseen split; a speaker kept for testing must not be trained on"
        )
    codec = load_codec(config.codec)
    config.out.mkdir(parents=True, exist_ok=True)
    tokenizer, ids = _texts(config, utterances)
    sound = _tokens(config, utterances, codec)
    done = config.out / "report.json"
    made_with = {
        "codec": codec.spec.to_dict(),
        "align_steps": config.align_steps,
        "train_split": config.train_split,
        "seed": config.seed,
    }
    if done.exists():
        before = json.loads(done.read_text("utf-8"))
        if before["made_with"] == json.loads(json.dumps(made_with)):
            print(
                f"{before['utterances']} utterances, {before['hours']} h, as before; {config.out}"
            )
            return config.out
        done.unlink()
    trained = [i for i, u in enumerate(utterances) if u.split == config.train_split]
    vocabulary, spoken = len(tokenizer.tokens), ids
    if config.tokenizer == "pretrained":
        vocabulary, spoken = _used(ids)
    scale = None
    if codec.spec.latent_dims:
        scale = Scale.measure(sound[i] for i in trained)
        sound = [scale.enter(latents) for latents in sound]
    loss = 0.0
    model = None
    try:
        model, loss = train_aligner(
            codec.spec,
            vocabulary,
            [sound[i] for i in trained],
            [spoken[i] for i in trained],
            config.align_steps,
            seed=config.seed,
        )
    except NothingToAlign as error:
        print(f"{error}: a model of these data must read its text as a prefix")
    spent, unaligned = [], 0
    for matrix, tokens in tqdm(zip(sound, spoken, strict=True), total=len(spoken), desc="align"):
        found = align(model, matrix, tokens) if model is not None else None
        unaligned += found is None
        spent.append(torch.tensor(found or [0] * len(tokens), dtype=torch.int16))
    write_tensors(config.out / "durations.safetensors", {"durations": torch.cat(spent)}, {})
    hours = sum(matrix.shape[1] for matrix in sound) / codec.spec.frame_rate / 3600
    report = {
        "utterances": len(utterances),
        "hours": round(hours, 3),
        "speakers": len({u.speaker for u in utterances}),
        "tokens": sum(map(len, ids)),
        "unaligned": unaligned,
        "aligner_loss": round(loss, 4),
        "made_with": made_with,
        **({"scale": scale.to_dict()} if scale else {}),
    }
    write_text(done, json.dumps(report, indent=1))
    print(f"{len(utterances)} utterances, {hours:.2f} h, {unaligned} not aligned; {config.out}")
    return config.out


def _used(ids: list[list[int]]) -> tuple[int, list[list[int]]]:
    """The same tokens numbered from 1 without gaps: most of an LLM's vocabulary is never spoken."""
    number = {token: i for i, token in enumerate(sorted({t for row in ids for t in row}), start=1)}
    return len(number) + 1, [[number[token] for token in row] for row in ids]


def _texts(config: Preparation, utterances: list[Utterance]) -> tuple[Tokenizer, list[list[int]]]:
    """The tokenizer and the tokens of every text; both are written out."""
    tokenizer: Tokenizer
    if (config.tokenizer == "pretrained") != (config.pretrained is not None):
        raise ValueError(
            f"tokenizer {config.tokenizer!r} with pretrained={config.pretrained}: "
            "`tokenizer=pretrained` and the name of its LLM, `pretrained=`, belong together"
        )
    if config.tokenizer == "phonemes":
        ipa = {
            u.id: u.phonemes or phonemize(u.text, u.language, config.normalize) for u in utterances
        }
        tokenizer = Phonemes.build(ipa.values(), config.normalize)
        ids = [tokenizer.encode_ipa(ipa[u.id], u.language) for u in utterances]
    else:
        if config.tokenizer == "sentencepiece":
            texts = (normalize(u.text, u.language, config.normalize) for u in utterances)
            tokenizer = SentencePiece.train(texts, config.vocabulary, config.normalize)
        elif config.tokenizer == "bytes":
            tokenizer = Bytes(config.normalize)
        elif config.pretrained is not None:
            tokenizer = Pretrained.of(config.pretrained, config.normalize)
        else:
            raise ValueError(
                f"tokenizer {config.tokenizer!r}: known are phonemes, sentencepiece, bytes, "
                "pretrained"
            )
        ids = [tokenizer.encode(u.text, u.language) for u in utterances]
    rows = (
        json.dumps({"id": u.id, "speaker": u.speaker, "split": u.split, "ids": tokens})
        for u, tokens in zip(utterances, ids, strict=True)
    )
    text, path = "\n".join(rows) + "\n", config.out / "text.jsonl"
    if not path.exists() or path.read_text("utf-8") != text:
        (config.out / "report.json").unlink(missing_ok=True)  # what follows is of another text
        write_text(path, text)
    write_text(config.out / "tokenizer.json", json.dumps(tokenizer.state(), ensure_ascii=False))
    return tokenizer, ids


def _tokens(config: Preparation, utterances: list[Utterance], codec: Codec) -> list[Tensor]:
    """Token matrices of every utterance, shard by shard; a shard that is there is only read."""
    folder = config.out / "codes"
    folder.mkdir(exist_ok=True)
    tokens: list[Tensor] = []
    with tqdm(total=len(utterances), desc=f"tokenize with {codec.spec.name}", unit="clip") as bar:
        for first in range(0, len(utterances), config.shard):
            part = utterances[first : first + config.shard]
            names = [utterance.id for utterance in part]
            path = folder / f"{first // config.shard:05d}.safetensors"
            if not path.exists():
                made = []
                for utterance in part:
                    wav = read_audio(utterance, codec.spec.sample_rate)
                    made.append(codec.spec.matrix(codec.encode(wav[None]))[0])
                    bar.update()
                write_shard(path, names, made, codec.spec)
            else:
                bar.update(len(part))
            tokens += read_shard(path, names, codec.spec.fingerprint)[2]
    return [t.float() if codec.spec.latent_dims else t.long() for t in tokens]
