"""The language model of speech: text beside the audio, frame after frame.

At every step the backbone reads one vector: the codes of the frame before, plus the text token that
sounds now and how long it has sounded. It answers with the codes of this frame and with whether the
next token enters after it. Text and audio thus never lose each other: there is no alignment to find
(the time-aligned stream of Kyutai's delayed streams modelling, with phonemes for words), and the
speech ends when its last token does.

A voice is frames of the same speaker that went before, read without text.
"""

from dataclasses import dataclass

import torch
from pydantic import model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from codeclm.codecs.base import Stream
from codeclm.codecs.frames import FrameEmbedding
from codeclm.config import Config
from codeclm.tts.heads import HEADS
from codeclm.tts.layouts import LAYOUTS

LONGEST = 64  # frames a token's age is told apart


class ModelConfig(Config):
    """Sizes and switches of a model.

    Attributes:
        layout, head: names in `LAYOUTS` and `HEADS`.
        width, depth, heads, inner: of the Llama-shaped backbone.
        text_width, text_depth: of the text encoder, convolutions that see 2 * depth tokens ahead.
        frame_dropout: share of frames hidden from the input in training.
    """

    layout: str = "parallel"
    head: str = "levels"
    width: int = 320
    depth: int = 8
    heads: int = 5
    inner: int = 864
    text_width: int = 192
    text_depth: int = 3
    frame_dropout: float = 0.1

    @model_validator(mode="after")
    def _heads_fit(self) -> "ModelConfig":
        if self.width % (2 * self.heads):
            raise ValueError(
                f"width {self.width} must be a multiple of twice the heads, {2 * self.heads}: "
                "each head turns pairs of numbers"
            )
        return self


@dataclass(frozen=True)
class Batch:
    """Packed sequences. U texts of up to L tokens in all, B sequences of S frames.

    Attributes:
        texts: [U, L] token ids, 0 where there is none.
        codes: [B, K, S].
        begin: [B, S], first frame of an utterance.
        token: [B, S], which of the U * L tokens sounds; -1: no text is shown here.
        age: [B, S], frames since that token entered.
        advance: [B, S], whether the next token enters after this frame.
        real: [B, S], False for padding.
    """

    texts: Tensor
    codes: Tensor
    begin: Tensor
    token: Tensor
    age: Tensor
    advance: Tensor
    real: Tensor


class TextEncoder(nn.Module):
    """Token ids [U, L] to vectors [U, L, D] that know their neighbours."""

    def __init__(self, vocabulary: int, width: int, depth: int, out: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width, padding_idx=0)
        self.convs = nn.ModuleList(nn.Conv1d(width, 2 * width, 5, padding=2) for _ in range(depth))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth))
        self.leave = nn.Linear(width, out)

    def forward(self, ids: Tensor) -> Tensor:
        real = (ids > 0)[..., None]
        x = self.embed(ids)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            y = norm(x) * real
            x = x + F.glu(conv(y.transpose(1, 2)), dim=1).transpose(1, 2)
        out: Tensor = self.leave(x)
        return out


class SpeechLM(nn.Module):
    """Text encoder, frame embedding and head of one cell, around a backbone.

    Training gives it `backbone.llama(config)`; generation leaves the backbone to a `Decoder`.
    """

    def __init__(
        self,
        config: ModelConfig,
        streams: tuple[Stream, ...],
        vocabulary: int,
        backbone: nn.Module | None = None,
    ) -> None:
        super().__init__()
        for kind, name, known in (
            ("layout", config.layout, LAYOUTS),
            ("head", config.head, HEADS),
        ):
            if name not in known:
                raise ValueError(f"{kind} {name!r} is not known; known are {', '.join(known)}")
        self.config = config
        self.layout = LAYOUTS[config.layout](streams)
        self.head = HEADS[config.head](streams, config.width)
        self.frames = FrameEmbedding(streams, config.width)
        self.text = TextEncoder(vocabulary, config.text_width, config.text_depth, config.width)
        self.ages = nn.Embedding(LONGEST, config.width)
        self.begin = nn.Parameter(torch.randn(config.width) * 0.02)
        self.silent = nn.Parameter(torch.randn(config.width) * 0.02)
        self.advance = nn.Linear(config.width, 1)
        nn.init.normal_(self.ages.weight, std=0.02)
        self.backbone = backbone

    def text_at(self, encoded: Tensor, token: Tensor, age: Tensor) -> Tensor:
        """What the text adds to each step.

        Args:
            encoded: [n, D], the vectors of all tokens.
            token: [B, S], an index into them, or -1.
            age: [B, S].

        Returns:
            [B, S, D].
        """
        heard = encoded[token.clamp(min=0)] + self.ages(age.clamp(max=LONGEST - 1))
        return torch.where((token >= 0)[..., None], heard, self.silent.to(heard.dtype))

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Losses of a batch in nats: of the codes [B, S, C] and of the advances [B, S].

        Both are 0 where they do not count: at padding, and for the advances where no text is shown.
        """
        slots, mask = self.layout.pack(batch.codes)
        before = F.pad(self.frames(batch.codes[..., :-1]), (0, 0, 1, 0))
        if self.training and self.config.frame_dropout:
            hidden = torch.rand(before.shape[:2], device=before.device) < self.config.frame_dropout
            before = before.masked_fill(hidden[..., None], 0.0)
        before = torch.where(batch.begin[..., None], self.begin.to(before.dtype), before)
        encoded = self.text(batch.texts).flatten(0, 1)
        x = before + self.text_at(encoded, batch.token, batch.age)
        assert self.backbone is not None, "a model without a backbone only generates"
        states = self.backbone(inputs_embeds=x, use_cache=False).last_hidden_state
        codes = self.head.loss(states, slots) * (mask & batch.real[..., None])
        going = self.advance(states).squeeze(-1).float()
        told = batch.real & (batch.token >= 0)
        advance = F.binary_cross_entropy_with_logits(going, batch.advance, reduction="none") * told
        return codes, advance
