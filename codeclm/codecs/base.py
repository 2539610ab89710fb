"""What every codec is: a frozen tokenizer of sound and a spec that tells the truth about it.

Shapes: B batch, N samples, T codec frames, K streams.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:  # the facts about a codec are read without torch
    import torch
    from torch import Tensor


EMPTY, END = -1, -2  # in place of a code: its stream has not begun, its stream is over


@dataclass(frozen=True)
class Stream:
    """One row of a code matrix.

    Attributes:
        size: number of legal codes, 0 to size - 1; every one of them means sound.
        role: what the row carries first of all.
        depends_on: earlier streams without which this one cannot be read (RVQ residuals).
        levels: for FSQ, the levels of each dimension; their product is `size`.
    """

    size: int
    role: Literal["semantic", "acoustic"] = "acoustic"
    depends_on: tuple[int, ...] = ()
    levels: tuple[int, ...] = ()


def residual_streams(size: int, count: int, begin: int = 0, since: int = 0) -> tuple[Stream, ...]:
    """Rows `begin` to `count` - 1 of a code matrix: each codes what those since `since` left over.

    Args:
        size: codes of each.
        count: rows of the matrix.
        begin: number of the first of these rows.
        since: number of the first row that they need.
    """
    return tuple(Stream(size, depends_on=tuple(range(since, k))) for k in range(begin, count))


def tree_streams(size: int, strides: Sequence[int]) -> tuple[Stream, ...]:
    """Rows for codebooks at several rates: the tree of a coarse frame, depth first.

    Each code needs those above it.

    Args:
        size: codes of each.
        strides: of the codebooks, in the finest frames: [4, 2, 1] are 1 + 2 + 4 codes.
    """

    def below(above: tuple[int, ...], row: int) -> list[Stream]:
        streams = [Stream(size, depends_on=above)]
        level = len(above)
        for _ in range(strides[level] // strides[level + 1] if level + 1 < len(strides) else 0):
            streams += below((*above, row), row + len(streams))
        return streams

    return tuple(below((), 0))


@dataclass(frozen=True)
class CodecSpec:
    """The facts about a codec that a language model, a shard and a latency budget need.

    Attributes:
        name: what users call it.
        family: the bottleneck: `fsq`, `rvq`, `semantic-rvq`, `vae`.
        sample_rate: Hz.
        hop: samples a codec frame stands for.
        streams: one entry a row of the code matrix, in the order of the rows; none when the tokens
            are continuous.
        latent_dims: numbers a frame of a continuous codec; 0 when the tokens are codes.
        causal: the decoder never needs a later frame.
        lookahead: samples past the end of a frame that the encoder needs.
        fingerprint: of the weights; token files carry it and are refused by other weights.
        decoder_lookahead: samples past the end of a frame that the decoder needs; 0 when causal.
    """

    name: str
    family: str
    sample_rate: int
    hop: int
    streams: tuple[Stream, ...] = ()
    causal: bool = True
    lookahead: int = 0
    fingerprint: str = ""
    latent_dims: int = 0
    decoder_lookahead: int = 0

    @property
    def time_axis(self) -> int:
        """The axis of the frames in the tokens."""
        return 1 if self.latent_dims else 2

    @property
    def rows(self) -> int:
        """Rows of the token matrix [rows, T]: the streams of codes, or the numbers of a latent."""
        return len(self.streams) or self.latent_dims

    def matrix(self, tokens: "Tensor") -> "Tensor":
        """Tokens of the codec to token matrices [B, rows, T], and these back to tokens."""
        return tokens.transpose(1, 2) if self.latent_dims else tokens

    @property
    def frame_rate(self) -> float:
        """Codec frames a second."""
        return self.sample_rate / self.hop

    @property
    def bitrate(self) -> float:
        """Bits a second of the code matrix; 0 for continuous latents, which have none to count."""
        return self.frame_rate * sum(math.log2(stream.size) for stream in self.streams)

    @property
    def latency_ms(self) -> float:
        """Algorithmic latency from sound in to sound out: one frame and what lies ahead of it."""
        return 1000 * (self.hop + self.lookahead + self.decoder_lookahead) / self.sample_rate

    def frames(self, samples: int) -> int:
        """Codec frames that hold `samples` samples."""
        return -(-samples // self.hop)

    def to_dict(self) -> dict[str, Any]:
        """A JSON object that `from_dict` reads back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "CodecSpec":
        """The inverse of `to_dict`."""
        streams = (
            Stream(s["size"], s["role"], tuple(s["depends_on"]), tuple(s["levels"]))
            for s in data["streams"]
        )
        return cls(**{**data, "streams": tuple(streams)})


class Codec(ABC):
    """A frozen codec: sound to tokens and back, whole or chunk by chunk.

    Tokens are codes [B, K, T], int64; a continuous codec has latents [B, T, D], float32, instead.
    The state of a stream is a value: the one passed in is not changed, so that a stream can be
    continued twice, and one codec serves many streams.
    """

    spec: CodecSpec

    @property
    def paddable(self) -> bool:
        """Whether silence behind a sound leaves the tokens of its own frames as they are.

        So it is for an encoder that looks at nothing later; one that does sees where sound ends.
        """
        return self.spec.lookahead == 0

    def to(self, device: "str | torch.device") -> Self:
        """Moves the networks to a device; sound and tokens go in and come out there."""
        from torch import nn

        for part in vars(self).values():
            if isinstance(part, nn.Module):
                part.to(device)
        return self

    @abstractmethod
    def encode_chunk(
        self, wav: "Tensor", state: Any = None, last: bool = False
    ) -> "tuple[Tensor, Any]":
        """Tokenizes the next samples of a stream.

        Args:
            wav: [B, 1, n] at `spec.sample_rate`, any n.
            state: what the previous call returned; None begins a stream.
            last: no more will come: silence follows, and every sample is tokenized.

        Returns:
            The tokens of the frames that are complete by now, perhaps none, and the new state.
        """

    @abstractmethod
    def decode_chunk(
        self, tokens: "Tensor", state: Any = None, last: bool = False
    ) -> "tuple[Tensor, Any]":
        """Turns the next frames of a stream into sound.

        Args:
            tokens: the T frames that follow those already in `state`; T may be 0.
            state: what the previous call returned; None begins a stream.
            last: no more will come: every frame is sounded.

        Returns:
            The sound of the frames that are known by now and the new state: wav [B, 1, T * hop] of
            a causal codec; any other keeps the last frames back until it knows what follows them.
        """

    def encode(self, wav: "Tensor") -> "Tensor":
        """Sound [B, 1, N] to the tokens of its `spec.frames(N)` frames."""
        return self.encode_chunk(wav, last=True)[0]

    def decode(self, tokens: "Tensor") -> "Tensor":
        """Tokens of T frames to sound [B, 1, T * hop]."""
        return self.decode_chunk(tokens, last=True)[0]

    def stream(self, chunks: "Iterable[Tensor]") -> "Iterator[Tensor]":
        """Decodes chunks of frames as they come; joined, they equal `decode` of the whole."""
        state, nothing = None, None
        for tokens in chunks:
            wav, state = self.decode_chunk(tokens, state)
            nothing = tokens.narrow(self.spec.time_axis, 0, 0)
            if wav.shape[-1]:
                yield wav
        if nothing is not None:
            wav, _ = self.decode_chunk(nothing, state, last=True)
            if wav.shape[-1]:
                yield wav
