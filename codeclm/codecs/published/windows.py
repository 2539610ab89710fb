"""A network that looks both ways, run over any length of input in bounded memory.

A convolutional network sees a fixed number of inputs to either side. A piece that is run with that
many inputs around it has, in its middle, the outputs that the whole would have had: the overlap is
computed twice, and nothing is approximated.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Window(NamedTuple):
    """How to cut the input; all numbers are inputs (samples, frames) and multiples of `unit`.

    Attributes:
        unit: pieces begin and end at multiples of it.
        before: inputs the network sees before a piece.
        after: inputs it sees past the end of a piece.
        most: longest piece, without what is around it.
    """

    unit: int
    before: int
    after: int
    most: int

    @classmethod
    def around(cls, unit: int, before: int, after: int, most: int) -> "Window":
        """The window that sees at least this much, in whole units."""
        before, after, most = (max(1, -(-n // unit)) * unit for n in (before, after, most))
        return cls(unit, before, after, most)


class Held(NamedTuple):
    """Where a stream stands.

    Attributes:
        inputs: [..., n], those that are still needed.
        start: how many came before them.
        done: how many inputs have their outputs.
    """

    inputs: Tensor
    start: int = 0
    done: int = 0


def advance(
    run: Callable[[Tensor, int], Tensor],
    inputs: Tensor,
    held: Held | None,
    window: Window,
    last: bool,
) -> tuple[list[Tensor], Held]:
    """Runs the network as far as the inputs reach.

    Args:
        run: [..., n] inputs, n a multiple of `unit`, and how many came before them, to outputs
            [..., m]: as many for every unit.
        inputs: [..., n], those that follow what is held.
        held: what the previous call returned; None begins.
        window: how to cut.
        last: nothing follows; `inputs` now end at a multiple of `unit`.

    Returns:
        The new outputs in pieces, perhaps none, and where the stream stands now.
    """
    x = inputs if held is None else torch.cat([held.inputs, inputs], dim=-1)
    start, done = (0, 0) if held is None else held[1:]
    unit, before, after, most = window
    whole = start + x.shape[-1] // unit * unit
    limit = whole if last else whole - after
    outputs = []
    while done < limit:
        stop = min(limit, done + most)
        low, high = max(0, done - before), min(whole, stop + after)
        piece = run(x[..., low - start : high - start], low)
        each = piece.shape[-1] // ((high - low) // unit)
        outputs.append(piece[..., (done - low) // unit * each : (stop - low) // unit * each])
        done = stop
    low = max(start, done - before)
    return outputs, Held(x[..., low - start :].clone(), low, done)
