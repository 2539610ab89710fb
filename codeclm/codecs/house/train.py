"""Trains a codec: `codeclm train codec configs/codec/house-fsq.yaml`.

Two ways, by what the config says. Without `sound`, spectra alone are compared: minutes on a CPU,
and the vocoder is trained apart, once for all house codecs. With `sound`, the wave is compared too,
through a finished vocoder or through a new one that learns along, end to end.

Ends with a checkpoint folder and the error on held-out crops.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from accelerate import Accelerator
from pydantic import model_validator
from torch import Tensor, nn

from codeclm import audio, checkpoint
from codeclm.codecs.house.autoencoder import STRIDE, Autoencoder, AutoencoderConfig
from codeclm.codecs.house.data import Batch, Cache, CorpusConfig, Crops
from codeclm.codecs.house.discriminators import AdversarialConfig, Critics
from codeclm.codecs.house.features import SAMPLE_RATE, log_mel
from codeclm.codecs.house.losses import fill, pitch_loss, spectral_loss, spectrum_loss
from codeclm.codecs.house.vocoder import Vocoder, VocoderConfig
from codeclm.config import Config, load_config
from codeclm.training import Run, cosine, set_rate

Part = Literal["encoder", "bottleneck", "decoder", "vocoder"]


class WeightConfig(Config):
    """What each loss counts.

    `spectrum` compares log-mels; `commitment`, `kl` and `semantic` are the bottleneck's own;
    `spectral` to `matching` compare sound. `kl_warmup` is the step at which `kl` counts in full.
    """

    spectrum: float = 1.0
    commitment: float = 0.25
    kl: float = 0.004
    kl_warmup: int = 1000
    semantic: float = 0.2
    spectral: float = 0.2
    pitch: float = 0.02
    adversarial: float = 0.02
    matching: float = 0.05


class SoundConfig(Config):
    """Losses on the wave.

    Attributes:
        model: sizes of the vocoder that learns along, when no finished one is given.
        own_pitch_from: step from which the source follows the predicted pitch, not the tracked one.
        adversarial: critics; none by default.
    """

    model: VocoderConfig = VocoderConfig()
    own_pitch_from: int = 0
    adversarial: AdversarialConfig = AdversarialConfig()


class CodecTraining(Config):
    """A training of a codec.

    Attributes:
        corpora: what to train on; the splits `train` and `dev` are used.
        out: folder of the run; the finished codec is its sub-folder `final`.
        model: sizes and bottleneck; None takes those of `init`.
        init: a finished codec to begin with; another bottleneck than its own begins anew.
        vocoder: a finished vocoder; samples are heard through it, and `sound` compares through it.
        sound: compare the wave as well; None compares spectra alone.
        learn: the parts that are trained; the others stay as they are.
        teacher: a speech model for the semantic bottleneck, see `teacher.py`.
        frames: mel frames of a crop, a multiple of 4.
        mixed_precision: `bf16` or `no`.
    """

    name: str
    corpora: tuple[CorpusConfig, ...]
    out: Path
    model: AutoencoderConfig | None = None
    init: Path | None = None
    vocoder: Path | None = None
    sound: SoundConfig | None = None
    learn: tuple[Part, ...] = ("encoder", "bottleneck", "decoder")
    teacher: str | None = None
    weights: WeightConfig = WeightConfig()
    steps: int = 6000
    warmup: int = 200
    batch: int = 16
    frames: int = 128
    learning_rate: float = 1.5e-3
    mixed_precision: str = "bf16"
    every: int = 500
    seed: int = 0

    @model_validator(mode="after")
    def _consistent(self) -> "CodecTraining":
        if self.frames % STRIDE:
            raise ValueError(f"frames {self.frames} must be a multiple of {STRIDE}")
        if "vocoder" in self.learn and self.sound is None:
            raise ValueError("the vocoder can only learn from `sound`: set it, or leave it out")
        if self.sound is not None and self.vocoder is None and "vocoder" not in self.learn:
            raise ValueError("`sound` needs a finished `vocoder`, or `vocoder` among `learn`")
        if self.model is None and self.init is None:
            raise ValueError("give a `model`, or a finished codec as `init`")
        return self


class Chain(nn.Module):
    """Autoencoder and, where sound is compared, vocoder."""

    def __init__(self, autoencoder: Autoencoder, vocoder: Vocoder | None) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.vocoder = vocoder

    def learn(self, parts: Sequence[Part]) -> None:
        """Lets these parts learn and freezes the others, statistics and all."""
        self.requires_grad_(False)
        for part in parts:
            owner = self if part == "vocoder" else self.autoencoder
            getattr(owner, part).requires_grad_(True)
        self.learning = tuple(parts)

    def train(self, mode: bool = True) -> "Chain":
        super().train(mode)
        self.autoencoder.bottleneck.train(mode and "bottleneck" in self.learning)
        return self

    def forward(
        self, mel: Tensor, teacher: Tensor | None, pitch: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor], Tensor | None, Tensor | None]:
        """Mel again, the bottleneck's losses, and of the vocoder the sound and pitch scores."""
        made, losses = self.autoencoder(mel, teacher)
        if self.vocoder is None:
            return made, losses, None, None
        wav, scores, _ = self.vocoder(made, pitch=pitch)
        return made, losses, wav, scores


def run(config_path: str | Path | None, overrides: Sequence[str] = ()) -> Path:
    """Trains as the file says, or takes up where an earlier run stopped; the finished folder."""
    config = load_config(CodecTraining, config_path, overrides)
    torch.manual_seed(config.seed)
    autoencoder = start(config)
    taught = autoencoder.config.bottleneck.kind == "semantic" and "bottleneck" in config.learn
    if taught != (config.teacher is not None):
        raise ValueError("a `teacher` and a bottleneck `semantic` that learns need each other")
    caches = [Cache(corpus) for corpus in config.corpora]
    teachers = []
    if config.teacher is not None:
        from codeclm.codecs.house.teacher import cache_teacher

        teachers = [cache_teacher(cache, config.teacher) for cache in caches]
    train, dev = (Crops(caches, split, teachers) for split in ("train", "dev"))
    accelerator = Accelerator(mixed_precision=config.mixed_precision)
    finished = None if config.vocoder is None else Vocoder.load(checkpoint.load(config.vocoder))
    fresh = None if config.sound is None or finished else Vocoder(config.sound.model)
    model = Chain(autoencoder, (finished or fresh) if config.sound else None)
    model.learn(config.learn)
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad],
        lr=config.learning_rate,
        betas=(0.8, 0.95),
        weight_decay=0.01,
        fused=True,
    )
    parts: dict[str, nn.Module | torch.optim.Optimizer] = {"model": model, "optimizer": optimizer}
    critics = Critics(config.sound.adversarial).to(accelerator.device) if config.sound else None
    if critics is not None:
        parts |= {"critics": critics, "judging": critics.optimizer}
    run = Run(config.out, parts)
    chain, optimizer = accelerator.prepare(model, optimizer)

    def losses_on(batch: Batch, step: int) -> tuple[dict[str, Tensor], Tensor | None]:
        mel = log_mel(batch.wav)
        tracked = config.sound is not None and step < config.sound.own_pitch_from
        with accelerator.autocast():
            made, losses, wav, scores = chain(
                mel, batch.teacher, fill(batch.pitch) if tracked else None
            )
        losses["spectrum"] = spectrum_loss(made, mel)
        if wav is not None:
            losses["spectral"] = spectral_loss(wav, batch.wav)
            losses["pitch"] = pitch_loss(scores, batch.pitch)
        return losses, wav

    def draw(crops: Crops, step: int) -> Batch:
        return crops.batch(config.seed, step, config.batch, config.frames).to(accelerator.device)

    @torch.inference_mode()
    def validate() -> dict[str, float]:
        totals: dict[str, float] = {}
        for i in range(8):
            for name, loss in losses_on(draw(dev, i), run.step)[0].items():
                totals[f"dev_{name}"] = totals.get(f"dev_{name}", 0.0) + loss.item() / 8
        return totals

    first, since, weights = run.step, time.monotonic(), config.weights
    chain.train()
    for step in run.steps(config.steps, config.seed, config.name):
        set_rate(optimizer, config.learning_rate * cosine(step, config.steps, config.warmup))
        batch = draw(train, step)
        losses, wav = losses_on(batch, step)
        if critics is not None and wav is not None and critics.join(step):
            losses |= critics.judge(step, batch.wav, wav, accelerator, run)
        counted = weights.model_dump()
        counted["kl"] *= min(1.0, step / max(1, weights.kl_warmup))
        loss = torch.stack([counted[name] * value for name, value in losses.items()]).sum()
        run.check(loss)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 50 == 0:
            heard = (step + 1 - first) * config.batch * config.frames / 100
            speed = heard / (time.monotonic() - since)
            run.log(
                **{name: value.item() for name, value in losses.items()},
                audio_seconds_per_second=speed,
            )
        if step % config.every == config.every - 1:
            chain.eval()
            run.table(**validate())
            write_samples(model.autoencoder, finished, draw(dev, 0).wav, config.out / "samples")
            chain.train()

    chain.eval()
    reached = validate()
    scores = {name: round(value, 4) for name, value in reached.items()}
    if "vocoder" in config.learn:
        assert model.vocoder is not None
        about = {"kind": "house-vocoder", "name": "vocoder", **scores}
        run.finish(model.vocoder.state_dict(), model.vocoder.config, about, folder="vocoder")
    about = {"kind": "house-codec", "name": config.name, "vocoder": "../vocoder", **scores}
    final = run.finish(model.autoencoder.state_dict(), model.autoencoder.config, about)
    print(f"{config.name}: mean absolute error of dev log-mels {scores['dev_spectrum']}; {final}")
    return final


def start(config: CodecTraining) -> Autoencoder:
    """A new autoencoder, with what fits of `config.init`."""
    given = checkpoint.load(config.init) if config.init else None
    if config.model is not None:
        model = Autoencoder(config.model)
    else:
        assert given is not None
        model = Autoencoder(AutoencoderConfig(**given.config))
    if given is not None:
        own = model.state_dict()
        fits = {k: v for k, v in given.weights().items() if k in own and own[k].shape == v.shape}
        if any(name not in fits for name in own if not name.startswith("bottleneck.")):
            raise ValueError(
                f"{config.init} has an encoder or decoder of other sizes: give the same sizes, or "
                "begin without `init`"
            )
        model.load_state_dict(own | fits)
    return model


@torch.inference_mode()
def write_samples(
    model: Autoencoder, vocoder: Vocoder | None, wav: Tensor, folder: Path, count: int = 4
) -> None:
    """A few held-out crops [B, N] through the codec, as sound; none without a vocoder."""
    if vocoder is None:
        return
    made, _ = model(log_mel(wav[:count]))
    sound, _, _ = vocoder.to(made.device)(made)
    folder.mkdir(exist_ok=True)
    for i, row in enumerate(sound.cpu()):
        audio.write(folder / f"{i}.wav", row[None], SAMPLE_RATE)
