"""The language model of speech: text and voice in, the tokens of the next step out.

At every step the backbone reads one vector, what was said at the step before, and answers with the
slots of this step (`tts.layouts` says which codes or latents these are, `tts.heads` how they are
drawn).

The text comes in one of two ways. As a `stream` it runs beside the audio: each step also reads the
text token that sounds now and how long it has sounded, and the model says whether the next token
enters after this frame. Text and audio never lose each other, there is no alignment to find, and
the speech ends when its last token does (Kyutai's delayed streams, with phonemes for words). As a
`prefix` it stands before the audio; the model must find its way through it, and says after each
frame whether this was the last.

A step of several latents has a state for each of their frames, the backbone's and the text of that
frame, so that the text may go on within a step.

A voice is frames of the same speaker that went before, read without text.

The backbone begins from nothing, or it is a pretrained LLM (`tts.pretrained`), whose own table of
words then stands where the text encoder stood.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from codeclm.codecs.base import EMPTY, CodecSpec
from codeclm.codecs.embedding import CodeEmbedding
from codeclm.tts.backbone import Attention, attention_kernel, check_heads, llama
from codeclm.tts.cell import CellConfig, make_head, make_layout
from codeclm.tts.latents import FrameStates, PatchReader
from codeclm.tts.lora import Lora, add_adapters, fold_adapters, is_transposed
from codeclm.tts.pretrained import empty_words, llm_sizes, load_llm, positions

if TYPE_CHECKING:
    from transformers import PreTrainedModel

OLDEST = 64  # frames a token's age is told apart


class ModelConfig(CellConfig):
    """Sizes and switches of a model, beside those of its cell.

    A pretrained LLM brings its own sizes: leave out `width`, `depth`, `heads`, `inner` and those of
    the text encoder, or give them as they are. The config of the model says what they are.

    Attributes:
        pretrained: an LLM to begin from, by hub name or folder; none: from nothing. A finished
            model holds all it needs of it, and keeps the name only to say where it came from.
        lora: train adapters in place of the LLM's own weights; none: train all of them.
        attention: the kernel to train with; `auto` takes flash attention where it can run.
        text: `stream` or `prefix`.
        text_width, text_depth: of the text encoder, convolutions that see 2 * depth tokens ahead.
        frame_dropout: share of steps hidden from the input in training.
        input_noise: largest share of noise, in variance, that latents are read with in training;
            each position draws its share (CALM).
        spell: also learn to spell the text from the hidden states (CTC), which helps a `prefix` to
            find its alignment.
    """

    pretrained: str | None = None
    lora: Lora | None = None
    attention: Attention = "auto"
    text: Literal["stream", "prefix"] = "stream"
    text_width: int = 192
    text_depth: int = 3
    frame_dropout: float = 0.1
    input_noise: float = Field(default=0.0, ge=0, le=1)
    spell: bool = False

    @model_validator(mode="after")
    def _heads_fit(self) -> "ModelConfig":
        """Overrides that of `Sizes`: the heads of an LLM are as wide as it says."""
        if not self.pretrained:
            check_heads(self)
        return self

    @model_validator(mode="after")
    def _lora_has_an_llm(self) -> "ModelConfig":
        if self.lora and not self.pretrained:
            raise ValueError("`lora` adapts a pretrained LLM: name one in `pretrained`")
        return self

    def with_sizes(self, sizes: Mapping[str, int]) -> "ModelConfig":
        """The same with the sizes of its LLM.

        Raises:
            ValueError: another size was asked for.
        """
        for name, size in sizes.items():
            if name in self.model_fields_set and getattr(self, name) != size:
                raise ValueError(
                    f"`{name}` is {size} with {self.pretrained!r}, not {getattr(self, name)}: "
                    "leave it out, the LLM brings its own sizes"
                )
        return self.model_copy(update=dict(sizes))


@dataclass(frozen=True)
class Batch:
    """Packed sequences: U texts of up to L tokens in all, B sequences of S positions.

    A position is a step of the audio, or, where text is a prefix, a token. A step takes P frames,
    1 but for latents in patches.

    Attributes:
        texts: [U, L] token ids, 0 where there is none.
        slots: [B, S, C] codes or latents, and marks; also where the position is no step.
        step: [B, S] number of the step in its utterance; -1: text or padding.
        told: [B, S] which of the U texts this step speaks; -1: none is shown.
        token: [B, S, P] which of the U * L tokens is read here; -1: none.
        age: [B, S, P] frames since that token entered.
        advance: [B, S, P] 1 where after this frame the next token enters or, with a prefix, the
            speech ends; 0 where not; -1 where nothing is to be said about it.
    """

    texts: Tensor
    slots: Tensor
    step: Tensor
    told: Tensor
    token: Tensor
    age: Tensor
    advance: Tensor

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        return Batch(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})


@dataclass(frozen=True)
class Losses:
    """Losses of a batch in nats; of latents those that their head names.

    Attributes:
        tokens: [B, S, C], 0 where there is none.
        advance: [B, S, P], 0 where nothing was to be said.
        spelling: mean a text token, 0 without `spell`.
    """

    tokens: Tensor
    advance: Tensor
    spelling: Tensor


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
    """Text encoder, reader of what was said and head of one cell, around a backbone.

    Args:
        trains: build the backbone and whatever else only training needs; a model that only speaks
            leaves it to a decoder.
        precision: that training computes in, `bf16`, `fp16` or `no`; the attention kernel may
            depend on it.

    Attributes:
        config: as given, with the sizes of a pretrained LLM filled in.

    Raises:
        ValueError: the cell is not legal, or the LLM cannot be had.
    """

    def __init__(
        self,
        config: ModelConfig,
        spec: CodecSpec,
        vocabulary: int,
        trains: bool = True,
        precision: str = "no",
    ) -> None:
        super().__init__()
        kernel = attention_kernel(config.attention, precision) if trains else ""
        llm = words = None
        if config.pretrained and trains:
            llm, words = load_llm(config.pretrained, vocabulary, kernel)
            config = config.with_sizes(llm_sizes(llm))
        elif config.pretrained:
            words = empty_words(vocabulary, config.width)
        self.config = config
        self.layout = make_layout(config, spec)
        self.head = make_head(config, spec, trains)
        self.read: CodeEmbedding | PatchReader = (
            PatchReader(spec.latent_dims, config.patch, config.width, config.local)
            if spec.latent_dims
            else CodeEmbedding(spec.streams, config.width, config.read == "points", config.mean)
        )
        self.text: nn.Module = words or TextEncoder(
            vocabulary, config.text_width, config.text_depth, config.width
        )
        self.ages = nn.Embedding(OLDEST, config.width)
        self.begin = nn.Parameter(torch.randn(config.width) * 0.02)
        self.silent = nn.Parameter(torch.randn(config.width) * 0.02)
        self.advance = nn.Linear(config.width, 1)
        nn.init.normal_(self.ages.weight, std=0.02)
        period, patch = self.layout.period, self.layout.patch
        self.place = None  # which step of a frame this is, where a frame takes several
        if period > 1:
            self.place = nn.Embedding(period, config.width)
            nn.init.normal_(self.place.weight, std=0.02)
        self.within = FrameStates(patch, config.width) if patch > 1 else None
        self.spell = nn.Linear(config.width, vocabulary) if config.spell else None
        self.backbone: PreTrainedModel | None = None
        if trains:
            self.backbone = llm or llama(config, kernel)
        if words is not None:
            self._begin_like(words.table.weight)

    @torch.no_grad()
    def _begin_like(self, words: Tensor) -> None:
        """Lets what is new to an LLM begin as large as its words, and the words as they were."""
        spread = words.std()
        if isinstance(self.read, CodeEmbedding) and not self.read.points:
            self.read.table.weight.normal_(std=float(spread) / math.sqrt(self.layout.slots))
        self.begin.normal_(std=float(spread))
        self.ages.weight.zero_()

    def adapt(self) -> None:
        """Gives the LLM its adapters, where the config has any, and freezes what it knew before.

        Trained weights are loaded before this, not after.
        """
        if self.config.lora:
            assert self.backbone is not None
            add_adapters(self.backbone, self.config.lora)
            self.text.table.requires_grad_(False)

    def folded(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """These weights of this model with its adapters, where it has any, folded into them."""
        if not self.config.lora:
            return weights
        assert self.backbone is not None
        return fold_adapters(weights, self.config.lora, is_transposed(self.backbone))

    def text_at(self, encoded: Tensor, token: Tensor, age: Tensor) -> Tensor:
        """What the text adds to each position [..., D].

        That is read from the vectors [n, D] of all tokens at indices [...], -1 for none, and their
        ages [...].
        """
        heard = encoded[token.clamp(min=0)] + self.ages(age.clamp(max=OLDEST - 1))
        return torch.where((token >= 0)[..., None], heard, self.silent.to(heard.dtype))

    def heard(self, batch: Batch) -> Tensor:
        """What the text adds to every frame of every position, [B, S, P, D]."""
        return self.text_at(self.text(batch.texts).flatten(0, 1), batch.token, batch.age)

    def said(self, slots: Tensor, step: Tensor) -> Tensor:
        """What the audio adds to each position, [B, S, D].

        Args:
            slots: [B, S, C] of the step before each.
            step: [B, S] number of each step itself; -1: no step.
        """
        if isinstance(self.read, PatchReader):
            x: Tensor = self.read(self._noisy(slots))
        else:
            streams = None
            if slots.shape[-1] < self.layout.streams:
                streams = self.layout.where((step - 1).clamp(min=0))[0]
            x = self.read(slots, streams)
        if self.training and self.config.frame_dropout:
            hidden = torch.rand(step.shape, device=step.device) < self.config.frame_dropout
            x = x.masked_fill(hidden[..., None], 0.0)
        x = torch.where((step > 0)[..., None], x, 0.0)
        x = torch.where((step == 0)[..., None], self.begin.to(x.dtype), x)
        if self.place is not None:
            place = self.place(step.clamp(min=0) % self.layout.period)
            x = x + place * (step >= 0)[..., None]
        return x

    def _noisy(self, slots: Tensor) -> Tensor:
        """Latents [B, S, C] as they are read in training, with as much noise as signal was lost."""
        if not (self.training and self.config.input_noise):
            return slots
        share = self.config.input_noise * torch.rand_like(slots[..., :1])
        return (1 - share).sqrt() * slots + share.sqrt() * torch.randn_like(slots)

    def frame(self, states: Tensor, text: Tensor, inside: int) -> Tensor:
        """State [..., D] of frame `inside` of each step, from the step's and the frame's text."""
        return states if self.within is None else self.within(states, text, inside)

    def inputs(self, batch: Batch, text: Tensor) -> Tensor:
        """What the backbone reads, [B, S, D]; `text` is that of `heard`."""
        slots = batch.slots
        if self.layout.drawn < self.layout.slots:
            # What a pass fills in later is not there yet; a voice is complete.
            later = torch.arange(slots.shape[2], device=slots.device) >= self.layout.drawn
            slots = slots.masked_fill(later & (batch.told >= 0)[..., None], EMPTY)
        before = F.pad(slots[:, :-1], (0, 0, 1, 0), value=self.layout.before)
        return self.said(before, batch.step) + text[..., 0, :]

    def hidden(self, batch: Batch) -> Tensor:
        """The state of every frame of every position, [B, S, P, D]."""
        assert self.backbone is not None, "a model without a backbone only speaks"
        text = self.heard(batch)
        inputs = self.inputs(batch, text)
        longest = positions(self.backbone.config) if self.config.pretrained else None
        if longest is not None and inputs.shape[1] > longest:
            raise ValueError(
                f"a sequence of {inputs.shape[1]} positions is longer than the {longest} that "
                f"{self.config.pretrained!r} was made for: lower `frames`"
            )
        states = self.backbone(inputs_embeds=inputs, use_cache=False).last_hidden_state
        each = [self.frame(states, text[..., j, :], j) for j in range(self.layout.patch)]
        return torch.stack(each, dim=-2)

    def forward(self, batch: Batch, taught: Tensor | None = None) -> Losses:
        """Losses of a batch; with states [n, P * D] to be taught, the distance to them."""
        frames = self.hidden(batch)
        steps = batch.step >= 0
        hidden, slots, step = frames[steps].flatten(1), batch.slots[steps], batch.step[steps]
        if taught is None:
            cost = self.head.loss(hidden, slots, self.layout.where(step)[0], step == 0)
        else:
            away = (hidden - taught).float().square().mean(-1, keepdim=True)
            cost = away.expand(slots.shape)
        tokens = torch.zeros_like(batch.slots, dtype=cost.dtype)
        tokens[steps] = cost
        going = self.advance(frames).squeeze(-1).float()
        target = batch.advance.clamp(min=0)
        advance = F.binary_cross_entropy_with_logits(going, target, reduction="none")
        spelling = self._spelling(frames[..., 0, :], batch)
        return Losses(tokens, advance * (batch.advance >= 0), spelling)

    def _spelling(self, states: Tensor, batch: Batch) -> Tensor:
        """CTC loss (Graves et al. 2006) of each told text given the states of its frames."""
        if self.spell is None or not (batch.told >= 0).any():
            return states.new_zeros((), dtype=torch.float32)
        frames = (batch.told >= 0) & (batch.step % self.layout.period == 0)
        lengths = batch.told[frames].bincount(minlength=len(batch.texts))
        scores = self.spell(states[frames]).float().log_softmax(-1).split(lengths.tolist())
        return F.ctc_loss(
            pad_sequence(list(scores)),
            batch.texts,
            lengths,
            (batch.texts > 0).sum(1),
            zero_infinity=True,
        )
