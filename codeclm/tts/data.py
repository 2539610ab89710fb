"""Training sequences: utterances of one speaker in a row, drawn anew every epoch.

A sequence is filled with whole utterances of a speaker. Each but the first has its speaker's
earlier ones before it, which is how the model learns to continue a voice. Half of the first ones
are shown without their text, as a voice is at inference, and cut to a few seconds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from codeclm.data_prep.shards import Item
from codeclm.tts.layouts import Layout
from codeclm.tts.model import Batch

PROMPT = (40, 150)  # frames, shortest and longest, of an utterance shown without text


@dataclass(frozen=True)
class Piece:
    """An utterance in a sequence: frames first to last of `item`, with or without its text."""

    item: Item
    first: int
    last: int
    told: bool


def usable(items: Iterable[Item], text: str, frames: int) -> list[Item]:
    """Those that can be trained on: not longer than `frames`, and aligned where text streams."""
    return [
        item
        for item in items
        if item.tokens.shape[1] <= frames and (text == "prefix" or any(item.durations))
    ]


class Sequences:
    """Batches by step number: the same number always gives the same batch.

    Args:
        layout, text: of the model that reads them.
        frames: most codec frames of a sequence; a batch has `batch` sequences, all nearly full.
        text_dropout: share of later utterances that are shown without their text.
        voice_dropout: share of utterances that do not go on after others of their speaker.
    """

    def __init__(
        self,
        items: Sequence[Item],
        layout: Layout,
        text: Literal["stream", "prefix"],
        frames: int,
        batch: int,
        seed: int = 0,
        text_dropout: float = 0.0,
        voice_dropout: float = 0.0,
    ) -> None:
        self.items = usable(items, text, frames)
        if not self.items:
            raise ValueError(
                "no aligned utterance is short enough to train on: raise `frames`, or, where none "
                "could be aligned, take `model.text=prefix`"
            )
        self.layout, self.text = layout, text
        self.frames, self.size, self.seed = frames, batch, seed
        self.text_dropout, self.voice_dropout = text_dropout, voice_dropout
        self.epoch = lru_cache(maxsize=2)(self._epoch)
        self.counts: list[int] = []  # batches of each epoch so far

    def _epoch(self, number: int) -> list[list[Piece]]:
        """All sequences of an epoch, in order."""
        rng = np.random.default_rng([self.seed, number])
        speakers: dict[str, list[Item]] = {}
        for i in rng.permutation(len(self.items)):
            speakers.setdefault(self.items[i].speaker, []).append(self.items[i])
        sequences = []
        for items in speakers.values():
            current: list[Piece] = []
            room = self.frames
            for item in items:
                alone = bool(current) and rng.random() < self.voice_dropout
                if alone or item.tokens.shape[1] > room:
                    sequences.append(current)
                    current, room = [], self.frames
                hidden = self.text_dropout if current else 0.5
                piece = _piece(item, told=rng.random() >= hidden, rng=rng)
                current.append(piece)
                room -= piece.last - piece.first
            sequences.append(current)
        return [sequences[i] for i in rng.permutation(len(sequences))]

    def batch(self, step: int) -> Batch:
        """The batch of a step; epochs follow each other without a gap, each dropping its rest."""
        number = 0
        while step >= self._count(number):
            step -= self._count(number)
            number += 1
        rows = self.epoch(number)[step * self.size : (step + 1) * self.size]
        return collate(rows, self.layout, self.text)

    def _count(self, number: int) -> int:
        """Batches of an epoch; remembered, so that the hundredth does not ask for all before it."""
        for later in range(len(self.counts), number + 1):
            self.counts.append(max(1, len(self.epoch(later)) // self.size))
        return self.counts[number]


def _piece(item: Item, told: bool, rng: np.random.Generator) -> Piece:
    frames = item.tokens.shape[1]
    if told:
        return Piece(item, 0, frames, told=True)
    length = min(frames, int(rng.integers(*PROMPT)))
    first = int(rng.integers(frames - length + 1))
    return Piece(item, first, first + length, told=False)


def collate(
    sequences: Sequence[Sequence[Piece]], layout: Layout, text: Literal["stream", "prefix"]
) -> Batch:
    """Packs the pieces of each sequence in a row, and pads the sequences to one length."""
    texts = [torch.tensor(p.item.ids) for sequence in sequences for p in sequence if p.told]
    table = pad_sequence(texts or [torch.tensor([0])], True)
    longest, padding = table.shape[1], _padding(layout)
    rows, told = [], 0
    for sequence in sequences:
        parts = []
        for piece in sequence:
            parts.append(_positions(piece, layout, text, told if piece.told else -1, longest))
            told += piece.told
        rows.append({name: torch.cat([part[name] for part in parts]) for name in padding})
    columns = {
        name: pad_sequence([row[name] for row in rows], True, padding_value=value)
        for name, value in padding.items()
    }
    return Batch(texts=table, **columns)


def _padding(layout: Layout) -> dict[str, float]:
    """What a position that is no step holds, under the names of `Batch`."""
    rest = {"step": -1, "told": -1, "token": -1, "age": 0, "advance": -1}
    return {"slots": layout.before, **rest}


def _positions(
    piece: Piece, layout: Layout, text: str, row: int, longest: int
) -> dict[str, Tensor]:
    """The positions of one piece, under the names of `Batch`."""
    tokens = piece.item.tokens[:, piece.first : piece.last]
    tokens = tokens if tokens.is_floating_point() else tokens.long()
    slots, frames = layout.pack(tokens[None])[0], tokens.shape[1]
    step = torch.arange(len(slots))
    frame = step[:, None] // layout.period * layout.patch + torch.arange(layout.patch)  # [S, P]
    token, age = torch.full_like(frame, -1), torch.zeros_like(frame)
    advance = torch.full(frame.shape, -1.0)
    if piece.told:
        closing = (step % layout.period == layout.period - 1)[:, None] & (frame < frames)
        if text == "stream":
            durations = torch.tensor(piece.item.durations)
            ends = durations.cumsum(0)
            sounding = torch.arange(len(durations)).repeat_interleave(durations)
            since = torch.arange(frames) - (ends - durations)[sounding]
            inside = frame < frames
            token[inside] = row * longest + sounding[frame[inside]]
            age[inside] = since[frame[inside]]
            advance[closing] = torch.isin(frame[closing] + 1, ends).float()
        else:
            advance[closing] = (frame[closing] == frames - 1).float()
    audio = {"slots": slots, "step": step, "told": torch.full_like(step, row)}
    audio |= {"token": token, "age": age, "advance": advance}
    if not piece.told or text == "stream":
        return audio
    count = len(piece.item.ids)
    padding = _padding(layout)
    before = {
        name: torch.full((count, *part.shape[1:]), padding[name], dtype=part.dtype)
        for name, part in audio.items()
    }
    before["token"][:, 0] = row * longest + torch.arange(count)
    return {name: torch.cat([before[name], part]) for name, part in audio.items()}
