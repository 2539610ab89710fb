"""Pictures of one utterance in every layout: a column is a step, a row a slot, a colour a stream.

How dark a cell is comes of its code. An outline is a slot whose stream has not begun or is over.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from codeclm.compare.cells import Training
from codeclm.data_prep.shards import Item, read_prepared
from codeclm.tts.cell import make_layout

Array = NDArray[Any]
FRAMES = 16  # of the utterance that are drawn
SIZE, SPACE = 9, 2  # of a cell and between two, in pixels
SHADES = 4  # CSS classes s0 to s3 of the page


def utterances(trainings: Sequence[Training]) -> dict[str, Item]:
    """The same test utterance as each codec has it, by the codec's name.

    It is the first that all of them have, from its middle on.
    """
    prepared = {}
    for training in trainings:
        name = training.spec.name
        if name not in prepared:
            config = training.load()
            items = read_prepared(config.data, config.tokens).items
            prepared[name] = {i.id: i for i in items if i.split == "test"}
    shared = set.intersection(*(set(found) for found in prepared.values()))
    any_codec = next(iter(prepared.values()))
    long = [i for i in sorted(shared) if any_codec[i].tokens.shape[1] >= 3 * FRAMES]
    return {name: found[long[0]] for name, found in prepared.items()} if long else {}


def picture(training: Training, item: Item) -> tuple[str, int]:
    """The picture as SVG, and the steps that it shows."""
    spec = training.spec
    layout = make_layout(training.load().model, spec)
    middle = item.tokens.shape[1] // 2
    tokens = item.tokens[:, middle : middle + FRAMES]
    slots = layout.pack(tokens[None])[0].numpy()  # [S, C]
    streams = layout.where(torch.arange(len(slots)))[0].numpy()
    if spec.latent_dims:  # a row is a latent, its colour one, its shade its loudest number
        latents = np.abs(slots.reshape(len(slots), layout.patch, spec.latent_dims))
        slots, streams = latents.mean(-1), np.zeros((len(slots), layout.patch), int)
        shade = np.digitize(slots, np.nanquantile(slots, [0.25, 0.5, 0.75]))
    else:
        sizes = np.array([stream.size for stream in spec.streams])
        shade = np.clip(slots * SHADES // sizes[streams], 0, SHADES - 1)
    known = ~np.isnan(slots) if spec.latent_dims else slots >= 0
    parts = streams % 8, shade, known, ~known
    if layout.drawn < layout.slots:  # passes fill these rows in once the steps are over
        return _svg(*(_later(part, layout.drawn) for part in parts)), len(slots)
    return _svg(*parts), len(slots)


def _later(matrix: Array, drawn: int) -> Array:
    """[S, C] with the slots from `drawn` on behind the others, [2 S + 2, C]."""
    apart = np.zeros((2 * len(matrix) + 2, matrix.shape[1]), matrix.dtype)
    apart[: len(matrix), :drawn] = matrix[:, :drawn]
    apart[len(matrix) + 2 :, drawn:] = matrix[:, drawn:]
    return apart


def _svg(colours: Array, shades: Array, known: Array, open_: Array) -> str:
    """Squares [S, C], one path for each colour and shade."""
    steps, count = colours.shape
    wide, high = steps * (SIZE + SPACE), count * (SIZE + SPACE)
    parts = []
    for colour in range(8):
        for shade in range(SHADES):
            found = known & (colours == colour) & (shades == shade)
            if found.any():
                parts.append(f'<path class="c{colour} s{shade}" d="{"".join(_squares(found))}"/>')
    if open_.any():
        parts.append(f'<path class="open" d="{"".join(_squares(open_))}"/>')
    return (
        f'<svg class="cells" viewBox="0 0 {wide} {high}" role="img" aria-label="tokens by step" '
        f'style="width:{wide}px">{"".join(parts)}</svg>'
    )


def _squares(found: Array) -> Iterator[str]:
    for step, slot in np.argwhere(found):
        x, y = step * (SIZE + SPACE), slot * (SIZE + SPACE)
        yield f"M{x} {y}h{SIZE}v{SIZE}h-{SIZE}z"
