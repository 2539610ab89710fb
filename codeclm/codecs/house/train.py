"""Trains the token space: `codeclm train codec configs/codec/house-fsq.yaml`.

Ends with a checkpoint folder and the error on held-out crops. The vocoder is trained apart, by
`train_vocoder.py`, once for all house codecs.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from accelerate import Accelerator
from pydantic import model_validator

from codeclm.codecs.house.autoencoder import (
    STRIDE,
    Autoencoder,
    AutoencoderConfig,
    reconstruction_loss,
)
from codeclm.codecs.house.data import Crops, cache_corpus
from codeclm.codecs.house.features import log_mel
from codeclm.config import Config, load_config
from codeclm.training import Run, cosine, set_rate


class CodecTraining(Config):
    """A training of the autoencoder.

    Attributes:
        manifest: the corpus, JSON lines.
        cache: folder for the decoded sound, shared between runs.
        out: folder of the run; the finished codec is its sub-folder `final`.
        frames: mel frames of a crop, a multiple of 4.
        mixed_precision: `bf16` or `no`.
    """

    name: str
    manifest: Path
    cache: Path
    out: Path
    model: AutoencoderConfig = AutoencoderConfig()
    steps: int = 6000
    warmup: int = 200
    batch: int = 16
    frames: int = 128
    learning_rate: float = 1.5e-3
    mixed_precision: str = "bf16"
    every: int = 500
    seed: int = 0

    @model_validator(mode="after")
    def _whole_frames(self) -> "CodecTraining":
        if self.frames % STRIDE:
            raise ValueError(f"frames {self.frames} must be a multiple of {STRIDE}")
        return self


def run(config_path: str | Path | None, overrides: Sequence[str] = ()) -> Path:
    """Trains as the file says, or takes up where an earlier run stopped; the finished folder."""
    config = load_config(CodecTraining, config_path, overrides)
    cache_corpus(config.manifest, config.cache)
    train, dev = (Crops(config.cache, config.manifest, split) for split in ("train", "dev"))
    accelerator = Accelerator(mixed_precision=config.mixed_precision)
    torch.manual_seed(config.seed)
    model = Autoencoder(config.model)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, betas=(0.8, 0.95), weight_decay=0.01
    )
    run = Run(config.out, {"model": model, "optimizer": optimizer})
    model, optimizer = accelerator.prepare(model, optimizer)

    def loss_on(crops: Crops, step: int) -> torch.Tensor:
        wav, _ = crops.batch(config.seed, step, config.batch, config.frames)
        mel = log_mel(wav.to(accelerator.device))
        with accelerator.autocast():
            return reconstruction_loss(model(mel), mel)

    @torch.inference_mode()
    def validate() -> float:
        return sum(loss_on(dev, i).item() for i in range(8)) / 8

    for step in run.steps(config.steps, config.seed, config.name):
        rate = config.learning_rate * cosine(step, config.steps, config.warmup)
        set_rate(optimizer, rate)
        loss = loss_on(train, step)
        run.check(loss)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 50 == 0:
            run.log(loss=loss.item(), rate=rate)
        if step % config.every == config.every - 1:
            run.log(dev=validate())

    error = validate()
    final = run.finish(
        model,
        config.model,
        kind="house-codec",
        name=config.name,
        vocoder="../vocoder",
        dev_error=round(error, 4),
    )
    print(f"{config.name}: mean absolute error of dev log-mels {error:.4f}; {final}")
    return final
