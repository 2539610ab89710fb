"""Training sequences: utterances of one speaker in a row, drawn anew every epoch.

A sequence is filled with whole utterances of a speaker. Each but the first has its speaker's
earlier ones before it, which is how the model learns to continue a voice. Half of the first ones
are shown without their text, as a voice is at inference, and cut to a few seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
import torch

from codeclm.data_prep.shards import Item
from codeclm.tts.model import Batch

PROMPT = (40, 150)  # frames, shortest and longest, of an utterance shown without text


@dataclass(frozen=True)
class Piece:
    """An utterance in a sequence: frames first to last of `item`, with or without its text."""

    item: Item
    first: int
    last: int
    told: bool


class Sequences:
    """Batches by step number: the same number always gives the same batch."""

    def __init__(self, items: Sequence[Item], frames: int, batch: int, seed: int) -> None:
        self.items = [
            item for item in items if any(item.durations) and item.codes.shape[1] <= frames
        ]
        if not self.items:
            raise ValueError("no aligned utterance is short enough to train on: raise `frames`")
        self.frames, self.size, self.seed = frames, batch, seed
        self.epoch = lru_cache(maxsize=2)(self._epoch)

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
                if item.codes.shape[1] > room:
                    sequences.append(current)
                    current, room = [], self.frames
                piece = _piece(item, told=bool(current) or rng.random() < 0.5, rng=rng)
                current.append(piece)
                room -= piece.last - piece.first
            sequences.append(current)
        return [sequences[i] for i in rng.permutation(len(sequences))]

    def batch(self, step: int) -> Batch:
        """The batch of a step; epochs follow each other without a gap, each dropping its rest."""
        number = 0
        while step >= (count := max(1, len(self.epoch(number)) // self.size)):
            step -= count
            number += 1
        return collate(self.epoch(number)[step * self.size : (step + 1) * self.size])


def _piece(item: Item, told: bool, rng: np.random.Generator) -> Piece:
    frames = item.codes.shape[1]
    if told:
        return Piece(item, 0, frames, told=True)
    length = min(frames, int(rng.integers(*PROMPT)))
    first = int(rng.integers(frames - length + 1))
    return Piece(item, first, first + length, told=False)


def collate(sequences: Sequence[Sequence[Piece]]) -> Batch:
    """Pads sequences to one length and lays them beside their texts."""
    texts = [p.item.ids for sequence in sequences for p in sequence if p.told]
    longest = max(map(len, texts), default=1)
    table = np.zeros((max(1, len(texts)), longest), dtype=np.int64)
    shape = (len(sequences), max(sum(p.last - p.first for p in s) for s in sequences))
    streams = sequences[0][0].item.codes.shape[0]
    codes = np.zeros((shape[0], streams, shape[1]), dtype=np.int64)
    begin, real = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    token, age = np.full(shape, -1), np.zeros(shape, dtype=np.int64)
    advance = np.zeros(shape, dtype=np.float32)
    told = 0
    for row, sequence in enumerate(sequences):
        at = 0
        for piece in sequence:
            span = slice(at, at + piece.last - piece.first)
            codes[row, :, span] = piece.item.codes[:, piece.first : piece.last]
            begin[row, at] = True
            real[row, span] = True
            if piece.told:
                durations = np.array(piece.item.durations)
                table[told, : len(durations)] = piece.item.ids
                token[row, span] = told * longest + np.repeat(np.arange(len(durations)), durations)
                starts = np.repeat(durations.cumsum() - durations, durations)
                age[row, span] = np.arange(len(starts)) - starts
                advance[row, at + durations.cumsum() - 1] = 1.0
                told += 1
            at = span.stop
    arrays = (table, codes, begin, token, age, advance, real)
    names = [field.name for field in fields(Batch)]
    return Batch(**{n: torch.from_numpy(a) for n, a in zip(names, arrays, strict=True)})
