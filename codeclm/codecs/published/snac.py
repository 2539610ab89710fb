"""SNAC: residual codes at several rates, here as the rows of one matrix.

Siuzdak et al. 2024 (arXiv 2410.14411), through the package `snac`. Each codebook runs at a multiple
of the rate of the one before. A coarse frame is therefore a tree: at 24 kHz one code, two below it,
and two below each of these. Written depth first, parents before children, it is a column of seven
codes, [c0, c1a, c2a, c2b, c1b, c2c, c2d], the order in which Orpheus and its kin flatten SNAC:

    name       sample rate   coarse frame    codes a frame         bits a second
    snac-24k   24,000 Hz     2048 samples    7  = 1 + 2 + 4        984
    snac-32k   32,000 Hz     3072 samples    15 = 1 + 2 + 4 + 8    1875
    snac-44k   44,100 Hz     3072 samples    15 = 1 + 2 + 4 + 8    2584

Encoder and decoder both look ahead. Blocks are computed with all that the networks see around them,
so that they equal the whole, and that is what a stream waits for.

The decoder mixes noise into the sound, drawn anew at every call of the package. Here the noise is
the same at the same place of every sound, so that decoding can be repeated and streamed. The 32 and
44.1 kHz codecs attend within blocks of 32 latents, four coarse frames: the package pads to whole
blocks; here the frames that hold only padding are left out, and where a number of frames is no
multiple of four the decoder gets frames of silence in their place.
"""

import json
import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codeclm.codecs.base import CodecSpec, tree_streams
from codeclm.codecs.chunked import ChunkedCodec, reach, with_context
from codeclm.codecs.published.weights import (
    damaged,
    library,
    load_tensors,
    token_fingerprint,
    undo_weight_norm,
)

NOISE = 1 << 16  # samples after which the decoder's noise repeats


class Snac(ChunkedCodec):
    """SNAC; frames are computed again where blocks meet."""

    def __init__(self, name: str, model: Any, streams: int, mark: str) -> None:
        rows = tree_streams(model.codebook_size, model.vq_strides)
        if streams != len(rows):
            raise ValueError(f"{name} has {streams} codes a frame, not {len(rows)}")
        self.levels = [len(row.depends_on) for row in rows]  # the codebook of each row
        undo_weight_norm(model)
        self.model = model.eval().requires_grad_(False)
        coarse, latent = model.vq_strides[0], int(model.hop_length)
        hop = latent * coarse
        self.group = math.lcm(coarse, model.attn_window_size or 1) // coarse
        before, after = reach(model.encoder.block)
        past, future = reach(model.decoder.model)
        rest = (self.group - 1) * hop  # of the group of the first frame in it
        super().__init__(
            CodecSpec(
                name=name,
                family="rvq",
                sample_rate=model.sampling_rate,
                hop=hop,
                streams=rows,
                causal=False,
                lookahead=rest + after,
                decoder_lookahead=rest + future * latent,
                fingerprint=mark,
            )
        )
        self.block -= self.block % self.group
        self.encoder_left = self._groups(before, hop)
        self.decoder_left = self._groups(past, coarse)
        self._noise = torch.randn(
            *(len(model.decoder_rates), NOISE),
            generator=torch.Generator().manual_seed(0),
            device="cpu",
        )

    @classmethod
    def load(cls, name: str, folder: Path, streams: int) -> "Snac":
        """Reads the folder as the package `snac` has it."""
        network = library("snac", "codecs").SNAC
        tensors = load_tensors(folder)
        try:
            model = network(**json.loads((folder / "config.json").read_text("utf-8")))
            model.load_state_dict(tensors)
        except (TypeError, ValueError, RuntimeError) as error:
            raise damaged(folder, error) from None
        if f"snac-{model.sampling_rate // 1000}k" != name:
            raise ValueError(f"{folder} holds a SNAC of {model.sampling_rate} Hz, not {name}")
        return cls(name, model, streams, token_fingerprint(folder, ("decoder.",)))

    def decode_block(self, tokens: Tensor, frames: int, past: Any) -> tuple[Tensor, Any]:
        done, before = past or (0, None)
        start = done - (0 if before is None else before.shape[2])

        def sound(codes: Tensor) -> Tensor:
            return self.sound(codes, start)

        rates = (1, self.spec.hop)
        wav, before = with_context(sound, tokens, frames, before, self.decoder_left, rates)
        return wav, (done + frames, before)

    def _groups(self, sees: int, frame: int) -> int:
        """Frames, of whole groups, that hold what a network sees."""
        return -(-sees // (self.group * frame)) * self.group

    def tokens(self, wav: Tensor) -> Tensor:
        """[B, 1, n] samples, with silence to make the last group whole, to [B, K, T]."""
        wav = F.pad(wav, (0, -wav.shape[2] % (self.group * self.spec.hop)))
        _, codes = self.model.quantizer(self.model.encoder(wav))
        return to_rows(codes, self.levels)

    def sound(self, tokens: Tensor, start: int = 0) -> Tensor:
        """[B, K, T] codes from frame `start` on to samples of at least these frames."""
        rest = tokens.shape[2] % self.group
        if rest:
            silence = self._silence[..., rest:].expand(len(tokens), -1, -1)
            tokens = torch.cat([tokens, silence], dim=2)
        latent = self.model.quantizer.from_codes(from_rows(tokens, self.levels))
        first = start * self.model.vq_strides[0]
        noise = iter(self._noise)
        x: Tensor = latent
        layer: Any
        for layer in _flat(self.model.decoder.model):
            if type(layer).__name__ == "NoiseBlock":
                rate = x.shape[-1] // latent.shape[-1]
                place = (first * rate + torch.arange(x.shape[-1])) % NOISE
                x = x + next(noise)[place].to(x) * layer.linear(x)
            else:
                x = layer(x)
        return x

    @cached_property
    def _silence(self) -> Tensor:
        """The codes of a group of silence among silence, [1, K, group]."""
        ahead = -(-self.spec.lookahead // self.spec.hop)
        weight = next(self.model.parameters())
        frames = self.encoder_left + self.group + ahead
        codes = self.tokens(weight.new_zeros(1, 1, frames * self.spec.hop))
        return codes[..., self.encoder_left : self.encoder_left + self.group]


def to_rows(codes: list[Tensor], levels: Sequence[int]) -> Tensor:
    """One tensor a codebook, [B, T], [B, 2 T], ..., to a matrix [B, K, T]."""
    frames = codes[0].shape[1]
    columns = [iter(book.reshape(len(book), frames, -1).unbind(2)) for book in codes]
    return torch.stack([next(columns[level]) for level in levels], dim=1)


def from_rows(rows: Tensor, levels: Sequence[int]) -> list[Tensor]:
    """The inverse of `to_rows`."""
    books: list[list[Tensor]] = [[] for _ in range(max(levels) + 1)]
    for level, row in zip(levels, rows.unbind(1), strict=True):
        books[level].append(row)
    return [torch.stack(book, dim=2).flatten(1) for book in books]


def _flat(layers: Any) -> Iterator[nn.Module]:
    """The layers in order, with the blocks of the decoder opened."""
    for layer in layers:
        if type(layer).__name__ == "DecoderBlock":
            yield from layer.block
        else:
            yield layer
