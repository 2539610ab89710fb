"""The recordings that a codec is probed with, their tokens, and what the judges hear in them."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codeclm.codec_study.parts import parts
from codeclm.codec_study.samples import held_out, lasting
from codeclm.codecs import load_codec
from codeclm.corpus import Utterance, read_audio, read_manifest
from codeclm.evaluation import asr, pitch, speaker
from codeclm.evaluation.items import RATE, at_16k, shuffled

SECONDS = (1.5, 8.0)  # of the clips that are taken


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        codec: as `load_codec` takes it.
        data: manifest of recordings with their texts.
        out: folder for the results.
        items: recordings whose streams are filled with noise.
        swaps: pairs of recordings.
        alignment: folder that `codeclm prep` made of the same corpus, for the linear probe.
        frames: frames that the linear probe learns from.
        recognizer: Whisper that judges words, as `load_asr` takes it.
        seed: of selection and noise.
    """

    codec: str
    data: Path
    out: Path
    items: int = 24
    swaps: int = 24
    alignment: Path | None = None
    frames: int = 100_000
    recognizer: str = "tiny.en"
    seed: int = 0


class Bench:
    """The codec, its judges, and the recordings that are taken."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.codec: Any = load_codec(plan.codec)
        self.spec = self.codec.spec
        utterances = read_manifest(plan.data)
        self.train = shuffled((u for u in utterances if u.split == "train"), plan.seed)
        self.held_out = held_out(utterances)
        self.recognizer = asr.load_asr(plan.recognizer)
        self.matrices: dict[str, Tensor] = {}
        count = max(plan.items, 4 * plan.swaps)
        self.chosen = lasting(SECONDS, utterances, plan.data, count, plan.seed)
        latents = [self.matrix(u) for u in self.chosen] if self.spec.latent_dims else []
        self.latents = torch.cat(latents, dim=1) if latents else None
        self.parts = parts(self.codec, self.latents)

    def matrix(self, utterance: Utterance) -> Tensor:
        """The token matrix [rows, T] of a recording; encoded once."""
        if utterance.id not in self.matrices:
            wav = read_audio(utterance, self.spec.sample_rate)
            self.matrices[utterance.id] = self.spec.matrix(self.codec.encode(wav[None]))[0]
        return self.matrices[utterance.id]

    def heard(self, matrix: Tensor) -> NDArray[np.float32]:
        """What a token matrix [rows, T] sounds like, [N] at 16 kHz."""
        wav = self.codec.decode(self.spec.matrix(matrix[None]))[0]
        return at_16k(wav, self.spec.sample_rate)

    def words(self, heard: NDArray[np.float32], *said: Utterance) -> list[Any]:
        """The text that is heard, then the errors by what each of the utterances says."""
        text = self.recognizer.transcribe(heard, said[0].language)
        return [text, *(asr.word_errors(u.text, text, u.language, accents=False) for u in said)]


@cache
def original(utterance: Utterance) -> tuple[NDArray[np.float32], speaker.Embedding, pitch.Pitch]:
    """The recording at 16 kHz, its voice and its melody."""
    wav = read_audio(utterance, RATE)[0].numpy()
    return wav, speaker.embed(wav), pitch.track(wav)
