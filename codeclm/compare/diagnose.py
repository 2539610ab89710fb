"""Where a cell loses: led through true recordings, with true and predicted streams exchanged.

Led by the truth, a model draws every step from what was really said before it (teacher forcing):
what it then says wrong is not the fault of earlier mistakes. With stream 0 true and the others
predicted, and the other way round, one hears which of them the mistakes are in.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from codeclm.corpus import Utterance
from codeclm.data_prep.shards import Item
from codeclm.evaluation.items import Row, Task
from codeclm.evaluation.speech import Judge
from codeclm.tts.engine import How
from codeclm.tts.generate import TTS
from codeclm.tts.network import TorchNetwork
from codeclm.tts.past import Past
from codeclm.tts.runtime import sounding

Array = NDArray[Any]
KINDS = ("led", "true first", "true rest")  # what `exchanged` gives


def led(network: TorchNetwork, item: Item, how: How, seed: int = 0) -> Array:
    """The token matrix [K, T] that a model draws when it is led through an utterance.

    Passes that fill in later streams are given the first one as it is true.
    """
    grid, tokens = network.grid, item.tokens.numpy()
    tokens = tokens if tokens.dtype.kind == "f" else tokens.astype(np.int64)
    slots, frames = network.pack(tokens), tokens.shape[1]
    text, past = network.text(item.ids), Past(seed)
    rows = 2 if network.twice(how) else 1
    caches = [network.start() for _ in range(rows)]
    if not network.streamed:
        network.read(text, caches[0])
    cache = caches[0].join(caches[1:])
    said = np.zeros_like(tokens)
    states: list[Any] = []
    before = np.full_like(slots[0], network.marks[0])
    for step, wanted in enumerate(slots):
        inside = step // grid.period * grid.patch + np.arange(grid.patch)
        token, age = np.full((rows, grid.patch), -1), np.zeros((rows, grid.patch), np.int64)
        if network.streamed:
            token[0], age[0] = sounding(item.durations, inside)
        given = np.stack([before] * rows), np.full(rows, step), [text] * rows
        state = network.step(*given, token[:, 0], age[:, 0], cache)
        for i in range(grid.patch):
            network.advance(state, i, [text] * rows, token[:, i], age[:, i])
        streams, cells = (np.array(part) for part in grid.cells(step))
        early, late = network.marks
        marks = np.where(cells < 0, early, np.where(cells >= frames, late, 0))
        drawn = network.draw(state, range(rows), marks.tolist(), streams.tolist(), how, [past])[0]
        known = marks == 0
        said[streams[known], cells[known]] = drawn[known]
        past.remember(wanted, [-1] * len(streams))
        if network.drawn < grid.slots:
            states.append(network.states(state, range(rows)))
        before = wanted
    if states:
        done = network.finish(states, _opened(slots, network.drawn), how, past).T
        said[network.drawn :] = done[network.drawn :, :frames]
    return said


def _opened(slots: Array, drawn: int) -> Array:
    """True steps [S, C] with those slots open that passes fill in."""
    opened = slots.copy()
    opened[:, drawn:] = -1
    return opened


def exchanged(tts: TTS, item: Item) -> dict[str, Array]:
    """Token matrices [K, T] by what in them is true.

    `led` is all predicted, `true first` has the true stream 0, `true rest` all others; a model of
    latents has no streams to exchange.
    """
    assert isinstance(tts.network, TorchNetwork)
    said = led(tts.network, item, tts.how())
    true = item.tokens.numpy().astype(said.dtype)
    if said.dtype.kind == "f":
        return {"led": said}
    first, rest = said.copy(), said.copy()
    first[0], rest[1:] = true[0], true[1:]
    return {"led": said, "true first": first, "true rest": rest}


def tasks(
    pairs: Sequence[tuple[Utterance, Utterance]],
    kinds: Sequence[str],
    judge: Judge,
    items: Callable[[], Mapping[str, Item]],
    load: Callable[[], TTS],
) -> Iterator[Task]:
    """Rows of every exchange of utterances that are prepared.

    Args:
        pairs: (target, voice) utterances.
        kinds: `KINDS` or, of latents, its first.
        judge: hears what comes of them.
        items: gives the prepared ones by id, once a row needs them.
        load: gives the cell.
    """
    found: dict[str, dict[str, Array]] = {}

    def row(target: Utterance, voice: Utterance, kind: str) -> Row:
        tts = load()
        if target.id not in found:
            found.clear()
            found[target.id] = exchanged(tts, items()[target.id])
        wav, _ = tts.sound.decode(found[target.id][kind], None, last=True)
        sound = torch.from_numpy(wav)[None]
        said = judge.words(target.text, sound, tts.sample_rate, target.language)
        return said | judge.voice(sound, voice, tts.sample_rate)

    for target, voice in pairs:
        for kind in kinds:
            yield ("diagnosis", kind, target.id), partial(row, target, voice, kind)
