"""Trains the vocoder: `codeclm train vocoder configs/codec/vocoder.yaml`.

Half of each batch are spectra of recordings, half are what the house codecs named in the config
make of them, so that one vocoder serves all codecs and learns what quantized spectra look like.
First spectral losses alone; then, from `adversarial_from`, one discriminator a step joins in.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

from codeclm import checkpoint
from codeclm.codecs.house.autoencoder import Autoencoder
from codeclm.codecs.house.data import Crops, cache_corpus
from codeclm.codecs.house.discriminators import (
    discriminator_loss,
    discriminators,
    generator_loss,
)
from codeclm.codecs.house.features import HIGHEST, HOP, LOWEST, log_mel
from codeclm.codecs.house.vocoder import PITCHES, Vocoder, VocoderConfig, pitch_classes
from codeclm.config import Config, load_config
from codeclm.training import Run, cosine, set_rate

SCALES = (256, 512, 1024, 2048)  # STFT windows of the loss, in samples


class VocoderTraining(Config):
    """A training of the vocoder.

    Attributes:
        codecs: finished house codecs whose spectra it must also learn.
        own_pitch_from: step from which the source follows the predicted pitch, not the tracked one.
        adversarial_from: step at which the discriminators join.
        judged: frames of each crop that a discriminator hears.
    """

    name: str = "vocoder"
    manifest: Path
    cache: Path
    out: Path
    codecs: tuple[Path, ...] = ()
    model: VocoderConfig = VocoderConfig()
    steps: int = 8000
    warmup: int = 200
    batch: int = 12
    frames: int = 96
    learning_rate: float = 1e-3
    own_pitch_from: int = 2000
    adversarial_from: int = 4000
    discriminator_rate: float = 4e-4
    channels: int = 16
    judged: int = 48
    weight_adversarial: float = 0.3
    weight_matching: float = 1.0
    weight_pitch: float = 0.2
    mixed_precision: str = "bf16"
    every: int = 500
    seed: int = 0


def spectral_loss(predicted: Tensor, wav: Tensor) -> Tensor:
    """Multi-resolution STFT loss (Yamamoto et al. 2020): log magnitude and spectral convergence.

    Sound [B, N] both; no phase enters.
    """
    total = predicted.new_zeros(())
    for window in SCALES:
        shape = torch.hann_window(window, device=wav.device)

        def magnitude(x: Tensor, window: int = window, shape: Tensor = shape) -> Tensor:
            stft = torch.stft(x, window, window // 4, window=shape, return_complex=True)
            return (stft.real.square() + stft.imag.square() + 1e-9).sqrt()

        a, b = magnitude(predicted), magnitude(wav)
        total = total + (a.clamp(min=1e-3).log() - b.clamp(min=1e-3).log()).abs().mean()
        total = total + (a - b).norm() / b.norm().clamp(min=1.0)
    return total / len(SCALES)


def pitch_loss(scores: Tensor, pitch: Tensor) -> Tensor:
    """Cross-entropy against a bump of one class around the tracked pitch, where there is one.

    Scores [B, M, 160], pitch [B, M] in Hz or 0.
    """
    voiced = pitch > 0
    centre = pitch_classes(pitch.clamp(LOWEST, HIGHEST))[..., None]
    bump = (-0.5 * (torch.arange(PITCHES, device=pitch.device) - centre).square()).softmax(-1)
    entropy = -(bump * scores.log_softmax(-1)).sum(-1)
    return (entropy * voiced).sum() / voiced.sum().clamp(min=1)


def run(config_path: str | Path | None, overrides: Sequence[str] = ()) -> Path:
    """Trains as the file says, or takes up where an earlier run stopped; the finished folder."""
    config = load_config(VocoderTraining, config_path, overrides)
    cache_corpus(config.manifest, config.cache)
    train, dev = (Crops(config.cache, config.manifest, split) for split in ("train", "dev"))
    accelerator = Accelerator(mixed_precision=config.mixed_precision)
    torch.manual_seed(config.seed)
    model = Vocoder(config.model)
    critics = discriminators(config.channels)
    codecs = [
        Autoencoder.load(checkpoint.load(folder)).to(accelerator.device) for folder in config.codecs
    ]
    optimizer = torch.optim.AdamW(
        model.parameters(), config.learning_rate, (0.8, 0.95), weight_decay=0.01
    )
    judging = torch.optim.AdamW(critics.parameters(), config.discriminator_rate, (0.5, 0.9))
    run = Run(
        config.out,
        {"model": model, "critics": critics, "optimizer": optimizer, "judging": judging},
    )
    model, optimizer, judging = accelerator.prepare(model, optimizer, judging)
    critics = critics.to(accelerator.device)

    def spectra(crops: Crops, step: int) -> tuple[Tensor, Tensor, Tensor]:
        wav, pitch = crops.batch(config.seed, step, config.batch, config.frames)
        wav, pitch = wav.to(accelerator.device), pitch.to(accelerator.device)
        mel = log_mel(wav)
        if codecs:
            half = config.batch // 2
            with torch.no_grad(), accelerator.autocast():
                coded = codecs[step % len(codecs)](mel[:half]).float()
            mel = torch.cat([coded, mel[half:]])
        return wav, pitch, mel

    def synthesize(mel: Tensor, pitch: Tensor | None = None) -> tuple[Tensor, Tensor]:
        with accelerator.autocast():
            wav, scores, _ = model(mel, pitch=pitch)
        return wav, scores

    @torch.inference_mode()
    def validate() -> dict[str, float]:
        totals = {"dev_spectral": 0.0, "dev_pitch": 0.0}
        for i in range(8):
            wav, pitch, mel = spectra(dev, i)
            made, scores = synthesize(mel)
            totals["dev_spectral"] += spectral_loss(made, wav).item() / 8
            totals["dev_pitch"] += pitch_loss(scores, pitch).item() / 8
        return totals

    for step in run.steps(config.steps, config.seed, config.name):
        set_rate(optimizer, config.learning_rate * cosine(step, config.steps, config.warmup))
        wav, pitch, mel = spectra(train, step)
        made, scores = synthesize(mel, fill(pitch) if step < config.own_pitch_from else None)
        parts = {"spectral": spectral_loss(made, wav), "pitch": pitch_loss(scores, pitch)}
        loss = parts["spectral"] + config.weight_pitch * parts["pitch"]
        if step >= config.adversarial_from:
            critic = critics[step % len(critics)]
            spare = config.frames - config.judged
            first = int(torch.randint(min(24, spare), spare + 1, ()))
            ear = slice(first * HOP, (first + config.judged) * HOP)
            with accelerator.autocast():
                real, fake = critic(wav[:, ear]), critic(made[:, ear].detach())
            parts["judge"] = discriminator_loss(real, fake)
            run.check(parts["judge"])
            accelerator.backward(parts["judge"])
            judging.step()
            critics.requires_grad_(False)
            with accelerator.autocast():
                real, fake = critic(wav[:, ear]), critic(made[:, ear])
            parts["fool"], parts["match"] = generator_loss(real, fake)
            loss = loss + config.weight_adversarial * parts["fool"]
            loss = loss + config.weight_matching * parts["match"]
        run.check(loss)
        accelerator.backward(loss)
        critics.requires_grad_(True)
        judging.zero_grad()
        accelerator.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 50 == 0:
            run.log(**{name: part.item() for name, part in parts.items()})
        if step % config.every == config.every - 1:
            run.log(**validate())

    reached = validate()
    dev_scores = {name: round(score, 4) for name, score in reached.items()}
    final = run.finish(model, config.model, kind="house-vocoder", name=config.name, **dev_scores)
    print(f"{config.name}: spectral loss on dev {reached['dev_spectral']:.4f}; {final}")
    return final


def fill(pitch: Tensor) -> Tensor:
    """Tracked pitch [B, M] with a calm 120 Hz where there is none."""
    return torch.where(pitch > 0, pitch, 120.0)
