"""Trains a speech model: `codeclm train tts configs/tts/starter.yaml`.

Ends with a model folder and the bits a second of audio that the model needs on the dev split: the
negative log-probability of all its codes, summed over the streams, which is comparable between
layouts and heads on one codec.

Under `accelerate launch` every process takes its own batches, and a step moves the weights by the
mean of their gradients. Two processes do what one does with `accumulate: 2`, to the rounding of
sums.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedType
from accelerate.utils import DistributedDataParallelKwargs, GradientAccumulationPlugin
from pydantic import Field
from torch import Tensor

from codeclm import checkpoint
from codeclm.codecs import HOUSE, Codec, CodecSpec, codec_of
from codeclm.config import Config, load_config
from codeclm.data_prep.durations import copy_aligner
from codeclm.data_prep.shards import Item, Prepared, read_prepared
from codeclm.learner import Learner
from codeclm.remote import Named
from codeclm.training import Run, Tracker, cosine, set_rate
from codeclm.tts.data import Sequences
from codeclm.tts.distill import Distillation, Teacher
from codeclm.tts.layouts import Layout
from codeclm.tts.listen import Listener, Sentence, WordErrorRate
from codeclm.tts.model import Batch, Losses, ModelConfig, SpeechLM
from codeclm.tts.pretrained import check_tokenizer, llm_config
from codeclm.tts.sampling import Sampling
from codeclm.tts.scores import Scores, unit


class TtsTraining(Config):
    """A training of a speech model.

    Attributes:
        data: folder that `codeclm prep` wrote, path or URL.
        tokens: the codec whose tokens to learn, where the folder has those of several.
        out: folder of the run; the finished model is its sub-folder `final`.
        init: a finished model of the same sizes to begin with, by name or folder.
        sampling: how the finished model draws codes when nobody says otherwise.
        batch: sequences at a time, each of at most `frames` codec frames.
        accumulate: batches that each process adds up in a step, all counting alike.
        ema: decay of a running average of the weights, such as 0.999, which is then what is
            validated, heard and finished; 0: none.
        text_dropout: share of utterances shown without their text, for guidance.
        voice_dropout: share of utterances that do not go on after others of their speaker.
        stream_weights: of the loss of each stream, on any scale; none: all alike.
        advance_weight: of the loss that says when the next token enters, or the speech ends.
        spell_weight: of the spelling loss of `model.spell`.
        distil: learn the guided states of a teacher, and nothing else of the tokens.
        mixed_precision: `bf16` or `no`.
        every: steps between two validations.
        keep: how many models, one each validation, are kept beside the best one.
        tracker: `tensorboard` or `none`, beside `metrics.jsonl`.
        listen: sentences that are said every `listen_every` steps.
        codec: what made the tokens and says the sentences, by name or folder; None: the codec of
            the name that `data` gives. Other weights are refused, if they lie here.
    """

    name: str
    data: Named
    tokens: str | None = None
    out: Path
    init: str | None = None
    model: ModelConfig = ModelConfig()
    sampling: Sampling = Sampling()
    steps: int = 4000
    warmup: int = 200
    batch: int = 8
    accumulate: int = Field(default=1, ge=1)
    ema: float = Field(default=0.0, ge=0, lt=1)
    frames: int = 512
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.05
    text_dropout: float = 0.1
    voice_dropout: float = 0.0
    stream_weights: tuple[float, ...] = ()
    advance_weight: float = 0.5
    spell_weight: float = 0.2
    distil: Distillation | None = None
    mixed_precision: str = "bf16"
    every: int = 250
    keep: int = Field(default=0, ge=0)
    tracker: Tracker = "tensorboard"
    listen: tuple[Sentence, ...] = ()
    listen_every: int = Field(default=1000, ge=1)
    codec: str | None = None
    seed: int = 0


def run(
    config_path: str | Path | None,
    overrides: Sequence[str] = (),
    word_error_rate: WordErrorRate | None = None,
) -> Path:
    """Trains as the file says, or takes up where an earlier run stopped; the finished folder.

    Args:
        config_path: a YAML file of `TtsTraining`.
        overrides: settings that replace those of the file.
        word_error_rate: judges what the model says on the way; None: nobody does.
    """
    config = load_config(TtsTraining, config_path, overrides)
    prepared = read_prepared(config.data, config.tokens)
    spec, name = prepared.spec, f"dev_{unit(prepared.spec)}"
    codec = _codec(config, spec)
    weights = _stream_weights(config, spec)
    accelerator = _accelerator(config)
    torch.manual_seed(config.seed)
    model = _begin(config, prepared)
    layout, sizes = model.layout, model.config
    llm = llm_config(model.backbone) if model.backbone and sizes.pretrained else None
    train, dev = (sequences(config, prepared.items, layout, split) for split in ("train", "dev"))
    vocabulary = len(prepared.tokenizer.tokens)
    teacher = Teacher(config.distil, spec, vocabulary) if config.distil else None
    if teacher is not None:
        teacher.teach(model)
    model.adapt()
    optimizer = make_optimizer(config, model)
    known = {
        "kind": "tts",
        "name": config.name,
        "codec": spec.to_dict(),
        "tokenizer": prepared.tokenizer.state(),
        "sampling": config.sampling.model_dump(),
        **({"scale": prepared.scale.to_dict()} if prepared.scale else {}),
    }
    came_from = {"llm": llm} if llm is not None else {}
    listener = None
    if config.listen and codec is not None:
        meta = {**known, **came_from}
        listener = Listener(config.listen, sizes, prepared, codec, meta, word_error_rate)
    bare = model
    model, optimizer = accelerator.prepare(model, optimizer)
    learner = Learner(bare, optimizer, config.ema)
    run = Run(config.out, {"learner": learner}, tracker=config.tracker)

    def losses(batch: Batch, taught: bool = False) -> tuple[Tensor, Losses, Batch]:
        """What to minimize, the losses that make it up, and the batch on its device."""
        moved = batch.to(accelerator.device)
        with accelerator.autocast():
            states = teacher.states(moved) if teacher is not None and taught else None
            found: Losses = model(moved, states)
        streams = layout.where(moved.step.clamp(min=0))[0]
        tokens = (found.tokens * weights.to(streams.device)[streams]).sum()
        digits = sum(len(s.levels) if config.model.classes == "levels" else 1 for s in spec.streams)
        digits = digits or spec.latent_dims
        frames = ((moved.step >= 0).sum() * layout.patch / layout.period).clamp(min=1)
        told = (moved.advance >= 0).sum().clamp(min=1)
        loss = tokens / frames / digits + config.advance_weight * found.advance.sum() / told
        return loss + config.spell_weight * found.spelling, found, moved

    @torch.no_grad()  # FSDP does not go together with inference_mode
    def validate() -> dict[str, float]:
        torch.manual_seed(config.seed)  # the same on all processes and every time
        model.eval()
        scores = Scores(layout, spec)
        for i in range(4):
            _, found, batch = losses(dev.batch(i))
            scores.add(found, batch)
        model.train()
        return {f"dev_{name}": value for name, value in scores.numbers().items()}

    def about(reached: Mapping[str, float]) -> dict[str, Any]:
        """What a model folder says of itself, and of the LLM it came from."""
        return {**known, **{key: round(value, 4) for key, value in reached.items()}, **came_from}

    for step in run.steps(config.steps, config.seed, config.name):
        set_rate(optimizer, config.learning_rate * cosine(step, config.steps, config.warmup))
        scores, total = Scores(layout, spec), 0.0
        for number in run.batches(config.accumulate):
            with accelerator.accumulate(model):
                loss, found, batch = losses(train.batch(number), taught=True)
                run.check(loss)
                accelerator.backward(loss)
            if step % 20 == 0:
                scores.add(found, batch)
                total += loss.item()
        accelerator.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        learner.follow(step)
        if step % 20 == 0:
            run.log(loss=total / config.accumulate, **scores.summary())
        if step % config.every == config.every - 1:
            with learner.averaged():
                reached = validate()
                run.log(**reached)
                if config.keep:
                    finished = bare.folded(learner.weights())
                    run.keep(finished, sizes, about(reached), config.keep, name)
        if listener is not None and step % config.listen_every == config.listen_every - 1:
            with learner.averaged():
                finished = bare.folded(learner.weights())
            if run.main:
                rate = listener(finished, config.out / "samples" / f"step-{step + 1:06d}")
                if rate is not None:
                    run.note(listen_wer=rate)

    with learner.averaged():
        reached = validate()
        final = run.finish(bare.folded(learner.weights()), sizes, about(reached))
    if run.main:
        copy_aligner(config.data, spec, final)
        print(f"{config.name}: {name.replace('_', ' ', 1)} {reached[name]:.4g}; {final}")
    return final


def _begin(config: TtsTraining, prepared: Prepared) -> SpeechLM:
    """The model before its first step, with the weights of `init` if there is one."""
    if config.model.pretrained:
        check_tokenizer(config.model.pretrained, prepared.tokenizer)
    vocabulary, precision = len(prepared.tokenizer.tokens), config.mixed_precision
    model = SpeechLM(config.model, prepared.spec, vocabulary, precision=precision)
    if config.init is not None:
        try:
            model.load_state_dict(checkpoint.load(config.init).weights())
        except RuntimeError as error:
            raise ValueError(
                f"{config.init} has other sizes or another vocabulary than this run: give the same "
                "`model` and the tokenizer it was trained with, or begin without `init`"
            ) from error
    return model


def _accelerator(config: TtsTraining) -> Accelerator:
    """One process, or several under DDP or FSDP 2, as accelerate's own configuration says."""
    accelerator = Accelerator(
        mixed_precision=config.mixed_precision,
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=config.accumulate),
        # Not every batch uses all parameters, and the backbone never embeds a token itself.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    kind = accelerator.distributed_type
    fsdp_1 = kind == DistributedType.FSDP and not accelerator.is_fsdp2
    if fsdp_1 or kind in (DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM):
        raise ValueError(
            f"this training runs under DDP or FSDP 2, not {'FSDP 1' if fsdp_1 else kind.value}: "
            "set `fsdp_version: 2` in the configuration of accelerate, or take DDP"
        )
    return accelerator


def _codec(config: TtsTraining, spec: CodecSpec) -> Codec | None:
    """The codec of the tokens, where it is listened with, or lies here and is soon loaded.

    Raises:
        ValueError: it has other weights than when the tokens were made.
    """
    given = config.codec or spec.name
    if not (config.listen or given in HOUSE or (config.codec and Path(config.codec).is_dir())):
        return None
    return codec_of(spec, config.codec, f"{config.data} was prepared with")


def _stream_weights(config: TtsTraining, spec: CodecSpec) -> Tensor:
    """[K] weights of mean 1."""
    weights = torch.tensor(config.stream_weights or [1.0] * spec.rows)
    if len(weights) != spec.rows or (weights < 0).any() or not weights.sum() > 0:
        raise ValueError(
            f"stream_weights {list(config.stream_weights)}: give one for each of the "
            f"{spec.rows} streams, none below 0 and not all 0"
        )
    return weights / weights.mean()


def sequences(config: TtsTraining, items: Sequence[Item], layout: Layout, split: str) -> Sequences:
    """The sequences of a split.

    Raises:
        ValueError: it has no utterance, or none that can be trained on.
    """
    items = [item for item in items if item.split == split]
    if not items:
        raise ValueError(
            f"{config.data} has no utterance in the split {split!r}: give some rows of the "
            f'manifest "split": "{split}" and prepare it again'
        )
    text, size, seed = config.model.text, config.batch, config.seed
    dropout = (config.text_dropout, config.voice_dropout) if split == "train" else (0.0, 0.0)
    return Sequences(items, layout, text, config.frames, size, seed, *dropout)


def make_optimizer(config: TtsTraining, model: SpeechLM) -> torch.optim.Optimizer:
    """AdamW as the settings say."""
    decay = config.weight_decay
    return torch.optim.AdamW(
        model.parameters(), config.learning_rate, (0.9, 0.95), weight_decay=decay
    )
