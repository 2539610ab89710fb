"""Trains a speech model: `codeclm train tts configs/tts/starter.yaml`.

Ends with a model folder and the bits a second of audio that the model needs on the dev split.
"""

import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

from codeclm import checkpoint
from codeclm.config import Config, load_config
from codeclm.data_prep.shards import read_prepared
from codeclm.training import Run, cosine, set_rate
from codeclm.tts.backbone import llama
from codeclm.tts.data import Sequences
from codeclm.tts.model import Batch, ModelConfig, SpeechLM


class TtsTraining(Config):
    """A training of a speech model.

    Attributes:
        data: folder that `codeclm prep` wrote.
        out: folder of the run; the finished model is its sub-folder `final`.
        init: a finished model of the same sizes to begin with.
        batch: sequences a step, each of at most `frames` codec frames.
        advance_weight: of the loss that says when the next token enters.
        mixed_precision: `bf16` or `no`.
        every: steps between two validations.
    """

    name: str
    data: Path
    out: Path
    init: Path | None = None
    model: ModelConfig = ModelConfig()
    steps: int = 4000
    warmup: int = 200
    batch: int = 8
    frames: int = 512
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.05
    advance_weight: float = 0.5
    mixed_precision: str = "bf16"
    every: int = 250
    seed: int = 0


def run(config_path: str | Path | None, overrides: Sequence[str] = ()) -> Path:
    """Trains as the file says, or takes up where an earlier run stopped; the finished folder."""
    config = load_config(TtsTraining, config_path, overrides)
    prepared = read_prepared(config.data)
    spec = prepared.spec
    sequences = {}
    for split in ("train", "dev"):
        items = [item for item in prepared.items if item.split == split]
        if not items:
            raise ValueError(
                f"{config.data} has no utterance in the split {split!r}: give some rows of the "
                f'manifest "split": "{split}" and prepare it again'
            )
        sequences[split] = Sequences(items, config.frames, config.batch, config.seed)
    accelerator = Accelerator(mixed_precision=config.mixed_precision)
    torch.manual_seed(config.seed)
    vocabulary = len(prepared.tokenizer.tokens)
    model = SpeechLM(config.model, spec.streams, vocabulary, llama(config.model))
    if config.init is not None:
        try:
            model.load_state_dict(checkpoint.load(config.init).weights())
        except RuntimeError as error:
            raise ValueError(
                f"{config.init} has other sizes or another vocabulary than this run: give the same "
                "`model` and the tokenizer it was trained with, or begin without `init`"
            ) from error
    optimizer = torch.optim.AdamW(
        model.parameters(), config.learning_rate, (0.9, 0.95), weight_decay=config.weight_decay
    )
    run = Run(config.out, {"model": model, "optimizer": optimizer})
    model, optimizer = accelerator.prepare(model, optimizer)

    def losses(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss to minimize, and bits a second and nats an advance to look at."""
        moved = Batch(
            **{f.name: getattr(batch, f.name).to(accelerator.device) for f in fields(batch)}
        )
        with accelerator.autocast():
            codes, advance = model(moved)
        frames = moved.real.sum()
        told = (moved.real & (moved.token >= 0)).sum().clamp(min=1)
        audio, turns = codes.sum() / frames, advance.sum() / told
        dims = sum(max(1, len(stream.levels)) for stream in spec.streams)
        shown = {"bits_per_second": audio / math.log(2) * spec.frame_rate, "advance": turns}
        return audio / dims + config.advance_weight * turns, shown

    @torch.inference_mode()
    def validate() -> dict[str, float]:
        model.eval()
        rows = [losses(sequences["dev"].batch(i))[1] for i in range(4)]
        model.train()
        return {f"dev_{name}": sum(r[name].item() for r in rows) / len(rows) for name in rows[0]}

    for step in run.steps(config.steps, config.seed, config.name):
        set_rate(optimizer, config.learning_rate * cosine(step, config.steps, config.warmup))
        loss, shown = losses(sequences["train"].batch(step))
        run.check(loss)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 20 == 0:
            run.log(loss=loss.item(), **{name: value.item() for name, value in shown.items()})
        if step % config.every == config.every - 1:
            run.log(**validate())

    reached = {name: round(value, 4) for name, value in validate().items()}
    about = {
        "kind": "tts",
        "name": config.name,
        "codec": spec.to_dict(),
        "tokenizer": prepared.tokenizer.state(),
        **reached,
    }
    final = run.finish(model, config.model, about)
    print(f"{config.name}: {reached['dev_bits_per_second']:.0f} bits a second on dev; {final}")
    return final
