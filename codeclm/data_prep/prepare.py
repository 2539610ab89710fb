"""Corpus to training data: `codeclm prep configs/data/house.yaml`.

Text to tokens, sound to tokens of one or several codecs, then the time of every text token. Each
stage leaves alone what it finds done, so a run that was stopped goes on where it was and ends with
the same bytes; a codec can also be added later.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field

from codeclm.codecs import CodecSpec, codec_of, load_codec
from codeclm.codecs.latents import Scale
from codeclm.config import Config, load_config
from codeclm.corpus import Utterance, read_manifest
from codeclm.data_prep.distribute import Engine
from codeclm.data_prep.durations import Texts, grid, time_texts
from codeclm.data_prep.further import Further
from codeclm.data_prep.report import summary, survey, usage, write_report
from codeclm.data_prep.shards import Precision, read_shard
from codeclm.data_prep.splits import Splits, leaks, split
from codeclm.data_prep.text import (
    TOKENIZERS,
    Bytes,
    Phonemes,
    Pretrained,
    SentencePiece,
    Tokenizer,
    normalize,
    phonemize,
)
from codeclm.data_prep.tokenize import Part, Target, check_skipped, plain, tokenize_all
from codeclm.files import write_text
from codeclm.remote import AnyPath, Named

MadeT = TypeVar("MadeT")


class Preparation(Config):
    """What to prepare.

    Attributes:
        manifest: path or URL of the corpus: JSON lines, or whatever `codeclm.corpus` reads.
        codec: name, folder or hub name.
        codecs: several, instead of `codec`.
        model: a finished speech model that will be trained further: tokenizer, codec and scale are
            taken from it, and the aligner begins as its own.
        out: folder of the prepared corpus, path or URL.
        tokenizer: `phonemes`, `sentencepiece`, `bytes` or `pretrained`.
        pretrained: hub name or folder of the LLM whose tokenizer `pretrained` is.
        vocabulary: pieces of a sentencepiece tokenizer, which is trained on the corpus.
        normalize: what turns numbers into words: `none`, `nemo` or `num2words`.
        splits: how to split a corpus that has no splits.
        shard: utterances a shard.
        align_steps: training steps of the aligner.
        train_split: the aligner learns from this split alone.
        engine: `local`, or `ray` for a cluster.
        workers: shards made at a time; none: one here, or all that Ray has room for.
        readers: threads of a worker that read sound.
        batch_seconds: of sound that a codec encodes at once.
        device: where the codecs run: `cpu`, `cuda`.
        precision: `fp32`, or `bf16`, which is faster on some processors and gives other tokens.
    """

    manifest: Named
    codec: str | None = None
    codecs: tuple[str, ...] = ()
    model: str | None = None
    out: Named
    tokenizer: str = "phonemes"
    pretrained: str | None = None
    vocabulary: int = 512
    normalize: Literal["none", "nemo", "num2words"] = "none"
    splits: Splits | None = None
    shard: int = Field(default=500, ge=1)
    align_steps: int = 900
    train_split: str = "train"
    engine: Engine = "local"
    workers: int | None = Field(default=None, ge=1)
    readers: int = Field(default=2, ge=1)
    batch_seconds: float = Field(default=30.0, gt=0)
    device: str = "cpu"
    precision: Precision = "fp32"
    seed: int = 0


def run(config_path: str | Path | None, overrides: Sequence[str] = ()) -> AnyPath:
    """Prepares the corpus; returns the folder."""
    config = load_config(Preparation, config_path, overrides)
    model = Further.of(config.model) if config.model else None
    utterances = read_manifest(config.manifest)
    if config.splits is not None:
        utterances = split(utterances, config.splits)
    leaking = leaks(utterances, config.train_split)
    if leaking:
        raise ValueError(
            f"{config.manifest}: speakers {sorted(leaking)[:5]} stand in both the train and the "
            "unseen split; a speaker kept for testing must not be trained on"
        )
    out = config.out.absolute()
    if (out / "codes").exists():
        raise ValueError(
            f"{out} was prepared by an earlier version: it can be trained on as it is; give "
            "another `out` to prepare anew"
        )
    codecs = _codecs(config, model)
    tokenizer, ids, skipped = _texts(config, utterances, model)
    fit = [u for u in utterances if u.id in ids]
    check_skipped(skipped, len(utterances))
    names = ("id", "speaker", "split", "language")
    rows = ({name: getattr(u, name) for name in names} | {"ids": ids[u.id]} for u in fit)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    made_with = {
        "text": digest,
        "align_steps": config.align_steps,
        "train_split": config.train_split,
        "seed": config.seed,
    } | ({"model": model.fingerprint} if model else {})
    before = _before(out, made_with)
    write_text(out / "text.jsonl", text)
    write_text(out / "tokenizer.json", json.dumps(tokenizer.state(), ensure_ascii=False))

    parts = _parts(config, fit, codecs, out / "tokens")
    skipped = tokenize_all(parts, skipped, config.engine, config.workers)
    kept = [u for u in fit if u.id not in skipped]

    vocabulary, spoken = len(tokenizer.tokens), ids
    if isinstance(tokenizer, Pretrained):
        vocabulary, spoken = _used(ids)
    trained = [u.id for u in kept if u.split == config.train_split]
    texts = Texts(spoken, vocabulary, trained, digest)
    done = dict(before)
    for i, (name, (_, spec)) in enumerate(codecs.items()):
        if name not in done:
            shards = [part.targets[i].path for part in parts]
            done[name] = _finish(config, out, shards, spec, texts, done.values(), model)
    if done == before:
        print(f"{len(kept)} utterances, as before; {out}")
        return out
    report = {
        **survey(kept, [part.targets[0].path for part in parts]),
        "tokens": sum(len(ids[u.id]) for u in kept),
        "skipped": skipped,
        "codecs": done,
        "made_with": made_with,
    }
    write_report(out, report)
    print(f"{summary(report)}; {out}")
    return out


def _codecs(config: Preparation, model: Further | None) -> dict[str, tuple[str, CodecSpec]]:
    """The codecs by name: what was given, and what it is."""
    given = config.codecs or ((config.codec,) if config.codec else ())
    if model is not None:
        if len(given) > 1:
            raise ValueError(f"{model.name} speaks one codec: leave out `codecs`")
        codec = codec_of(model.spec, config.codec, f"{model.name} was trained on")
        return {model.spec.name: (config.codec or model.spec.name, codec.spec)}
    if not given:
        raise ValueError("no codec to prepare the corpus with: give `codec`, or several `codecs`")
    found: dict[str, tuple[str, CodecSpec]] = {}
    for each in given:
        spec = load_codec(each).spec
        if spec.name in found:
            raise ValueError(
                f"the codecs {found[spec.name][0]} and {each} are both called {spec.name}: prepare "
                "them into folders of their own"
            )
        found[spec.name] = (each, spec)
    return found


def _before(out: AnyPath, made_with: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The codecs that are done; a report of anything else is no longer true and goes."""
    path = out / "report.json"
    if not path.exists():
        return {}
    report = json.loads(path.read_text("utf-8"))
    if report["made_with"] == made_with:
        return dict(report["codecs"])
    path.unlink()
    return {}


def _texts(
    config: Preparation, utterances: list[Utterance], model: Further | None
) -> tuple[Tokenizer, dict[str, list[int]], dict[str, str]]:
    """The tokenizer, the tokens of every text that has some, and why others have none."""
    if (config.tokenizer == "pretrained") != (config.pretrained is not None):
        raise ValueError(
            f"tokenizer {config.tokenizer!r} with pretrained={config.pretrained}: "
            "`tokenizer=pretrained` and the name of its LLM, `pretrained=`, belong together"
        )
    skipped: dict[str, str] = {}
    how = config.normalize

    def each(make: Callable[[Utterance], MadeT]) -> dict[str, MadeT]:
        """What is made of each text that can be read, by id."""
        made = {}
        for utterance in utterances:
            try:
                if utterance.id not in skipped:
                    made[utterance.id] = make(utterance)
            except ValueError as error:
                skipped[utterance.id] = f"text: {error}"
        return made

    def ids(utterance: Utterance) -> list[int]:
        if utterance.phonemes and isinstance(tokenizer, Phonemes):
            return tokenizer.encode_ipa(utterance.phonemes, utterance.language)
        return tokenizer.encode(utterance.text, utterance.language)

    tokenizer: Tokenizer
    if model is not None:
        tokenizer = model.tokenizer
    elif config.tokenizer == "phonemes":
        ipa = each(lambda u: u.phonemes or phonemize(u.text, u.language, how))
        phonemes = Phonemes.build(ipa.values(), how)
        return phonemes, each(lambda u: phonemes.encode_ipa(ipa[u.id], u.language)), skipped
    elif config.tokenizer == "sentencepiece":
        texts = each(lambda u: normalize(u.text, u.language, how)).values()
        tokenizer = SentencePiece.train(texts, config.vocabulary, how)
    elif config.pretrained is not None:
        tokenizer = Pretrained.of(config.pretrained, how)
    elif config.tokenizer == "bytes":
        tokenizer = Bytes(how)
    else:
        known = ", ".join(TOKENIZERS)
        raise ValueError(f"tokenizer {config.tokenizer!r}: known are {known}")
    return tokenizer, each(ids), skipped


def _parts(
    config: Preparation,
    utterances: list[Utterance],
    codecs: dict[str, tuple[str, CodecSpec]],
    folder: AnyPath,
) -> list[Part]:
    """The corpus cut into the shards to make."""
    how = config.batch_seconds, config.readers, config.device, config.precision
    parts = []
    for number, first in enumerate(range(0, len(utterances), config.shard)):
        targets = tuple(
            Target(given, spec, folder / plain(name) / f"{number:05d}.safetensors")
            for name, (given, spec) in codecs.items()
        )
        parts.append(Part(tuple(utterances[first : first + config.shard]), targets, *how))
    return parts


def _finish(
    config: Preparation,
    out: AnyPath,
    shards: list[AnyPath],
    spec: CodecSpec,
    texts: Texts,
    known: Iterable[dict[str, Any]],
    model: Further | None,
) -> dict[str, Any]:
    """Times the texts in frames of a codec, unless it was done; what the report says of it."""
    scale = model.scale if model else None
    if spec.latent_dims and scale is None:
        chosen = set(texts.trained)
        scale = Scale.measure(
            matrix.float()
            for shard in shards
            for name, matrix in zip(*read_shard(shard)[1:], strict=True)
            if name in chosen
        )
    durations = f"durations/{grid(spec)}"
    timed = next((entry for entry in known if entry["durations"] == durations), None)
    if timed is None:
        timed = time_texts(
            out / durations,
            shards,
            spec,
            scale,
            texts,
            config.align_steps,
            config.seed,
            config.engine,
            config.workers,
            model.aligner if model else None,
        )
    return {
        "tokens": f"tokens/{plain(spec.name)}",
        "durations": durations,
        "unaligned": timed["unaligned"],
        "aligner_loss": timed["aligner_loss"],
        "frame_rate": spec.frame_rate,
        "streams": usage(shards, spec),
        "scale": scale.to_dict() if scale else None,
        "spec": json.loads(json.dumps(spec.to_dict())),
    }


def _used(ids: dict[str, list[int]]) -> tuple[int, dict[str, list[int]]]:
    """The same tokens numbered from 1 without gaps: most of an LLM's vocabulary is never spoken."""
    seen = sorted({token for row in ids.values() for token in row})
    number = {token: i for i, token in enumerate(seen, start=1)}
    return len(number) + 1, {name: [number[token] for token in row] for name, row in ids.items()}
