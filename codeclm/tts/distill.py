"""Guidance learnt by heart: a student's states become those that guidance makes of a teacher's.

The latent guidance of a `consistency` head runs the backbone twice, with text and without. A
student that is taught z0 + g (z - z0) for its own state, z0 being the teacher's state without text,
says the same in one run, and may be shallower (Pocket TTS goes from 24 layers to 6). The head is
the teacher's and does not change (CALM, Rouard et al. 2025).
"""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from codeclm import checkpoint
from codeclm.codecs.base import CodecSpec
from codeclm.config import Config
from codeclm.tts.heads import ConsistencyHead
from codeclm.tts.model import Batch, ModelConfig, SpeechLM


class Distillation(Config):
    """Whose states to learn.

    Attributes:
        teacher: a finished model with a `consistency` head, as wide as the student.
        guidance: that the student is to speak with when it is asked for none.
    """

    teacher: Path
    guidance: float = 1.5


class Teacher:
    """A finished model that says what the states of a student should be.

    Raises:
        ValueError: no such model, of another codec or vocabulary, or with another head.
    """

    def __init__(self, config: Distillation, spec: CodecSpec, vocabulary: int) -> None:
        saved = checkpoint.load(config.teacher)
        made_for = CodecSpec.from_dict(saved.meta["codec"])
        if made_for.fingerprint != spec.fingerprint:
            raise ValueError(
                f"{config.teacher} speaks {made_for.name} {made_for.fingerprint}, the data are of "
                f"{spec.name} {spec.fingerprint}: take a teacher of the same codec"
            )
        self.model = SpeechLM(ModelConfig(**saved.config), spec, vocabulary)
        if not isinstance(self.model.head, ConsistencyHead):
            raise ValueError(
                f"{config.teacher} has the head `{self.model.config.head}`: only the guidance of "
                "`consistency` acts on states and can be learnt by them"
            )
        try:
            self.model.load_state_dict(saved.weights())
        except RuntimeError:
            raise ValueError(f"{config.teacher} was trained with another vocabulary") from None
        self.model.eval().requires_grad_(False)
        self.guidance = config.guidance

    def teach(self, student: SpeechLM) -> None:
        """Gives a student the head, for good."""
        try:
            student.head.load_state_dict(self.model.head.state_dict())
        except RuntimeError:
            raise ValueError(
                "the student needs the head of its teacher: give both the same `head`, `local`, "
                "`patch` and `width`"
            ) from None
        student.head.requires_grad_(False)

    @torch.no_grad()
    def states(self, batch: Batch) -> Tensor:
        """Guided states [n, P * D] of the n steps of a batch."""
        self.model.to(batch.slots.device)
        spoken = self.model.hidden(batch)[batch.step >= 0]
        untold = replace(batch, token=torch.full_like(batch.token, -1))
        silent = self.model.hidden(untold)[batch.step >= 0]
        return (silent + self.guidance * (spoken - silent)).flatten(1)
