"""Trains the vocoder: `codeclm train vocoder configs/codec/vocoder.yaml`.

Half of each batch are spectra of recordings, half are what the house codecs named in the config
make of them in turn, so that one vocoder serves all codecs and learns what quantized spectra look
like. First spectral losses alone; from `adversarial.start` on, one discriminator a step joins in.

With `joint`, the decoders of the codecs learn along, through the vocoder. Encoders and bottlenecks
stay, and with them the meaning of the tokens.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from codeclm import checkpoint
from codeclm.codecs.house.autoencoder import Autoencoder
from codeclm.codecs.house.data import Batch, Cache, CorpusConfig, Crops
from codeclm.codecs.house.discriminators import AdversarialConfig, Critics
from codeclm.codecs.house.features import log_mel
from codeclm.codecs.house.losses import fill, pitch_loss, spectral_loss, spectrum_loss
from codeclm.codecs.house.vocoder import Vocoder, VocoderConfig
from codeclm.config import Config, load_config
from codeclm.training import Run, cosine, set_rate


class VocoderTraining(Config):
    """A training of the vocoder.

    Attributes:
        corpora: what to train on; the splits `train` and `dev` are used.
        codecs: finished house codecs whose spectra it must also learn.
        init: a finished vocoder of these sizes to begin with.
        joint: let the decoders of the codecs learn along; the run then ends with a folder `vocoder`
            and one folder a codec, instead of `final`.
        own_pitch_from: step from which the source follows the predicted pitch, not the tracked one.
    """

    name: str = "vocoder"
    corpora: tuple[CorpusConfig, ...]
    out: Path
    init: Path | None = None
    codecs: tuple[Path, ...] = ()
    joint: bool = False
    model: VocoderConfig = VocoderConfig()
    steps: int = 8000
    warmup: int = 200
    batch: int = 12
    frames: int = 96
    learning_rate: float = 1e-3
    own_pitch_from: int = 2000
    adversarial: AdversarialConfig = AdversarialConfig(start=4000)
    weight_adversarial: float = 0.3
    weight_matching: float = 1.0
    weight_pitch: float = 0.2
    weight_spectrum: float = 1.0
    mixed_precision: str = "bf16"
    every: int = 500
    seed: int = 0


def run(config_path: str | Path | None, overrides: Sequence[str] = ()) -> Path:
    """Trains as the file says, or takes up where an earlier run stopped; the finished folder."""
    config = load_config(VocoderTraining, config_path, overrides)
    accelerator = Accelerator(mixed_precision=config.mixed_precision)
    caches = [Cache(corpus) for corpus in config.corpora]
    train, dev = (Crops(caches, split) for split in ("train", "dev"))
    torch.manual_seed(config.seed)
    model = Vocoder(config.model)
    if config.init is not None:
        model = Vocoder.load(checkpoint.load(config.init)).train().requires_grad_(True)
    critics = Critics(config.adversarial).to(accelerator.device)
    saved = [checkpoint.load(folder) for folder in config.codecs]
    codecs = [Autoencoder.load(each).to(accelerator.device) for each in saved]
    decoders = nn.ModuleList([codec.decoder for codec in codecs]).requires_grad_(config.joint)
    if config.joint and accelerator.num_processes > 1:
        raise ValueError("`joint` runs on one process: start it without a launcher")
    learning = [*model.parameters(), *(decoders.parameters() if config.joint else ())]
    optimizer = torch.optim.AdamW(
        learning, config.learning_rate, (0.8, 0.95), weight_decay=0.01, fused=True
    )
    run = Run(
        config.out,
        {
            "model": model,
            "decoders": decoders,
            "critics": critics,
            "optimizer": optimizer,
            "judging": critics.optimizer,
        },
    )
    model, optimizer = accelerator.prepare(model, optimizer)

    def spectra(crops: Crops, step: int) -> tuple[Batch, Tensor, Tensor]:
        """Crops, the spectra to make sound of, and how far a codec's are from the true ones."""
        batch = crops.batch(config.seed, step, config.batch, config.frames).to(accelerator.device)
        mel = log_mel(batch.wav)
        if not codecs:
            return batch, mel, mel.new_zeros(())
        codec, half = codecs[step % len(codecs)], config.batch // 2
        with accelerator.autocast():
            coded, _ = codec(mel[:half])
        return batch, torch.cat([coded, mel[half:]]), spectrum_loss(coded, mel[:half])

    def synthesize(mel: Tensor, pitch: Tensor | None = None) -> tuple[Tensor, Tensor]:
        with accelerator.autocast():
            wav, scores, _ = model(mel, pitch=pitch)
        return wav, scores

    @torch.inference_mode()
    def validate() -> dict[str, float]:
        totals = {"dev_spectrum": 0.0, "dev_spectral": 0.0, "dev_pitch": 0.0}
        for i in range(8):
            batch, mel, distance = spectra(dev, i)
            made, scores = synthesize(mel)
            totals["dev_spectrum"] += distance.item() / 8
            totals["dev_spectral"] += spectral_loss(made, batch.wav).item() / 8
            totals["dev_pitch"] += pitch_loss(scores, batch.pitch).item() / 8
        return totals

    for step in run.steps(config.steps, config.seed, config.name):
        set_rate(optimizer, config.learning_rate * cosine(step, config.steps, config.warmup))
        batch, mel, distance = spectra(train, step)
        made, scores = synthesize(mel, fill(batch.pitch) if step < config.own_pitch_from else None)
        parts = {
            "spectral": spectral_loss(made, batch.wav),
            "pitch": pitch_loss(scores, batch.pitch),
        }
        loss = parts["spectral"] + config.weight_pitch * parts["pitch"]
        if config.joint:
            parts["spectrum"] = distance
            loss = loss + config.weight_spectrum * distance
        if critics.join(step):
            parts |= critics.judge(step, batch.wav, made, accelerator, run)
            loss = loss + config.weight_adversarial * parts["adversarial"]
            loss = loss + config.weight_matching * parts["matching"]
        run.check(loss)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 50 == 0:
            run.log(**{name: part.item() for name, part in parts.items()})
        if step % config.every == config.every - 1:
            run.table(**validate())

    reached = validate()
    dev_scores = {name: round(score, 4) for name, score in reached.items()}
    about = {"kind": "house-vocoder", "name": config.name, **dev_scores}
    if config.joint:
        for codec, before in zip(codecs, saved, strict=True):
            told = {**before.meta, "vocoder": "../vocoder", "before": before.meta}
            run.finish(codec.state_dict(), codec.config, told, folder=before.meta["name"])
    folder = "vocoder" if config.joint else "final"
    final = run.finish(model.state_dict(), config.model, about, folder)
    print(f"{config.name}: spectral loss on dev {reached['dev_spectral']:.4f}; {final}")
    return final
